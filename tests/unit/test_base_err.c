/* SPDX-License-Identifier: MIT */
/* Errors: the first cause wins, a failure never becomes success, no text overflows. */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_the_first_cause_wins(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_false(err_is_set(&e));
    assert_int_equal(err_set(&e, ERR_PEER, EPROTO, "lane %d spoke nonsense", 3), -EPROTO);
    assert_int_equal(err_set(&e, ERR_LOCAL, ENOMEM, "cleanup"), -ENOMEM);
    assert_int_equal(err_sys(&e, ERR_LOCAL, EIO, "more cleanup"), -EIO);
    assert_int_equal(e.class, ERR_PEER);
    assert_int_equal(e.code, EPROTO);
    assert_string_equal(e.text, "lane 3 spoke nonsense");
}

static void test_a_code_of_zero_is_still_a_failure(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&e, ERR_LOCAL, 0, "errno was lost"), -EIO);
    assert_int_equal(e.code, EIO);
    e = (struct err)ERR_INIT;
    assert_int_equal(err_set(&e, ERR_LOCAL, -EINVAL, "the sign was wrong"), -EIO);
}

static void test_the_systems_words_are_added(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    err_sys(&e, ERR_LOCAL, ENOENT, "cannot open %s", "/x");
    assert_string_equal(e.text, "cannot open /x: No such file or directory");
    e = (struct err)ERR_INIT;
    err_sys(&e, ERR_LOCAL, 100000, "cannot open /x");
    assert_string_equal(e.text, "cannot open /x: error");
}

static void test_prepend_says_what_was_being_done(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    err_prepend(&e, "nothing is set");
    assert_false(err_is_set(&e));
    err_set(&e, ERR_GUEST, EBUSY, "it did not suspend");
    err_prepend(&e, "domain %d", 7);
    assert_string_equal(e.text, "domain 7: it did not suspend");
}

static void assert_shown(const char *text, const char *shown)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_LOCAL, EIO, "%s", text);
    assert_string_equal(e.text, shown);
}

/* JSON, and with it the other host and --json, takes nothing but UTF-8. */
static void test_a_text_is_one_line_of_utf8(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_shown(
        "M\xc3\xbcll \xe2\x82\xac \xf0\x9f\x90\xa7", "M\xc3\xbcll \xe2\x82\xac \xf0\x9f\x90\xa7");
    assert_shown("two\nlines\x1b[2J\x7f", "two?lines?[2J?");
    assert_shown("latin \xfc.", "latin ?.");
    assert_shown("cut \xe2\x82", "cut ??");
    assert_shown("overlong \xc0\xaf \xe0\x80\x80", "overlong ?? ???");
    assert_shown("surrogate \xed\xa0\x80", "surrogate ???");
    assert_shown("beyond \xf4\x90\x80\x80", "beyond ????");
    assert_shown("control \xc2\x9b", "control ??");
    assert_shown("alone \x80\xbf\xff", "alone ???");
    err_set(&e, ERR_LOCAL, EIO, "why");
    err_prepend(&e, "\xfc\n");
    assert_string_equal(e.text, "??: why");
}

static void test_long_texts_are_cut_not_overrun(void **state)
{
    struct err e = ERR_INIT;
    char longer[ERR_TEXT_BYTES + 100];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    err_sys(&e, ERR_LOCAL, EIO, "%s", longer);
    assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
    err_prepend(&e, "%s", longer);
    assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
}

static void test_take_moves_an_error_once(void **state)
{
    struct err first = ERR_INIT, second = ERR_INIT, owner = ERR_INIT;

    (void)state;
    err_set(&first, ERR_PEER, EPIPE, "first");
    err_set(&second, ERR_LOCAL, EIO, "second");
    assert_int_equal(err_take(&owner, &first), -EPIPE);
    assert_int_equal(err_take(&owner, &second), -EPIPE);
    assert_string_equal(owner.text, "first");
}

/* Also of what is none: a class may have come from elsewhere. */
static void test_everything_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(err_class_name(ERR_USAGE), "usage");
    assert_string_equal(err_class_name(ERR_CANCELLED), "cancelled");
    assert_string_equal(err_class_name((enum err_class)99), "internal");
    assert_string_equal(err_side_name(SIDE_DESTINATION), "destination");
    assert_string_equal(err_side_name((enum err_side)99), "unknown");
    assert_string_equal(err_code_name(ENOMEM), "no-memory");
    assert_string_equal(err_code_name(99999), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_cause_wins),
        cmocka_unit_test(test_a_code_of_zero_is_still_a_failure),
        cmocka_unit_test(test_the_systems_words_are_added),
        cmocka_unit_test(test_prepend_says_what_was_being_done),
        cmocka_unit_test(test_a_text_is_one_line_of_utf8),
        cmocka_unit_test(test_long_texts_are_cut_not_overrun),
        cmocka_unit_test(test_take_moves_an_error_once),
        cmocka_unit_test(test_everything_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
