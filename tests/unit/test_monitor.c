/* SPDX-License-Identifier: MIT */
/* What the monitor does about a shutdown is what the configuration says. */
#include "cmd/xmigrate/libxl/monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
