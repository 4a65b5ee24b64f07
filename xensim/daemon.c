/* SPDX-License-Identifier: MIT */
#include "xensim/daemon.h"
#include "xensim/client.h"
#include "xensim/conn.h"
#include "xensim/guest/emulator.h"
#include "xensim/device.h"
#include "xensim/guest/run.h"
#include "xensim/qmp.h"
#include "xensim/usage.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct options {
    struct machine_params machine;
    bool tmem, no_shadow, old_cpu, foreground;
    uint32_t scheduler;
};

/* Lives until the process ends: connections' threads may still use it after accept_clients(). */
struct daemon {
    struct host host;
    struct sessions sessions;
    char dir[400];
    int log_fd, listen_fd, qmp_fd;
};

static const struct host_ops host_ops = {.sweep_mappings = sessions_sweep_mappings,
    .start_guest = guest_start,
    .free_guest = guest_free,
    .stop_emulator = emulator_stop,
    .disk_path = device_first_disk,
    .free_emulator = emulator_free};

static bool parse_scheduler(const char *name, uint32_t *id)
{
    static const struct {
        const char *name;
        uint32_t id;
    } known[] = {{"credit", XEN_SCHEDULER_CREDIT}, {"credit2", XEN_SCHEDULER_CREDIT2},
        {"null", XEN_SCHEDULER_NULL}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(name, known[i].name)) {
            *id = known[i].id;
            return true;
        }
    return false;
}

static bool parse_percent(const char *text, unsigned *percent)
{
    uint64_t value;

    if (!parse_u64(text, 0, 100, &value))
        return false;
    *percent = (unsigned)value;
    return true;
}

/* False if the option takes no such value (usage.c says which it takes). */
static bool take_option(struct options *o, const char *option, const char *value)
{
    if (!strcmp(option, "--prealloc"))
        return o->machine.prealloc = true;
    if (!strcmp(option, "--tmem"))
        return o->tmem = true;
    if (!strcmp(option, "--no-shadow"))
        return o->no_shadow = true;
    if (!strcmp(option, "--old-cpu"))
        return o->old_cpu = true;
    if (!strcmp(option, "--foreground"))
        return o->foreground = true;
    if (!strcmp(option, "--dom0"))
        return parse_size_bytes(value, &o->machine.dom0_bytes);
    if (!strcmp(option, "--sched"))
        return parse_scheduler(value, &o->scheduler);
    if (!strcmp(option, "--fragment"))
        return parse_percent(value, &o->machine.fragment_percent);
    return !strcmp(option, "--mem") && parse_size_bytes(value, &o->machine.mem_bytes) &&
           o->machine.mem_bytes % CHUNK_BYTES == 0 && o->machine.mem_bytes >= 16ull << 20 &&
           o->machine.mem_bytes <= 8ull << 40;
}

static int parse_options(int argc, char **argv, struct options *o, struct err *e)
{
    const struct verb *host = verb_named("host");

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        const struct option *option = option_of(host, argv[i], value, e);

        if (!option)
            return -e->code;
        if (!take_option(o, option->name, value))
            return option_refused(option, value, e);
        i += option->value != NULL;
    }
    if (!o->machine.mem_bytes)
        return err_set(e, ERR_USAGE, EINVAL, "host %s: give --mem SIZE, such as --mem 8G", argv[0]);
    return 0;
}

static int make_dirs(const char *dir, struct err *e)
{
    char run[256];

    client_run_dir(run, sizeof(run));
    if (mkdir(run, 0700) && errno != EEXIST)
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", run);
    if (client_check_run_dir(e)) /* somebody may have made it a moment ago */
        return -e->code;
    if (mkdir(dir, 0700) && errno != EEXIST)
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", dir);
    return 0;
}

