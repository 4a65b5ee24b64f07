/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/monitor.h"

#include "base/deadline.h"
#include "base/libc.h"
#include "base/units.h"
#include "cmd/link.h"
#include "cmd/lock_file.h"
#include "cmd/paths.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libxl_utils.h>
#include <libxl_uuid.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
/* The last monitor of the domain needs a moment to see that it is over for it. */
#define LOCK_LIMIT_NS (10 * NS_PER_S)
/* A device of the domain just destroyed may not be free at once. */
#define RESTART_PAUSE_NS (2 * NS_PER_S)
/* Who moves a guest wants the processor while it stands still. */
#define STANDS_STILL_NS NS_PER_S
enum { RESTART_ATTEMPTS = 5, MONITOR_PATH_BYTES = PATHS_BYTES + 64, DOMID_TEXT_BYTES = 12 };

struct monitor {
    struct xl xl;
    const struct log *log;
    uint32_t domid;
    char uuid[XL_UUID_TEXT_BYTES];
    int lock_fd;
    libxl_evgen_domain_death *watch;
    libxl_domain_config config; /* as last retrieved */
};

/* --- starting one --- */

static int make_path(
    const char *uuid, const char *suffix, char path[static MONITOR_PATH_BYTES], struct err *e)
{
    char dir[PATHS_BYTES];
    const int rc = open_run_dir(dir, e);

    if (!rc)
        snprintf(path, MONITOR_PATH_BYTES, "%s/monitor-%s.%s", dir, uuid, suffix);
    return rc;
}

extern char **environ;

/* The environment without what belongs to one migration. NULL: out of memory. */
static char **make_environment(void)
{
    static const char *const drop[] = {LINK_ENV "=", "LIBXL_SAVE_HELPER="};
    size_t count = 0, kept = 0;

    while (environ[count])
        count++;

    char **env = calloc(count + 1, sizeof(*env));

    for (size_t i = 0; env && i < count; i++)
        if (strncmp(environ[i], drop[0], strlen(drop[0])) &&
            strncmp(environ[i], drop[1], strlen(drop[1])))
            env[kept++] = environ[i];
    return env;
}

struct launch {
    char log_path[MONITOR_PATH_BYTES];
    char domid[DOMID_TEXT_BYTES];
    char uuid[XL_UUID_TEXT_BYTES];
    char *argv[5];
    char **env;
};

static int prepare(struct launch *l, uint32_t domid, const char *uuid, struct err *e)
{
    const int rc = make_path(uuid, "log", l->log_path, e);

    if (rc)
        return rc;
    l->env = make_environment();
    if (!l->env)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the monitor");
    snprintf(l->domid, sizeof(l->domid), "%u", domid);
    snprintf(l->uuid, sizeof(l->uuid), "%s", uuid);
    l->argv[0] = (char *)"xmigrate";
    l->argv[1] = (char *)"--monitor";
    l->argv[2] = l->domid;
    l->argv[3] = l->uuid;
    l->argv[4] = NULL;
    return 0;
}

