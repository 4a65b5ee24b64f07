/* SPDX-License-Identifier: MIT */
/*
 * agent SHARE BELL: runs each SHARE/cmd/NAME once with sh, in a process group of its own, many at a
 * time. Its output goes to SHARE/out/NAME, its exit code to SHARE/rc/NAME, renamed into place when
 * all is written. SHARE/cmd/NAME appears by rename too, so it is whole when it is seen.
 *
 * A byte on BELL, a serial line, says that there is something new: to look into the share takes the
 * emulator eleven milliseconds, and to start a process twenty.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
    MAX_JOBS = 64,
    MAX_NAME = 64,
    MAX_PATH = 512,
    LOOK_MS = 2000,               /* without the bell */
    NO_PROCESS_STATUS = 126 << 8, /* as waitpid() would say it */
};

struct job {
    pid_t pid; /* 0: free */
    char name[MAX_NAME];
};

static void path_of(char path[MAX_PATH], const char *folder, const char *before, const char *name)
{
    snprintf(path, MAX_PATH, "%s%s%s", folder, before, name);
}

static int copy_file(const char *from, const char *to)
{
    char buffer[65536];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = in < 0 || out < 0 ? -1 : 1;

    while (n > 0) {
        n = read(in, buffer, sizeof(buffer));
        if (n > 0 && write(out, buffer, (size_t)n) != n)
            n = -1;
    }
    close(in);
    close(out);
    return n < 0 ? -1 : 0;
}

static void run(const char *name)
{
    char script[MAX_PATH], out[MAX_PATH];
    sigset_t none;

    path_of(script, "/run", "/cmd-", name);
    path_of(out, "/run", "/out-", name);
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (freopen("/dev/null", "r", stdin) && freopen(out, "w", stdout) && dup2(1, 2) == 2)
        execl("/bin/sh", "sh", script, (char *)NULL);
    _exit(127);
}

static void finish(const char *share, const struct job *job, int status)
{
    char from[MAX_PATH], to[MAX_PATH], whole[MAX_PATH];
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE *f;

    path_of(from, "/run", "/out-", job->name);
    path_of(to, share, "/out/", job->name);
    copy_file(from, to);
    path_of(to, share, "/rc/.", job->name);
    path_of(whole, share, "/rc/", job->name);
    f = fopen(to, "we");
    if (!f || fprintf(f, "%d\n", code) < 0 || fclose(f) || rename(to, whole))
        printf("agent: cannot say how %s ended: %s\n", job->name, strerror(errno));
    unlink(from);
    path_of(from, "/run", "/cmd-", job->name);
    unlink(from);
    path_of(from, "/run", "/pid-", job->name);
    unlink(from);
}

static void start(const char *share, const char *name, struct job jobs[MAX_JOBS])
{
    char from[MAX_PATH], script[MAX_PATH];
    unsigned i = 0;

    while (i < MAX_JOBS && jobs[i].pid)
        i++;
    path_of(from, share, "/cmd/", name);
    path_of(script, "/run", "/cmd-", name);
    if (i == MAX_JOBS || strlen(name) >= MAX_NAME || copy_file(from, script) || unlink(from))
        return;
    strcpy(jobs[i].name, name);
    jobs[i].pid = fork();
    if (!jobs[i].pid)
        run(name);
    if (jobs[i].pid < 0) {
        printf("agent: cannot start %s: %s\n", name, strerror(errno));
        finish(share, &jobs[i], NO_PROCESS_STATUS);
        jobs[i].pid = 0;
    }
}

static void start_new(const char *share, const char *folder, struct job jobs[MAX_JOBS])
{
    const struct dirent *entry;
    DIR *dir = opendir(folder);

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && !strstr(entry->d_name, ".tmp"))
            start(share, entry->d_name, jobs);
    if (dir)
        closedir(dir);
}

static void finish_ended(const char *share, struct job jobs[MAX_JOBS])
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < MAX_JOBS; i++)
            if (jobs[i].pid == pid) {
                finish(share, &jobs[i], status);
                jobs[i].pid = 0;
            }
}

/* A line that only brings bytes as they are. */
static int open_bell(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct termios t;

    if (fd >= 0 && !tcgetattr(fd, &t)) {
        cfmakeraw(&t);
        t.c_cflag |= CLOCAL | CREAD;
        cfsetspeed(&t, B115200);
        tcsetattr(fd, TCSANOW, &t);
    }
    return fd;
}

int main(int argc, char **argv)
{
    static struct job jobs[MAX_JOBS];
    char commands[MAX_PATH], ready[MAX_PATH], rest[512];
    sigset_t children;

    if (argc != 3) {
        fprintf(stderr, "usage: agent SHARE BELL\n");
        return 1;
    }
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);

    struct pollfd wake[2] = {
        {.fd = open_bell(argv[2]), .events = POLLIN},
        {.fd = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC), .events = POLLIN},
    };

    if (wake[0].fd < 0 || wake[1].fd < 0) {
        perror(argv[2]);
        return 1;
    }
    path_of(commands, argv[1], "/cmd", "");
    path_of(ready, argv[1], "/ready", "");
    close(open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (;;) {
        start_new(argv[1], commands, jobs);
        finish_ended(argv[1], jobs);
        poll(wake, 2, LOOK_MS);
        for (int i = 0; i < 2; i++)
            while (read(wake[i].fd, rest, sizeof(rest)) > 0)
                ;
    }
}
