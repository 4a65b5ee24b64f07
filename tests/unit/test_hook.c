/* SPDX-License-Identifier: MIT */
/* --while-suspended: what it is told, and that the guest never waits for one that will not end. */
#include "cmd/xmigrate/hook.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/link.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* SIGKILL does nothing, as to a process in an uninterruptible sleep. */
static bool immortal;
static pid_t killed;

int kill(pid_t pid, int sig)
{
    killed = pid;
    return immortal ? 0 : (int)syscall(SYS_kill, pid, sig);
}

static struct hook hook_of(const char *command)
{
    return (struct hook){.command = command,
        .domain = "g",
        .uuid = "u",
        .file = "/f",
        .domid = 7,
        .config = "{}",
        .limit_ns = 20 * NS_PER_S};
}

static int run(const char *command, int64_t limit_ns, struct err *e)
{
    struct hook h = hook_of(command);

    h.limit_ns = limit_ns;
    *e = (struct err)ERR_INIT;
    return hook_run(&h, NULL, e);
}

static void its_end_is_its_word(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(run("exit 0", 20 * NS_PER_S, &e), 0);
    assert_true(run("exit 7", 20 * NS_PER_S, &e) < 0);
    assert_non_null(strstr(e.text, "exit code 7"));
    assert_true(run("kill -9 $$", 20 * NS_PER_S, &e) < 0);
    assert_non_null(strstr(e.text, "signal 9"));
}

static void it_is_told_of_the_guest_and_not_of_our_operation(void **state)
{
    struct err e;

    (void)state;
    setenv(LINK_ENV, "/link", 1);
    setenv("LIBXL_SAVE_HELPER", "/helper", 1);
    setenv("KEPT", "yes", 1);
    assert_int_equal(
        run("[ \"$XMIGRATE_DOMAIN$XMIGRATE_DOMID$KEPT\" = g7yes ]", 20 * NS_PER_S, &e), 0);
    assert_int_equal(
        run("[ -z \"${" LINK_ENV "+x}${LIBXL_SAVE_HELPER+x}\" ]", 20 * NS_PER_S, &e), 0);
}

static void one_that_takes_too_long_is_killed_with_its_group(void **state)
{
    struct err e;

    (void)state;
    immortal = false;
    assert_true(run("sleep 100 & sleep 100", 200 * NS_PER_MS, &e) == -ETIMEDOUT);
    assert_null(strstr(e.text, "still there"));
    assert_true(killed < -1);
    assert_int_equal(waitpid(-killed, NULL, WNOHANG), -1); /* nobody is left to be waited for */
}

static void one_that_cannot_be_killed_is_left_behind(void **state)
{
    const int64_t begun_ns = now_ns();
    struct err e;

    (void)state;
    immortal = true;
    assert_true(run("exec sleep 100", 200 * NS_PER_MS, &e) == -ETIMEDOUT);
    assert_true(now_ns() - begun_ns < 20 * NS_PER_S);
    assert_non_null(strstr(e.text, "--hook-timeout"));
    assert_non_null(strstr(e.text, "still there"));
    immortal = false;
    assert_int_equal(kill(killed, SIGKILL), 0);
    assert_int_equal(waitpid(-killed, NULL, 0), -killed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_end_is_its_word),
        cmocka_unit_test(it_is_told_of_the_guest_and_not_of_our_operation),
        cmocka_unit_test(one_that_takes_too_long_is_killed_with_its_group),
        cmocka_unit_test(one_that_cannot_be_killed_is_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
