/* SPDX-License-Identifier: MIT */
/* What the monitor does about a shutdown is what the configuration says, and it is quick about
 * leaving a guest that is being moved. libxl (xl_*) is played here. */
#include "cmd/xmigrate/libxl/monitor.h"

#include "cmd/exit_codes.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/config.h"
#include "tests/unit/fake_libxl.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

/* How a monitor that frees its context ends. */
enum { DOMID = 5, EXIT_FREED = 77 };

static libxl_event event;

int xl_prepare_process(struct err *e)
{
    (void)e;
    return 0;
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    (void)deadline_ns;
    (void)e;
    xl->log = log;
    return 0;
}

void xl_close(struct xl *xl)
{
    (void)xl;
    _exit(EXIT_FREED);
}

void xl_begin(struct xl *xl)
{
    (void)xl;
}

int xl_failed(struct xl *xl, int rc, enum err_class class, struct err *e, const char *fmt, ...)
{
    (void)xl;
    (void)rc;
    return err_set(e, class, EIO, "%s", fmt);
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)e;
    *d = (struct xl_domain){.domid = domid, .name = "g"};
    return strcmp(uuid, UUID) ? -ESRCH : 0;
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    (void)xl;
    return err_set(e, ERR_LOCAL, EIO, "domain %u was to be destroyed", domid);
}

int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    (void)xl;
    (void)deadline_ns;
    return err_set(e, ERR_LOCAL, EIO, "domain %u was to be unpaused", domid);
}

int xl_config_retrieve(struct xl *xl, uint32_t domid, libxl_domain_config *config, struct err *e)
{
    (void)xl;
    (void)domid;
    (void)e;
    memset(config, 0, sizeof(*config));
    return 0;
}

int libxl_evenable_domain_death(
    libxl_ctx *ctx, uint32_t domid, libxl_ev_user user, libxl_evgen_domain_death **watch)
{
    (void)ctx;
    (void)user;
    *watch = NULL;
    return domid == DOMID ? 0 : ERROR_DOMAIN_NOTFOUND;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t mask,
    libxl_event_predicate *predicate, void *user)
{
    (void)ctx;
    (void)mask;
    (void)predicate;
    (void)user;
    *event_r = &event;
    return 0;
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t mask,
    libxl_event_predicate *predicate, void *user)
{
    (void)ctx;
    (void)event_r;
    (void)mask;
    (void)predicate;
    (void)user;
    return ERROR_NOT_READY;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *done)
{
    (void)ctx;
    (void)done;
}

/* How a monitor ends whose domain does that. */
static int watch_a_domain_that(libxl_event_type type, int reason)
{
    int status;

    event = (libxl_event){.type = type, .domid = DOMID};
    event.u.domain_shutdown.shutdown_reason = (uint8_t)reason;

    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        /* What it logs is of no interest here. */
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        _exit(monitor_main("5", UUID));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_suspended_guest_does_not_wait_for_its_old_monitor(void **arg)
{
    (void)arg;
    assert_int_equal(
        watch_a_domain_that(LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_SUSPEND),
        EXIT_DONE);
    /* Others have the time. */
    assert_int_equal(watch_a_domain_that(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0), EXIT_FREED);
}

static void each_action_has_its_step(void **arg)
{
    static const struct {
        libxl_action_on_shutdown action;
        enum monitor_step step;
        bool core_dump;
    } table[] = {
        {LIBXL_ACTION_ON_SHUTDOWN_DESTROY, MONITOR_DESTROY, false},
        {LIBXL_ACTION_ON_SHUTDOWN_RESTART, MONITOR_RESTART, false},
        {LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME, MONITOR_RENAME_RESTART, false},
        {LIBXL_ACTION_ON_SHUTDOWN_PRESERVE, MONITOR_END, false},
        {LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY, MONITOR_DESTROY, true},
        {LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART, MONITOR_RESTART, true},
        {LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET, MONITOR_SOFT_RESET, false},
        {(libxl_action_on_shutdown)0, MONITOR_DESTROY, false},
    };

    (void)arg;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const libxl_domain_config config = {.on_crash = table[i].action};
        const struct monitor_plan plan = monitor_plan(&config, LIBXL_SHUTDOWN_REASON_CRASH);

        assert_int_equal(plan.step, table[i].step);
        assert_int_equal(plan.core_dump, table[i].core_dump);
    }
}

static void each_reason_has_its_action(void **arg)
{
    const libxl_domain_config config = {
        .on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_DESTROY,
        .on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART,
        .on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME,
        .on_crash = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE,
        .on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET,
    };

    (void)arg;
    assert_int_equal(monitor_plan(&config, LIBXL_SHUTDOWN_REASON_POWEROFF).step, MONITOR_DESTROY);
    assert_int_equal(monitor_plan(&config, LIBXL_SHUTDOWN_REASON_REBOOT).step, MONITOR_RESTART);
    assert_int_equal(
        monitor_plan(&config, LIBXL_SHUTDOWN_REASON_WATCHDOG).step, MONITOR_RENAME_RESTART);
    assert_int_equal(monitor_plan(&config, LIBXL_SHUTDOWN_REASON_CRASH).step, MONITOR_END);
    assert_int_equal(
        monitor_plan(&config, LIBXL_SHUTDOWN_REASON_SOFT_RESET).step, MONITOR_SOFT_RESET);
}

static void suspended_guest_is_left_alone(void **arg)
{
    const libxl_domain_config config = {.on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_DESTROY};

    (void)arg;
    assert_int_equal(monitor_plan(&config, LIBXL_SHUTDOWN_REASON_SUSPEND).step, MONITOR_END);
}

static void unknown_reason_destroys(void **arg)
{
    const libxl_domain_config config = {.on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE};

    (void)arg;
    assert_int_equal(monitor_plan(&config, 99).step, MONITOR_DESTROY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_action_has_its_step),
        cmocka_unit_test(each_reason_has_its_action),
        cmocka_unit_test(suspended_guest_is_left_alone),
        cmocka_unit_test(unknown_reason_destroys),
        cmocka_unit_test(a_suspended_guest_does_not_wait_for_its_old_monitor),
    };

    if (fake_run_dir_make())
        return 1;

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return fake_run_dir_remove() ? 1 : failed;
}
