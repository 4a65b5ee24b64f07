/* SPDX-License-Identifier: MIT */
/* What is said of a migration beforehand, as tables of numbers. */
#include "base/deadline.h"
#include "sched/forecast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define MS NS_PER_MS

/* A guest of 100,000 pages that wrote to dirty of them in 5 s, as fast in the first tenth of a
 * second as over all of it, or to all of them at once (full). */
static struct stats watch(uint64_t dirty, bool full)
{
    struct stats s = {0};

    stats_add_peek(&s, NS_PER_S / 10, full ? dirty : dirty / 50);
    stats_add_round(&s, &(struct stats_round){.elapsed_ns = 5 * NS_PER_S,
                            .window_ns = 5 * NS_PER_S,
                            .clean_ns = MS,
                            .dirty_pages = dirty,
                            .left_pages = dirty,
                            .cpu_percent = 100});
    return s;
}

/* A link of 50,000 pages/s; 80 ms of the pause are not pages. */
static struct forecast_of over(const struct stats *watched)
{
    return (struct forecast_of){
        .observed = watched,
        .pages = 100000,
        .send_pages_per_s = 50000,
        .page_bytes = 4125,
        .limits = {.max_downtime_ns = 300 * MS, .max_rounds = 30},
        .costs = {.suspend_ns = 40 * MS, .state_ns = 5 * MS, .receiver_ns = 35 * MS},
    };
}

static void test_an_idle_guest_takes_two_rounds(void **state)
{
    (void)state;
    const struct stats s = watch(10, false);
    struct forecast_of of = over(&s);
    struct forecast f;

    forecast_run(&of, &f);
    assert_true(f.met);
    assert_int_equal(f.rounds, 2);
    assert_in_range(f.time_ns, 2000 * MS, 2200 * MS);
    assert_in_range(f.bytes, 99900ull * 4125, 100100ull * 4125);
    assert_in_range(f.last.now.whole_ns, 80 * MS, 90 * MS);
    assert_true(f.last.now.low_ns < f.last.now.whole_ns);
    assert_true(f.last.now.high_ns > f.last.now.whole_ns);

    /* A mark is nearly nothing. */
    of.zero_share = 0.75;
    forecast_run(&of, &f);
    assert_in_range(f.time_ns, 500 * MS, 700 * MS);
    assert_in_range(f.bytes, 25000ull * 4125, 27000ull * 4125);
}

/* 10,000 pages/s on 50,000: each round leaves a fifth. */
static void test_rounds_shrink_until_the_pause_fits(void **state)
{
    (void)state;
    const struct stats s = watch(50000, false);
    const struct forecast_of of = over(&s);
    struct forecast f;

    forecast_run(&of, &f);
    assert_true(f.met);
    assert_string_equal(reason_name(f.last.reason), "downtime");
    assert_in_range(f.rounds, 3, 4);
    assert_null(strstr(f.words, "over the"));
}

static void test_a_busy_guest_is_said_to_miss_the_target(void **state)
{
    (void)state;
    const struct stats s = watch(60000, true);
    struct forecast_of of = over(&s);
    struct forecast f;

    forecast_run(&of, &f);
    assert_false(f.met);
    assert_int_equal(f.last.action, ACT_SUSPEND);
    assert_string_equal(reason_name(f.last.reason), "minimum");
    assert_in_range(f.last.now.whole_ns, 1250 * MS, 1350 * MS); /* 60,000 at 50,000/s, and 80 ms */
    assert_non_null(strstr(f.words, "over the 300 ms asked"));

    of.limits.on_stall = ON_STALL_ABORT;
    forecast_run(&of, &f);
    assert_false(f.met);
    assert_int_equal(f.last.action, ACT_GIVE_UP);
    assert_in_range(f.bytes / 4125, 90000, 101000); /* 70,000, none, half of 60,000 */
}

/* 100,000 pages/s on 50,000, not full: half as fast and a bit is enough. */
static void test_a_slower_guest_is_foreseen(void **state)
{
    (void)state;
    struct stats s = {0};
    struct forecast f;

    stats_add_peek(&s, NS_PER_S / 10, 10000);
    stats_add_round(&s, &(struct stats_round){.window_ns = NS_PER_S,
                            .elapsed_ns = NS_PER_S,
                            .clean_ns = MS,
                            .dirty_pages = 90000,
                            .left_pages = 90000,
                            .cpu_percent = 100});

    struct forecast_of of = over(&s);

    forecast_run(&of, &f);
    assert_false(f.met);
    assert_int_equal(f.cap_percent, 0);
    of.limits.on_stall = ON_STALL_THROTTLE;
    forecast_run(&of, &f);
    assert_true(f.met);
    assert_in_range(f.cap_percent, 10, 50);
    assert_true(f.last.now.whole_ns <= 300 * MS);
}

static void test_limits_are_kept_beforehand_too(void **state)
{
    (void)state;
    const struct stats s = watch(50000, false);
    struct forecast_of of = over(&s);
    struct forecast f;

    of.limits.max_rounds = 1;
    forecast_run(&of, &f);
    assert_string_equal(reason_name(f.last.reason), "rounds");
    assert_int_equal(f.rounds, 2);
    assert_false(f.met);
}

static void test_nonsense_ends(void **state)
{
    (void)state;
    const struct stats s = watch(100000, true);
    struct forecast_of of = over(&s);
    struct forecast f;

    of.send_pages_per_s = 0;
    of.limits.max_rounds = 0;
    forecast_run(&of, &f);
    assert_false(f.met);
    of = over(&s);
    of.pages = 0;
    forecast_run(&of, &f);
    assert_true(f.met);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_guest_takes_two_rounds),
        cmocka_unit_test(test_rounds_shrink_until_the_pause_fits),
        cmocka_unit_test(test_a_busy_guest_is_said_to_miss_the_target),
        cmocka_unit_test(test_a_slower_guest_is_foreseen),
        cmocka_unit_test(test_limits_are_kept_beforehand_too),
        cmocka_unit_test(test_nonsense_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
