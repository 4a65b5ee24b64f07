/* SPDX-License-Identifier: MIT */
/*
 * guest-tick NAME AFTER SECONDS: prints the newest tick line of a guest, once its number is above
 * AFTER. A reader of the guest's console is started at the first call and goes on for the domain's
 * life, so that nothing stands stale in the terminal's buffer: it writes to /run/console/DOMID.
 *
 * A program, as the agent is, because it looks often.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

enum { MAX_PATH = 128, TAIL_BYTES = 8192 };
#define LOOK_NS 100000000L

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* -1: no domain of that name. The newest, if a killed toolstack has left an older one's entry. */
static long find_domain(struct xs_handle *xs, const char *name)
{
    unsigned count = 0, len;
    char **ids = xs_directory(xs, XBT_NULL, "/local/domain", &count);
    long id = -1;

    for (unsigned i = 0; i < count; i++) {
        const long candidate = strtol(ids[i], NULL, 10);
        char path[MAX_PATH];
        char *found;

        snprintf(path, sizeof(path), "/local/domain/%s/name", ids[i]);
        found = xs_read(xs, XBT_NULL, path, &len);
        if (found && !strcmp(found, name) && candidate > id)
            id = candidate;
        free(found);
    }
    free(ids);
    return id;
}

static bool is_alive(const char *pid_path)
{
    FILE *f = fopen(pid_path, "re");
    long pid = 0;
    const bool alive = f && fscanf(f, "%ld", &pid) == 1 && pid > 0 && kill((pid_t)pid, 0) == 0;

    if (f)
        fclose(f);
    return alive;
}

/*
 * While a domain is being made xenconsoled may take its terminal away and give it another: the
 * reader of the first one ends then. One reader at a time, or they would share out the lines.
 */
static void keep_reader(struct xs_handle *xs, long domid, const char *log)
{
    char path[MAX_PATH], pid_path[MAX_PATH + 8];
    unsigned len;
    char *tty;
    pid_t pid;

    snprintf(pid_path, sizeof(pid_path), "%s.pid", log);
    if (is_alive(pid_path))
        return;
    /* QEMU's serial port, if it has one. */
    snprintf(path, sizeof(path), "/local/domain/%ld/serial/0/tty", domid);
    tty = xs_read(xs, XBT_NULL, path, &len);
    if (!tty || !*tty) {
        free(tty);
        snprintf(path, sizeof(path), "/local/domain/%ld/console/tty", domid);
        tty = xs_read(xs, XBT_NULL, path, &len);
    }
    if (!tty || !*tty) {
        free(tty);
        return;
    }
    pid = fork();
    if (!pid) {
        const int in = open(tty, O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        setsid();
        if (in >= 0 && out >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1) {
            dup2(out, 2);
            execlp("cat", "cat", (char *)NULL);
        }
        _exit(1);
    }
    free(tty);

    FILE *f = fopen(pid_path, "we");

    if (f) {
        fprintf(f, "%ld\n", (long)pid);
        fclose(f);
    }
}

/* The end of the log, without carriage returns, in text; its first line may be cut. */
static void read_tail(const char *log, char text[TAIL_BYTES + 1])
{
    const int fd = open(log, O_RDONLY | O_CLOEXEC);
    struct stat s;
    ssize_t n = -1;
    size_t kept = 0;

    if (fd >= 0 && !fstat(fd, &s))
        n = pread(fd, text, TAIL_BYTES, s.st_size > TAIL_BYTES ? s.st_size - TAIL_BYTES : 0);
    for (ssize_t i = 0; i < n; i++)
        if (text[i] != '\r' && text[i])
            text[kept++] = text[i];
    text[kept] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The last whole tick line of the text, its end cut to be one; NULL. A line that does not end may
 * be half written. */
static char *last_tick(char *text)
{
    char *found = NULL, *rest = text, *line;

    while ((line = strsep(&rest, "\n")) && rest) {
        const size_t n = strlen(line);

        if (!strncmp(line, "tick ", 5) && n > 4 && !strcmp(line + n - 4, " end"))
            found = line;
    }
    return found;
}

int main(int argc, char **argv)
{
    static char text[TAIL_BYTES + 1];
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    char log[MAX_PATH], command[4 * MAX_PATH];
    struct xs_handle *xs;
    int64_t until_ms;
    long domid, after;
    bool ended = false;

    if (argc != 4) {
        fprintf(stderr, "usage: guest-tick NAME AFTER SECONDS\n");
        return 1;
    }
    after = strtol(argv[2], NULL, 10);
    until_ms = now_ms() + strtol(argv[3], NULL, 10) * 1000;
    signal(SIGCHLD, SIG_IGN);
    xs = xs_open(0);
    domid = xs ? find_domain(xs, argv[1]) : -1;
    if (domid < 0) {
        printf("no domain %s\n", argv[1]);
        return 1;
    }
    mkdir("/run/console", 0700);
    snprintf(log, sizeof(log), "/run/console/%ld", domid);
    while (!ended && now_ms() < until_ms) {
        char *line;

        keep_reader(xs, domid, log);
        read_tail(log, text);
        ended = strstr(text, "\nload ended") != NULL;
        line = last_tick(text);
        if (line && strtol(line + 5, NULL, 10) > after) {
            puts(line);
            return 0;
        }
        nanosleep(&pause, NULL);
    }
    printf(
        "no tick above %ld from %s (domain %ld) in %s s, or its program ended; its console ended "
        "with:\n",
        after, argv[1], domid, argv[3]);
    fflush(stdout);
    snprintf(command, sizeof(command),
        "tail -n 8 %s; xl list; tail -n 4 /run/xmigrate/monitor-*.log /tmp/listen.err 2>/dev/null",
        log);
    signal(SIGCHLD, SIG_DFL); /* system() waits */
    if (system(command))
        puts("(and not all of that could be shown)");
    return 1;
}