int monitor_become(uint32_t domid, const char *uuid, struct err *e)
{
    struct launch l;
    int rc = prepare(&l, domid, uuid, e);

    if (rc)
        return rc;

    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int log = open(l.log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (null < 0 || log < 0) {
        rc = err_sys(e, ERR_LOCAL, errno, "cannot open %s", log < 0 ? l.log_path : "/dev/null");
    } else {
        dup2(null, STDIN_FILENO);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        execve(SELF, l.argv, l.env);
        rc = err_sys(e, ERR_LOCAL, errno, "cannot start the monitor of domain %u", domid);
    }
    if (null >= 0)
        close(null);
    if (log >= 0)
        close(log);
    free(l.env);
    return rc;
}

int monitor_start(uint32_t domid, const char *uuid, struct err *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    struct launch l;
    pid_t pid;
    int rc = prepare(&l, domid, uuid, e);

    if (rc)
        return rc;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(
        &files, STDOUT_FILENO, l.log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawn(&pid, SELF, &files, &attr, l.argv, l.env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    free(l.env);
    return rc ? err_sys(e, ERR_LOCAL, rc, "cannot start the monitor of domain %u", domid) : 0;
}

/* --- being one --- */

static libxl_action_on_shutdown action_for(const libxl_domain_config *config, int reason)
{
    switch (reason) {
    case LIBXL_SHUTDOWN_REASON_POWEROFF:
        return config->on_poweroff;
    case LIBXL_SHUTDOWN_REASON_REBOOT:
        return config->on_reboot;
    case LIBXL_SHUTDOWN_REASON_CRASH:
        return config->on_crash;
    case LIBXL_SHUTDOWN_REASON_WATCHDOG:
        return config->on_watchdog;
    case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
        return config->on_soft_reset;
    default:
        return LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    }
}

struct monitor_plan monitor_plan(const libxl_domain_config *config, int shutdown_reason)
{
    if (shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND)
        return (struct monitor_plan){MONITOR_END, false};
    switch (action_for(config, shutdown_reason)) {
    case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
        return (struct monitor_plan){MONITOR_END, false};
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART:
        return (struct monitor_plan){MONITOR_RESTART, false};
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
        return (struct monitor_plan){MONITOR_RENAME_RESTART, false};
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY:
        return (struct monitor_plan){MONITOR_DESTROY, true};
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
        return (struct monitor_plan){MONITOR_RESTART, true};
    case LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET:
        return (struct monitor_plan){MONITOR_SOFT_RESET, false};
    case LIBXL_ACTION_ON_SHUTDOWN_DESTROY:
        break;
    }
    return (struct monitor_plan){MONITOR_DESTROY, false};
}

static int watch_death(struct monitor *m, struct err *e)
{
    xl_begin(&m->xl);

    const int rc = libxl_evenable_domain_death(m->xl.ctx, m->domid, 0, &m->watch);

    if (rc) {
        m->watch = NULL;
        return xl_failed(&m->xl, rc, ERR_LOCAL, e, "cannot watch domain %u", m->domid);
    }
    return 0;
}

/* What was queued about the domain that is no more is of no interest. */
static void unwatch_death(struct monitor *m)
{
    libxl_event *ev;

    if (m->watch)
        libxl_evdisable_domain_death(m->xl.ctx, m->watch);
    m->watch = NULL;
    while (!libxl_event_check(m->xl.ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL))
        libxl_event_free(m->xl.ctx, ev);
}

/* As the domain is now: somebody may have attached a device. The last one does if libxl has no
 * answer. */
static void refresh_config(struct monitor *m)
{
    libxl_domain_config config;
    struct err e = ERR_INIT;

    if (xl_config_retrieve(&m->xl, m->domid, &config, &e)) {
        log_warn(m->log, "%s; using what was known before", e.text);
        return;
    }
    libxl_domain_config_dispose(&m->config);
    m->config = config;
}

static void dump_core(struct monitor *m)
{
    char path[XL_NAME_BYTES + 32];

    /* Where xl puts them. */
    snprintf(path, sizeof(path), "/var/lib/xen/dump/%s", m->config.c_info.name);
    log_info(m->log, "writing a core dump to %s", path);
    xl_begin(&m->xl);

    const int rc = libxl_domain_core_dump(m->xl.ctx, m->domid, path, NULL);
    struct err e = ERR_INIT;

    if (rc) {
        xl_failed(&m->xl, rc, ERR_LOCAL, &e, "no core dump");
        log_error(m->log, "%s", e.text);
    }
}

/* The dead domain stays under another name and UUID, to be looked at. */
static int set_aside(struct monitor *m, struct err *e)
{
    const time_t now = time(NULL);
    libxl_uuid uuid;
    char suffix[24];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(suffix, sizeof(suffix), "-%Y%m%dT%H%MZ", &tm);
    libxl_uuid_generate(&uuid);
    xl_begin(&m->xl);

    const int rc = libxl_domain_preserve(m->xl.ctx, m->domid, &m->config.c_info, suffix, uuid);

    return rc ? xl_failed(&m->xl, rc, ERR_LOCAL, e, "cannot set domain %u aside as %s%s", m->domid,
                    m->config.c_info.name, suffix)
              : 0;
}

static int create_once(struct monitor *m, struct err *e)
{
    libxl_domain_config config;
    uint32_t domid = INVALID_DOMID;

    libxl_domain_config_init(&config);
    libxl_domain_config_copy(m->xl.ctx, &config, &m->config);
    config.c_info.domid = INVALID_DOMID;
    xl_begin(&m->xl);

    const int rc = libxl_domain_create_new(m->xl.ctx, &config, &domid, NULL, NULL);

    libxl_domain_config_dispose(&config);
    if (rc)
        return xl_failed(
            &m->xl, rc, ERR_LOCAL, e, "cannot start \"%s\" again", m->config.c_info.name);
    m->domid = domid;
    return 0;
}

static int create_anew(struct monitor *m, struct err *e)
{
    for (int attempt = 1;; attempt++) {
        struct err one = ERR_INIT;
        const int rc = create_once(m, &one);

        if (!rc)
            return 0;
        if (attempt == RESTART_ATTEMPTS)
            return err_take(e, &one);
        log_warn(m->log, "%s; trying again", one.text);
        sleep_until_ns(deadline_in(RESTART_PAUSE_NS));
    }
}

static int soft_reset(struct monitor *m, struct err *e)
{
    xl_begin(&m->xl);

    const int rc = libxl_domain_soft_reset(m->xl.ctx, &m->config, m->domid, NULL, NULL);

    return rc ? xl_failed(&m->xl, rc, ERR_LOCAL, e, "cannot reset domain %u softly", m->domid) : 0;
}

/* Nobody needs the log of a domain that ended well, nor what logrotate made of it. */
static void remove_files(const struct monitor *m, bool ended_well)
{
    static const char *const logs[] = {"log", "log.1"};
    char path[MONITOR_PATH_BYTES];
    struct err ignored = ERR_INIT;

    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++)
        if (ended_well && !make_path(m->uuid, logs[i], path, &ignored))
            unlink(path);
    if (!make_path(m->uuid, "lock", path, &ignored))
        lock_file_drop(path, m->lock_fd);
}

/* Carry out the plan. 1: the domain runs again, watched; 0: the work is done. Does not return when
 * the domain is left as it is. */
static int act(struct monitor *m, struct monitor_plan plan, struct err *e)
{
    int rc = 0;

    if (plan.core_dump)
        dump_core(m);
    /* Mostly a guest that is being moved and stands still: to free libxl's context, and to end,
     * would take tens of ms from those who move it. A new monitor need not wait for that. */
    if (plan.step == MONITOR_END) {
        remove_files(m, true);
        sleep_until_ns(deadline_in(STANDS_STILL_NS));
        _exit(EXIT_DONE);
    }
    if (plan.step != MONITOR_DESTROY)
        refresh_config(m);
    unwatch_death(m);
    if (plan.step == MONITOR_RENAME_RESTART)
        rc = set_aside(m, e);
    else if (plan.step != MONITOR_SOFT_RESET)
        rc = xl_destroy(&m->xl, m->domid, e);
    if (rc || plan.step == MONITOR_DESTROY)
        return rc;
    rc = plan.step == MONITOR_SOFT_RESET ? soft_reset(m, e) : create_anew(m, e);
    if (!rc)
        rc = xl_unpause(&m->xl, m->domid, DEADLINE_NEVER, e);
    if (!rc)
        rc = watch_death(m, e);
    if (!rc)
        log_info(m->log, "\"%s\" runs again as domain %u", m->config.c_info.name, m->domid);
    return rc ? rc : 1;
}

static int watch_over(struct monitor *m, struct err *e)
{
    for (;;) {
        libxl_event *ev;
        int rc;

        xl_begin(&m->xl);
        rc = libxl_event_wait(m->xl.ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL);
        if (rc)
            return xl_failed(&m->xl, rc, ERR_LOCAL, e, "waiting for domain %u to end", m->domid);

        const libxl_event_type type = ev->type;
        const bool ours = ev->domid == m->domid;
        const int reason = type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN
                               ? ev->u.domain_shutdown.shutdown_reason
                               : 0;

        libxl_event_free(m->xl.ctx, ev);
        if (!ours)
            continue;
        if (type == LIBXL_EVENT_TYPE_DOMAIN_DEATH) {
            log_info(m->log, "domain %u is gone", m->domid);
            return 0;
        }
        if (type != LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
            continue;

        const char *why = libxl_shutdown_reason_to_string((libxl_shutdown_reason)reason);

        log_info(m->log, "domain %u has shut down: %s", m->domid, why ? why : "no known reason");
        rc = act(m, monitor_plan(&m->config, reason), e);
        if (rc <= 0)
            return rc;
    }
}

static void log_with_time(void *arg, enum log_level level, const char *line)
{
    const time_t now = time(NULL);
    char stamp[32];
    struct tm tm;

    (void)arg;
    (void)level;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%F %T", &tm);
    fprintf(stderr, "%s monitor %d: %s\n", stamp, (int)getpid(), line);
}

/* One monitor for each domain. -EBUSY without an error: another one has it. */
static int take_lock(struct monitor *m, struct err *e)
{
    char path[MONITOR_PATH_BYTES];
    int rc = make_path(m->uuid, "lock", path, e);

    if (rc)
        return rc;
    rc = lock_file_wait(path, deadline_in(LOCK_LIMIT_NS), &m->lock_fd);
    if (rc == -EWOULDBLOCK)
        return -EBUSY;
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot open the lock %s", path) : 0;
}

static int watch_until_end(struct monitor *m, const char *name, struct err *e)
{
    int rc = xl_config_retrieve(&m->xl, m->domid, &m->config, e);

    if (rc)
        return rc;
    log_info(m->log, "watching \"%s\", domain %u", name, m->domid);
    rc = watch_death(m, e);
    if (!rc)
        rc = watch_over(m, e);
    unwatch_death(m);
    libxl_domain_config_dispose(&m->config);
    return rc;
}

static int run(struct monitor *m, struct err *e)
{
    struct xl_domain d;
    int rc = xl_prepare_process(e);

    if (!rc)
        rc = xl_open(&m->xl, m->log, DEADLINE_NEVER, e);
    if (rc)
        return rc;
    m->xl.patient = true; /* nobody waits for it, and the guest would be left without */
    rc = xl_look_at(&m->xl, m->domid, m->uuid, &d, e);
    if (rc == -ESRCH) {
        /* It was moved on, or destroyed, before we came to look. */
        log_info(m->log, "domain %u is gone already", m->domid);
        *e = (struct err)ERR_INIT;
        rc = 0;
    } else if (!rc) {
        rc = watch_until_end(m, d.name, e);
    }
    xl_close(&m->xl);
    return rc;
}

int monitor_main(const char *domid_text, const char *uuid)
{
    const struct log log = {.max = LOG_INFO, .write = log_with_time};
    struct monitor m = {.log = &log};
    struct err e = ERR_INIT;
    uint64_t domid;
    int rc;

    if (!parse_u64(domid_text, 1, LINK_MAX_DOMID, &domid) ||
        strlen(uuid) != XL_UUID_TEXT_BYTES - 1) {
        log_error(&log, "--monitor wants a domain's number and UUID; xmigrate starts it itself");
        return EXIT_USAGE;
    }
    prctl(PR_SET_NAME, "xmigrate"); /* it was started as /proc/self/exe */
    m.domid = (uint32_t)domid;
    snprintf(m.uuid, sizeof(m.uuid), "%s", uuid);
    rc = take_lock(&m, &e);
    if (rc == -EBUSY && !err_is_set(&e)) {
        log_info(&log, "domain %u has a monitor already", m.domid);
        return EXIT_DONE;
    }
    if (!rc) {
        rc = run(&m, &e);
        remove_files(&m, !rc);
    }
    if (rc)
        log_error(&log, "%s", e.text);
    return rc ? EXIT_FAILED : EXIT_DONE;
}