/* The lock tells a live host from what a dead one left behind; its descriptor stays open. */
static int take_lock(const struct daemon *d, struct err *e)
{
    char path[440];
    int fd;

    snprintf(path, sizeof(path), "%s/lock", d->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return err_set(e, ERR_REFUSED, EEXIST,
            "host %s runs already; end it with `xensim stop %s` or choose another name",
            d->host.name, d->host.name);
    }
    return fd;
}

/* A socket in the host's directory, or -errno. */
static int listen_at(const struct daemon *d, const char *name, int type, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char path[440];

    int fd;

    snprintf(path, sizeof(path), "%s/%s", d->dir, name);
    if (strlen(path) >= sizeof(addr.sun_path))
        return err_set(e, ERR_USAGE, ENAMETOOLONG,
            "%s: too long for a socket; set XENSIM_DIR to a shorter directory", path);
    strcpy(addr.sun_path, path);
    unlink(path);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || chmod(path, 0600) ||
        listen(fd, 64))
        return err_sys(e, ERR_LOCAL, errno, "cannot listen on %s", path);
    return fd;
}

static void log_to_file(void *arg, enum log_level level, const char *line)
{
    const struct daemon *d = arg;
    char buf[LOG_LINE_BYTES + 64];
    struct timespec now;
    struct tm tm;
    int n;

    (void)level;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = snprintf(buf, sizeof(buf), "%02d:%02d:%02d.%03ld %s\n", tm.tm_hour, tm.tm_min, tm.tm_sec,
        now.tv_nsec / 1000000, line);
    if (n > 0 && write(d->log_fd, buf, (size_t)n) < 0)
        return; /* a full disk must not stop the host */
}

static struct host *stopping_host;

static void on_signal(int sig)
{
    (void)sig;
    host_stop(stopping_host);
}

static int open_log(struct daemon *d, struct err *e)
{
    char path[440];

    snprintf(path, sizeof(path), "%s/log", d->dir);
    d->log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (d->log_fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "%s", path);
    d->host.log = (struct log){.max = LOG_DEBUG, .write = log_to_file, .arg = d};
    return 0;
}

