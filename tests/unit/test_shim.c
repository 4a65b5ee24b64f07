/* SPDX-License-Identifier: MIT */
/*
 * The process that libxl waits for, and the engine that outlives it. Each test plays libxl: it
 * starts the first process and sees how that ends.
 */
#include "cmd/helper/shim.h"

#include "base/deadline.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WELL = 0, CAUGHT = 7, UNWELL = 9 };

static int words[2]; /* from the engine */

static void say(char word)
{
    if (write(words[1], &word, 1) != 1)
        _exit(UNWELL);
}

static char hear(void)
{
    char word = 0;

    return read(words[0], &word, 1) == 1 ? word : 0;
}

static void catch_term(int sig)
{
    (void)sig;
    say('t');
    _exit(CAUGHT);
}

/* libxl's child; engine() is what its other half does. */
static pid_t start(void (*engine)(struct shim *s))
{
    assert_int_equal(pipe(words), 0);

    const pid_t pid = fork();

    if (!pid) {
        struct shim s = {.release_fd = -1};
        struct err e = ERR_INIT;

        signal(SIGTERM, catch_term);
        close(words[0]);
        if (shim_start(&s, &e))
            _exit(UNWELL);
        say('s');
        engine(&s);
        _exit(WELL);
    }
    close(words[1]);
    assert_int_equal(hear(), 's');
    return pid;
}

static int end_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void engine_ends_well(struct shim *s)
{
    (void)s;
}

static void engine_ends_badly(struct shim *s)
{
    (void)s;
    _exit(5);
}

static void engine_is_killed(struct shim *s)
{
    (void)s;
    raise(SIGKILL);
}

static void engine_waits(struct shim *s)
{
    (void)s;
    pause();
}

static void engine_outlives_it(struct shim *s)
{
    struct err e = ERR_INIT;

    if (shim_release(s, &e))
        _exit(UNWELL);
    sleep_until_ns(deadline_in(300 * NS_PER_MS));
    say('o');
}

static void it_ends_as_the_engine_ends(void **state)
{
    (void)state;
    assert_int_equal(end_of(start(engine_ends_well)), WELL);
    assert_int_equal(end_of(start(engine_ends_badly)), 5);
    assert_int_equal(end_of(start(engine_is_killed)), 1);
}

static void the_engine_goes_on_when_it_has_let_go(void **state)
{
    (void)state;
    assert_int_equal(end_of(start(engine_outlives_it)), WELL);
    assert_int_equal(hear(), 'o');
    assert_int_equal(hear(), 0);
}

/* libxl's way to abort, and its last resort. */
static void the_engine_is_stopped_with_it(void **state)
{
    (void)state;
    pid_t pid = start(engine_waits);

    kill(pid, SIGTERM);
    assert_int_equal(end_of(pid), CAUGHT);
    assert_int_equal(hear(), 't');

    pid = start(engine_waits);
    kill(pid, SIGKILL);
    assert_int_equal(end_of(pid), -SIGKILL);
    assert_int_equal(hear(), 't');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_as_the_engine_ends),
        cmocka_unit_test(the_engine_goes_on_when_it_has_let_go),
        cmocka_unit_test(the_engine_is_stopped_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
