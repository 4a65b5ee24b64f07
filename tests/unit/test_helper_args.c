/* SPDX-License-Identifier: MIT */
/* The save helper's command line: what libxl 4.14 and later says is taken, the rest refused. */
#include "cmd/helper/args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_WORDS = 16 };

/* Splits line at its blanks and parses it as the helper's arguments. */
static int parse_line(const char *line, struct helper_args *args, struct err *e)
{
    char copy[256], *argv[MAX_WORDS] = {"xmigrate-save-helper"};
    int argc = 1;

    strcpy(copy, line);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return parse_args(argc, argv, args, e);
}

static void test_save_as_xl_migrate_says_it(void **state)
{
    (void)state;
    struct helper_args a;
    struct err e = ERR_INIT;

    assert_int_equal(parse_line("--save-domain 15 11 7 1 136 0", &a, &e), 0);
    assert_true(a.save && a.live && !a.verify);
    assert_int_equal(a.stream_fd, 15);
    assert_int_equal(a.domid, 7);
    assert_int_equal(a.callbacks, 136);
}

static void test_save_not_live_and_debug(void **state)
{
    (void)state;
    struct helper_args a;
    struct err e = ERR_INIT;

    assert_int_equal(parse_line("--save-domain 15 -1 7 2 136 0", &a, &e), 0);
    assert_true(!a.live && a.verify);
}

static void test_restore_as_xl_says_it(void **state)
{
    (void)state;
    struct helper_args a;
    struct err e = ERR_INIT;

    assert_int_equal(parse_line("--restore-domain 11 20 2 1 0 3 4 768 0", &a, &e), 0);
    assert_false(a.save);
    assert_int_equal(a.domid, 2);
    assert_int_equal(a.store_evtchn, 1);
    assert_int_equal(a.store_domid, 0);
    assert_int_equal(a.console_evtchn, 3);
    assert_int_equal(a.console_domid, 4);
    assert_int_equal(a.callbacks, 768);
}

static void assert_refused(const char *line, int code, const char *word)
{
    struct helper_args a;
    struct err e = ERR_INIT;

    assert_int_equal(parse_line(line, &a, &e), -code);
    assert_non_null(strstr(e.text, word));
    assert_null(strchr(e.text, '\n'));
}

static void test_older_dialects_are_refused_in_one_line(void **state)
{
    (void)state;
    assert_refused("--save-domain 15 11 1 1 0 136 0", EINVAL, "another version");
    assert_refused("--restore-domain 11 20 2 1 0 2 0 1 0 768 0", EINVAL, "another version");
}

static void test_checkpointed_streams_are_refused(void **state)
{
    (void)state;
    assert_refused("--save-domain 15 11 1 1 184 1", EOPNOTSUPP, "Remus");
}

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    assert_refused("", EINVAL, "LIBXL_SAVE_HELPER");
    assert_refused("--help", EINVAL, "LIBXL_SAVE_HELPER");
    assert_refused("--save-domain 15 11 x 1 136 0", EINVAL, "\"x\"");
    assert_refused("--save-domain 15 11 99999 1 136 0", EINVAL, "out of range");
    assert_refused("--save-domain -1 11 1 1 136 0", EINVAL, "\"-1\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save_as_xl_migrate_says_it),
        cmocka_unit_test(test_save_not_live_and_debug),
        cmocka_unit_test(test_restore_as_xl_says_it),
        cmocka_unit_test(test_older_dialects_are_refused_in_one_line),
        cmocka_unit_test(test_checkpointed_streams_are_refused),
        cmocka_unit_test(test_nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
