/* SPDX-License-Identifier: MIT */
/* An estimate follows the newest measurements of its kind. */
#include "cmd/xmigrate/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { OTHERWISE = 4711 };

static int64_t from(const char *text, unsigned kind)
{
    return history_from_text(text, strlen(text), kind, OTHERWISE);
}

static void no_past_is_what_the_caller_thinks(void **arg)
{
    (void)arg;
    assert_int_equal(from("", 0), OTHERWISE);
    assert_int_equal(from("3 77\n", 2), OTHERWISE);
}

static void median_of_the_newest_counts(void **arg)
{
    (void)arg;
    assert_int_equal(from("1 5\n1 9\n1 7\n", 1), 7);
    assert_int_equal(from("1 1\n1 1\n1 1\n1 9\n1 5\n1 8\n1 7\n1 6\n", 1), 7);
    assert_int_equal(from("1 5\n2 800\n1 7\n", 1), 7);
    assert_int_equal(from("1 5\n1 6\n1 9000\n1 5\n1 6\n", 1), 6);
}

static void garbage_is_skipped(void **arg)
{
    (void)arg;
    assert_int_equal(from("1 5\n1 x\n-1 9\n1 9 9\n1\n\n1 -3\n", 1), 5);
    assert_int_equal(from("1 5\n1 999999999999999999\n", 1), 5);
    assert_int_equal(from("1 5\n1 8", 1), 5); /* cut short */
    assert_int_equal(from("1 5\n1  8\n 1 8\n01 8\n1 08\n1 8 \n0000000018\n", 1), 5);
    assert_int_equal(history_from_text("1 5\n1 8\0\n", 9, 1, OTHERWISE), 5);
    assert_int_equal(from("7 5\n", 1), from("", 1));
}

static void record_is_read_back(void **arg)
{
    char dir[] = "/tmp/xmigrate-finish-XXXXXX";
    char path[64];
    struct err e = ERR_INIT;

    (void)arg;
    assert_non_null(mkdtemp(dir));
    setenv("XMIGRATE_RUN_DIR", dir, 1);
    assert_true(history_estimate_ns(HISTORY_FINISH, 4, OTHERWISE) == OTHERWISE);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(history_record(HISTORY_FINISH, 1, i, &e), 0);
    assert_int_equal(history_record(HISTORY_FINISH, 4, 1234, &e), 0);
    assert_int_equal(history_estimate_ns(HISTORY_FINISH, 4, OTHERWISE), 1234);
    assert_int_equal(history_estimate_ns(HISTORY_FINISH, 1, OTHERWISE), 997);
    assert_int_equal(history_estimate_ns(HISTORY_SUSPEND, 4, OTHERWISE), OTHERWISE);
    strcpy(path, dir);
    strcat(path, "/finish");
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_past_is_what_the_caller_thinks),
        cmocka_unit_test(median_of_the_newest_counts),
        cmocka_unit_test(garbage_is_skipped),
        cmocka_unit_test(record_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