static void take_signals(struct host *h)
{
    struct sigaction action = {.sa_handler = on_signal};

    stopping_host = h;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int init_host(struct daemon *d, const struct options *o, struct err *e)
{
    struct log to_people = {
        .max = LOG_WARN, .write = log_to_stderr, .arg = (void *)(uintptr_t) "xensim"};
    struct rlimit files = {65536, 65536};
    struct machine_params machine = o->machine;
    struct host *h = &d->host;
    int rc = open_log(d, e);

    if (!rc)
        rc = host_init(h, e);
    if (rc)
        return rc;
    h->tmem = o->tmem;
    h->no_shadow = o->no_shadow;
    h->old_cpu = o->old_cpu;
    h->scheduler = o->scheduler;
    h->ops = &host_ops;
    h->ops_arg = &d->sessions;
    h->devices = devices_new();
    if (!h->devices)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    sessions_init(&d->sessions, h);
    setrlimit(RLIMIT_NOFILE, &files);
    machine.dir = d->dir;
    rc = machine_init(&h->machine, &machine, &to_people, e);
    if (rc)
        return rc;
    take_signals(h);
    d->listen_fd = listen_at(d, "socket", SOCK_SEQPACKET, e);
    if (d->listen_fd >= 0)
        d->qmp_fd = listen_at(d, "qmp", SOCK_STREAM, e);
    return err_is_set(e) ? -e->code : 0;
}

static void write_pid(const struct daemon *d)
{
    char path[440];
    FILE *f;

    snprintf(path, sizeof(path), "%s/pid", d->dir);
    f = fopen(path, "we");
    if (f) {
        fprintf(f, "%d\n", (int)getpid());
        fclose(f);
    }
}

/* A host that is started again has booted again. */
static void write_boot_id(const struct daemon *d)
{
    char path[440], id[64] = "";
    FILE *from = fopen("/proc/sys/kernel/random/uuid", "re"), *to;

    snprintf(path, sizeof(path), "%s/boot_id", d->dir);
    to = fopen(path, "we");
    if (from && to && fgets(id, sizeof(id), from))
        fputs(id, to);
    if (from)
        fclose(from);
    if (to)
        fclose(to);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

/* Everything of ours and what programs left in `run`, without crossing into other mounts. */
static void remove_files(const struct daemon *d)
{
    nftw(d->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int accept_client(struct daemon *d, int listen_fd)
{
    const int sock = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (sock < 0)
        return 0;
    return listen_fd == d->qmp_fd ? qmp_start(&d->host, sock) : conn_start(&d->sessions, sock);
}

static int accept_clients(struct daemon *d, struct err *e)
{
    struct host *h = &d->host;
    struct pollfd fds[3] = {{.fd = d->listen_fd, .events = POLLIN},
        {.fd = h->stop_fd, .events = POLLIN}, {.fd = d->qmp_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return err_sys(e, ERR_LOCAL, errno, "host %s: poll", h->name);
        if (fds[1].revents)
            break;
        if ((fds[0].revents & POLLIN && accept_client(d, d->listen_fd)) ||
            (fds[2].revents & POLLIN && accept_client(d, d->qmp_fd)))
            host_log(h, "cannot serve a client: out of memory or threads");
    }
    host_log(h, "stopping");
    domain_destroy_all(h);
    return 0;
}

/* In the process that is the host. ready_fd (or -1) tells the starter whether it is up. */
static int serve(struct daemon *d, const struct options *o, int ready_fd, struct err *e)
{
    int rc = init_host(d, o, e);

    if (!rc) {
        write_pid(d);
        write_boot_id(d);
    }
    if (ready_fd >= 0) {
        if (write(ready_fd, e, sizeof(*e)) < 0 && !rc)
            rc = -errno;
        close(ready_fd);
        dup2(d->log_fd, STDERR_FILENO);
    }
    if (!rc) {
        host_log(&d->host, "host %s: %llu MiB", d->host.name,
            (unsigned long long)(o->machine.mem_bytes >> 20));
        rc = accept_clients(d, e);
    }
    remove_files(d);
    return rc;
}

static int become_daemon(struct daemon *d, const struct options *o, struct err *e)
{
    int ready[2];
    pid_t pid;

    if (pipe2(ready, O_CLOEXEC))
        return err_sys(e, ERR_LOCAL, errno, "pipe");
    pid = fork();
    if (pid < 0)
        return err_sys(e, ERR_LOCAL, errno, "fork");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        close(ready[0]);
        setsid();
        if (chdir("/") || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
            _exit(1);

        int rc = serve(d, o, ready[1], e);

        _exit(rc ? 1 : 0);
    }
    close(ready[1]);

    ssize_t n = read(ready[0], e, sizeof(*e));

    close(ready[0]);
    if (n != (ssize_t)sizeof(*e)) {
        *e = (struct err)ERR_INIT;
        return err_set(e, ERR_LOCAL, EIO, "host %s died while it started", d->host.name);
    }
    return err_is_set(e) ? -e->code : 0;
}

int daemon_main(int argc, char **argv, struct err *e)
{
    struct options o = {.scheduler = XEN_SCHEDULER_CREDIT2};
    struct daemon *d = calloc(1, sizeof(*d));
    int lock_fd, rc;

    if (!d)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot start a host");
    rc = parse_options(argc, argv, &o, e);
    if (!rc)
        rc = client_host_dir(argv[0], d->dir, sizeof(d->dir), e);
    if (!rc)
        rc = make_dirs(d->dir, e);
    if (rc) {
        free(d);
        return rc;
    }
    snprintf(d->host.name, sizeof(d->host.name), "%s", argv[0]);
    lock_fd = take_lock(d, e);
    if (lock_fd < 0) {
        free(d);
        return lock_fd;
    }
    rc = o.foreground ? serve(d, &o, -1, e) : become_daemon(d, &o, e);
    close(lock_fd);
    if (!o.foreground)
        free(d);
    return rc;
}
