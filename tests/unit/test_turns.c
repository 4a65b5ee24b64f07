/* SPDX-License-Identifier: MIT */
/* Moves from one host take turns. */
#include "cmd/xmigrate/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void as_many_as_have_processors_for_their_lanes_but_few(void **state)
{
    (void)state;
    assert_int_equal(turns_at_once(2, 2), 1);
    assert_int_equal(turns_at_once(2, 1), 2);
    assert_int_equal(turns_at_once(1, 8), 1);
    assert_int_equal(turns_at_once(15, 8), 1);
    assert_int_equal(turns_at_once(64, 8), 2);
}

static void a_turn_is_one_s_until_it_ends(void **state)
{
    struct turn first = TURN_INIT, second = TURN_INIT, third = TURN_INIT;
    struct err e = ERR_INIT;
    char dir[] = "/tmp/xmigrate-test.XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XMIGRATE_RUN_DIR", dir, 1);
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    assert_int_equal(turn_try_move(&second, 1, &e), 0);
    assert_int_equal(turn_try_move(&second, 2, &e), 1);
    assert_int_equal(turn_try_pause(&third, &e), 1);
    turn_end(&first);
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    turn_end(&first);
    turn_end(&second);
    turn_end(&third);
    turn_end(&third);
    /* Nothing is left of them. */
    assert_int_equal(rmdir(dir), 0);
}

static void who_came_first_is_next(void **state)
{
    struct turn first = TURN_INIT, second = TURN_INIT, third = TURN_INIT;
    struct err e = ERR_INIT;
    char dir[] = "/tmp/xmigrate-test.XXXXXX", stale[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XMIGRATE_RUN_DIR", dir, 1);
    /* Of one that was killed. */
    snprintf(stale, sizeof(stale), "%s/after-0000000000000000001-1", dir);
    fclose(fopen(stale, "we"));
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    assert_int_equal(access(stale, F_OK), -1);
    assert_int_equal(turn_try_move(&second, 1, &e), 0);
    assert_int_equal(turn_try_move(&third, 1, &e), 0);
    turn_end(&first);
    assert_int_equal(turn_try_move(&third, 1, &e), 0);
    assert_int_equal(turn_try_move(&first, 1, &e), 0);
    assert_int_equal(turn_try_move(&second, 1, &e), 1);
    turn_end(&second);
    /* It has not tried for a while. */
    assert_int_equal(futimens(third.ticket_fd, (struct timespec[]){{1, 0}, {1, 0}}), 0);
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    turn_end(&first);
    assert_int_equal(turn_try_move(&third, 1, &e), 1);
    turn_end(&third);
    assert_int_equal(turn_try_move(&third, 1, &e), 1);
    assert_int_equal(turn_try_move(&second, 1, &e), 0);
    assert_int_equal(turn_try_move(&first, 1, &e), 0);
    /* It gave up. */
    turn_end(&second);
    turn_end(&third);
    assert_int_equal(turn_try_move(&first, 1, &e), 1);
    turn_end(&first);
    assert_int_equal(rmdir(dir), 0);
}

static void a_turn_without_a_pause_goes_to_others(void **state)
{
    struct turn first = TURN_INIT, second = TURN_INIT;
    struct err e = ERR_INIT;
    char dir[] = "/tmp/xmigrate-test.XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XMIGRATE_RUN_DIR", dir, 1);
    turn_end_unused(&first);
    assert_int_equal(turn_try_pause(&first, &e), 1);
    turn_end_unused(&first);
    assert_int_equal(turn_try_pause(&second, &e), 0);
    first.unused_ns = now_ns() - 1;
    turn_end_unused(&first);
    assert_int_equal(turn_try_pause(&second, &e), 1);
    turn_end(&second);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_have_processors_for_their_lanes_but_few),
        cmocka_unit_test(a_turn_is_one_s_until_it_ends),
        cmocka_unit_test(who_came_first_is_next),
        cmocka_unit_test(a_turn_without_a_pause_goes_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
