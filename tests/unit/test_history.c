/* SPDX-License-Identifier: MIT */
/* An estimate follows the newest measurements of its kind, with the same host if there are any, and
 * narrows with their number. */
#include "cmd/xmigrate/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct likely found;

static enum history_match from(const char *text, const char *who, const char *kind)
{
    const struct history_key key = {who, kind};

    found = (struct likely){4711, 1, 9999};
    return history_from_text(text, strlen(text), &key, &found);
}

static void assert_found(int64_t low_ns, int64_t ns, int64_t high_ns)
{
    assert_int_equal(found.ns, ns);
    assert_int_equal(found.low_ns, low_ns);
    assert_int_equal(found.high_ns, high_ns);
}

static void no_past_is_what_the_caller_thinks(void **arg)
{
    (void)arg;
    assert_int_equal(from("", "b", "k"), HISTORY_NONE);
    assert_found(1, 4711, 9999);
    assert_int_equal(from("b other 77\n", "b", "k"), HISTORY_NONE);
    assert_found(1, 4711, 9999);
}

static void median_of_the_newest_counts(void **arg)
{
    (void)arg;
    assert_int_equal(from("b k 5\nb k 9\nb k 7\n", "b", "k"), HISTORY_BOTH);
    assert_int_equal(found.ns, 7);
    from("b k 1\nb k 1\nb k 1\nb k 9\nb k 5\nb k 8\nb k 7\nb k 6\n", "b", "k");
    assert_int_equal(found.ns, 7);
    from("b k 5\nb k 6\nb k 9000\nb k 5\nb k 6\n", "b", "k");
    assert_int_equal(found.ns, 6);
}

static void the_same_host_comes_before_the_same_kind(void **arg)
{
    (void)arg;
    assert_int_equal(from("b k 5\nc k 800\nb k 5\n", "b", "k"), HISTORY_BOTH);
    assert_int_equal(found.ns, 5);
    assert_int_equal(from("b k 5\nc k 800\nb j 6\n", "d", "k"), HISTORY_KIND);
    assert_found(2, 800, 1200); /* of others: wide */
    assert_int_equal(from("- k 5\n", "", "k"), HISTORY_BOTH);
}

static void the_range_narrows(void **arg)
{
    char text[256] = "";
    int64_t width_ns = INT64_MAX;

    (void)arg;
    for (int i = 0; i < 5; i++) {
        strcat(text, "b k 1000\n");
        from(text, "b", "k");
        assert_true(found.low_ns < 1000 && found.high_ns > 1000);
        assert_true(found.high_ns - found.low_ns < width_ns);
        width_ns = found.high_ns - found.low_ns;
    }
    assert_found(900, 1000, 1100);
    from("b k 1000\n", "b", "k");
    assert_found(500, 1000, 1500);
    from("b k 400\nb k 1000\nb k 2000\nb k 1000\nb k 1000\n", "b", "k");
    assert_found(360, 1000, 2200); /* but not below what was seen */
}

static void garbage_is_skipped(void **arg)
{
    const struct history_key key = {"b", "k"};

    (void)arg;
    from("b k 5\nb k x\nb k -9\nb k 9 9\nb k\nk 9\n\nb k -3\n", "b", "k");
    assert_int_equal(found.ns, 5);
    from("b k 5\nb k 999999999999999999\n", "b", "k");
    assert_int_equal(found.ns, 5);
    from("b k 5\nb k 8", "b", "k"); /* cut short */
    assert_int_equal(found.ns, 5);
    from("b k 5\nb  k 8\n b k 8\nb k 08\nb k 8 \nb k\t8\n0000000018\n", "b", "k");
    assert_int_equal(found.ns, 5);
    assert_int_equal(history_from_text("b k 5\nb k 8\0\n", 13, &key, &found), HISTORY_BOTH);
    assert_int_equal(found.ns, 5);
    /* As it was written before hosts and kinds were told apart. */
    assert_int_equal(from("0 5\n", "", "0"), HISTORY_NONE);
}

static void record_is_read_back(void **arg)
{
    const struct history_key one = {"SHA256:abc", "phy:1"}, other = {"", "phy:4"};
    char dir[] = "/tmp/xmigrate-finish-XXXXXX";
    char path[64], long_name[200];
    struct likely l = {.ns = 4711};
    struct err e = ERR_INIT;

    (void)arg;
    assert_non_null(mkdtemp(dir));
    setenv("XMIGRATE_RUN_DIR", dir, 1);
    assert_int_equal(history_look_up("finish", &other, &l), HISTORY_NONE);
    assert_int_equal(l.ns, 4711);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(history_record("finish", &one, i, &e), 0);
    assert_int_equal(history_record("finish", &other, 1234, &e), 0);
    assert_int_equal(history_look_up("finish", &other, &l), HISTORY_BOTH);
    assert_int_equal(l.ns, 1234);
    assert_int_equal(history_look_up("finish", &one, &l), HISTORY_BOTH);
    assert_int_equal(l.ns, 3997);
    assert_int_equal(history_look_up("suspend", &one, &l), HISTORY_NONE);

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(
        history_record("finish", &(struct history_key){long_name, "phy:7"}, 77, &e), 0);
    assert_int_equal(
        history_look_up("finish", &(struct history_key){"", "phy:7"}, &l), HISTORY_BOTH);
    assert_int_equal(l.ns, 77);
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
        cmocka_unit_test(the_same_host_comes_before_the_same_kind),
        cmocka_unit_test(the_range_narrows),
        cmocka_unit_test(garbage_is_skipped),
        cmocka_unit_test(record_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
