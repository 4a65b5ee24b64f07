/* SPDX-License-Identifier: MIT */
/* What is estimated from what a migration shows, as tables of numbers. */
#include "base/deadline.h"
#include "sched/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MS NS_PER_MS

static void assert_near(double is, double wanted)
{
    if (fabs(is - wanted) > 0.01 * fabs(wanted))
        fail_msg("%g is not %g", is, wanted);
}

static struct stats_round round_of(int64_t window_ns, uint64_t dirty, uint64_t left)
{
    return (struct stats_round){.window_ns = window_ns,
        .clean_ns = MS,
        .dirty_pages = dirty,
        .left_pages = left,
        .sent_pages = 1000,
        .wire_bytes = 2000000};
}

static void test_a_rate_is_pages_over_time(void **state)
{
    (void)state;
    assert_int_equal(pages_per_s(5000, NS_PER_S / 2), 10000);
    assert_int_equal(pages_per_s(5000, 0), 0);
    assert_int_equal(pages_per_s(0, NS_PER_S), 0);
}

static void test_speed_follows_the_newest(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 10; i++)
        stats_add_speed(&s, 10000, 0, 200 * MS);
    assert_near(s.send_pages_per_s, 50000);
    assert_true(s.send_spread < 0.01);
    for (int i = 0; i < 4; i++)
        stats_add_speed(&s, 5000, 0, 200 * MS);
    assert_near(s.send_pages_per_s, 25000);
}

/* What it was before does not last for longer than it takes to be sure. */
static void test_a_link_that_halves_is_believed_soon(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 10; i++)
        stats_add_speed(&s, 10000, 0, 200 * MS);
    stats_add_speed(&s, 5000, 0, 200 * MS);
    assert_true(s.send_pages_per_s > 35000);
    stats_add_speed(&s, 5000, 0, 200 * MS);
    assert_near(s.send_pages_per_s, 25000);
    assert_true(s.send_spread < 0.01);
}

static void test_a_link_that_varies_has_a_spread(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 10; i++)
        stats_add_speed(&s, i % 2 ? 15000 : 5000, 0, 200 * MS);
    assert_true(s.send_spread > 0.4 && s.send_spread < 0.6);
}

/* Speeds that must leave the estimate as it was. */
static void test_bad_speeds_do_not_count(void **state)
{
    (void)state;
    static const struct {
        uint64_t pages;
        int64_t span_ns;
    } speeds[] = {
        {0, 200 * MS},         /* nothing moved */
        {0, 5 * NS_PER_S},     /* for seconds */
        {10000, 0},            /* the clock stood */
        {10000, -NS_PER_S},    /* or went back */
        {10, 3600 * NS_PER_S}, /* or jumped */
        {10000, INT64_MAX},
    };
    struct stats s = {0};

    for (int i = 0; i < 8; i++)
        stats_add_speed(&s, 10000, 0, 200 * MS);
    for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
        stats_add_speed(&s, speeds[i].pages, 0, speeds[i].span_ns);
    assert_near(s.send_pages_per_s, 50000);
}

/* Two of three speeds find no batch done: that does not make the link three times as fast. */
static void test_batches_that_come_seldom_are_not_taken_for_speed(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 12; i++)
        stats_add_speed(&s, i % 3 == 2 ? 600 : 0, 0, 200 * MS);
    assert_near(s.send_pages_per_s, 1000);
}

/* The first round of a small guest on a fast link is over within one measurement, holes and all:
 * until there is another, that is all that is known. */
static void test_a_speed_with_holes_counts_until_there_is_another(void **state)
{
    (void)state;
    const struct stats_round r = {.window_ns = NS_PER_S, .sent_pages = 30000};
    struct stats s = {0};

    stats_add_speed(&s, 100, 1000000, 1 * MS);
    assert_float_equal(s.send_pages_per_s, 0, 0);
    stats_add_speed(&s, 30000, 1000000, 200 * MS);
    stats_add_speed(&s, 10000, 1000000, 200 * MS);
    stats_add_round(&s, &r);
    assert_float_equal(s.send_pages_per_s, 150000, 1);
    stats_add_speed(&s, 10000, 0, 10 * MS);
    stats_add_round(&s, &r);
    assert_float_equal(s.send_pages_per_s, 1000000, 1);
    stats_add_speed(&s, 30000, 1000000, 10 * MS);
    stats_add_round(&s, &r);
    assert_float_equal(s.send_pages_per_s, 1000000, 1);
}

static void test_rounds_that_leave_as_much_are_counted(void **state)
{
    (void)state;
    static const unsigned left[] = {1000, 990, 985, 500, 520, 100}, vain[] = {0, 1, 2, 0, 1, 0};
    struct stats s = {0};

    for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        const struct stats_round r = {
            .window_ns = 100 * MS, .left_pages = left[i], .dirty_pages = left[i]};

        stats_add_round(&s, &r);
        assert_int_equal(s.vain_rounds, vain[i]);
    }
}

static void test_a_short_round_can_only_show_more_speed(void **state)
{
    (void)state;
    const struct stats_round r = round_of(NS_PER_S, 0, 0);
    struct stats s = {0};

    stats_add_speed(&s, 10000, 0, NS_PER_S);
    stats_add_speed(&s, STATS_LEAST_PAGES - 1, 0, NS_PER_S / 2);
    stats_add_round(&s, &r);
    assert_near(s.send_pages_per_s, 10000);
    stats_add_speed(&s, 100, 0, NS_PER_S / 1000);
    stats_add_round(&s, &r);
    assert_true(s.send_pages_per_s > 10000);
}

static void test_a_slow_link_has_a_speed_as_well(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 20; i++)
        stats_add_speed(&s, 20, 0, 200 * MS);
    assert_near(s.send_pages_per_s, 100);
}

static void test_one_window_is_in_proportion(void **state)
{
    (void)state;
    const struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    struct stats s = {0};

    assert_int_equal(stats_dirty_within(&s, NS_PER_S), 0);
    stats_add_round(&s, &r);
    assert_near(stats_dirty_within(&s, NS_PER_S / 2), 4000);
    assert_near(stats_dirty_within(&s, 2 * NS_PER_S), 16000);
    assert_near(s.dirty_pages_per_s, 8000);
}

static void test_peeks_show_that_the_working_set_is_full(void **state)
{
    (void)state;
    const struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    struct stats s = {0};

    stats_add_peek(&s, 100 * MS, 4000);
    stats_add_peek(&s, 300 * MS, 7900);
    stats_add_peek(&s, 600 * MS, 8000);
    stats_add_round(&s, &r);
    assert_near(stats_dirty_within(&s, 50 * MS), 2000);
    assert_near(stats_dirty_within(&s, 100 * MS), 4000);
    assert_near(stats_dirty_within(&s, 10 * NS_PER_S), 8000);
}

static void test_the_round_before_shows_it_too(void **state)
{
    (void)state;
    const struct stats_round first = round_of(2 * NS_PER_S, 9000, 9000);
    const struct stats_round second = round_of(NS_PER_S, 9000, 9000);
    struct stats s = {0};

    stats_add_round(&s, &first);
    stats_add_round(&s, &second);
    assert_near(stats_dirty_within(&s, NS_PER_S), 9000);
    assert_near(stats_dirty_within(&s, 5 * NS_PER_S), 9000);
}

static void test_windows_that_make_no_sense_leave_the_curve(void **state)
{
    (void)state;
    const struct stats_round good = round_of(NS_PER_S, 8000, 8000);
    struct stats_round bad = round_of(0, 100, 100);
    struct stats s = {0};

    stats_add_round(&s, &good);
    stats_add_round(&s, &bad);
    bad.window_ns = -NS_PER_S;
    stats_add_round(&s, &bad);
    assert_near(stats_dirty_within(&s, NS_PER_S), 8000);
    assert_near(s.dirty_pages_per_s, 8000);
    stats_add_peek(&s, -5, 77);
    assert_int_equal(s.running_count, 0);
}

static void test_a_late_clean_is_remembered_for_a_while(void **state)
{
    (void)state;
    struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    struct stats s = {0};

    stats_add_round(&s, &r);
    assert_int_equal(s.clean_ns, MS);
    r.clean_ns = 101 * MS;
    stats_add_round(&s, &r);
    assert_int_equal(s.clean_ns, 101 * MS);
    r.clean_ns = MS;
    stats_add_round(&s, &r);
    assert_int_equal(s.clean_ns, 51 * MS);
    r.clean_ns = -MS;
    stats_add_round(&s, &r);
    assert_int_equal(s.clean_ns, 51 * MS);
}

static void test_a_shorter_window_leaves_what_longer_ones_showed(void **state)
{
    (void)state;
    const struct stats_round whole = round_of(2 * NS_PER_S, 9000, 9000);
    const struct stats_round half = round_of(NS_PER_S, 8000, 8000);
    const struct stats_round most = round_of(NS_PER_S, 9500, 9500);
    struct stats s = {0};

    stats_add_round(&s, &whole);
    stats_add_peek(&s, NS_PER_S / 2, 6000);
    stats_add_round(&s, &half);
    assert_in_range(stats_dirty_within(&s, 2 * NS_PER_S), 8999, 9000);
    stats_add_round(&s, &most); /* more in less time: what was seen then holds no more */
    assert_true(stats_dirty_within(&s, 2 * NS_PER_S) > 9500);
}

static void test_a_sample_adds_to_what_is_left_and_is_no_round(void **state)
{
    (void)state;
    const struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    struct stats_sample l = {.elapsed_ns = 2 * NS_PER_S,
        .window_ns = 100 * MS,
        .clean_ns = MS,
        .dirty_pages = 3000,
        .left_pages = 9000};
    struct stats s = {0};

    stats_add_round(&s, &r);
    s.last.elapsed_ns = 1900 * MS;
    stats_add_sample(&s, &l);
    assert_true(s.observing && s.rounds == 1 && s.least_left_pages == 8000);
    assert_int_equal(s.last.left_pages, 9000);
    assert_int_equal(s.sample_new_pages, 1000);
    assert_in_range(stats_dirty_within(&s, NS_PER_S), 7999, 8000);
    l.elapsed_ns += 100 * MS;
    l.left_pages = 9100;
    stats_add_sample(&s, &l);
    assert_int_equal(s.sample_new_pages, 100);
    assert_int_equal(s.observed_ns, 200 * MS);
    assert_int_equal(s.observed_from_ns, 1900 * MS);
    assert_int_equal(s.observed_from_pages, 8000);
    stats_add_round(&s, &r);
    assert_false(s.observing);
}

/* What a round sends of what was left: what it does not was dirty again before its turn. */
static void test_pages_that_are_not_sent_are_expected_again(void **state)
{
    (void)state;
    struct stats s = {0};
    struct stats_round r = round_of(NS_PER_S, 8000, 8000);

    stats_add_round(&s, &r); /* 1000 of nobody knows how many */
    assert_near(stats_next_sent(&s), 8000);
    r.sent_pages = 6000;
    r.left_pages = 8000;
    stats_add_round(&s, &r);
    assert_near(stats_next_sent(&s), 6000);
    r.left_pages = 4000; /* a quarter again; then half of that in half the time */
    stats_add_round(&s, &r);
    assert_near(stats_next_sent(&s), 3500);
    r.kept_pages = 2000; /* of the 4000, and all others are sent */
    r.sent_pages = 2000;
    stats_add_round(&s, &r);
    assert_near(stats_next_sent(&s), 4000);
}

/* 10,000 pages, all of them within 200 ms. Then in 100 ms as many as it wrote to in 50 ms. */
static void test_a_sample_shows_how_much_slower_it_writes(void **state)
{
    (void)state;
    struct stats s = {0};
    const struct stats_round r = round_of(NS_PER_S, 10000, 10000);

    stats_add_peek(&s, 200 * MS, 10000);
    stats_add_round(&s, &r);
    stats_add_sample(&s,
        &(struct stats_sample){.window_ns = 100 * MS, .dirty_pages = 2500, .left_pages = 10000});
    assert_near(stats_sample_within(&s, 200 * MS), 5000);
    assert_near(stats_sample_within(&s, NS_PER_S), 10000); /* nor does it find more than there is */
    s.sample.window_ns = 0;
    assert_near(stats_sample_within(&s, NS_PER_S), 2500);
}

/* A sample that is longer than the round's window was. */
static void test_a_long_sample_makes_no_slow_guest(void **state)
{
    (void)state;
    struct stats s = {0};
    const struct stats_round before = round_of(NS_PER_S, 10000, 10000);
    const struct stats_round r = round_of(20 * MS, 200, 200);

    stats_add_round(&s, &before);
    stats_add_round(&s, &r); /* as fast */
    stats_add_sample(
        &s, &(struct stats_sample){.window_ns = 100 * MS, .dirty_pages = 1000, .left_pages = 1200});
    assert_near(stats_sample_within(&s, 500 * MS), 5000);
}

static void test_a_calm_guest_ends_the_stall(void **state)
{
    (void)state;
    const struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    const struct stats_sample l = {.window_ns = 100 * MS, .dirty_pages = 10, .left_pages = 8010};
    struct stats s = {0};

    stats_add_round(&s, &r);
    stats_note_stall(&s, true);
    stats_add_sample(&s, &l);
    stats_note_stall(&s, true);
    assert_int_equal(s.stalled_rounds, 1); /* samples are not counted */
    stats_note_stall(&s, false);
    assert_int_equal(s.stalled_rounds, 0);
}

static void test_a_stall_is_over_when_much_less_is_left(void **state)
{
    (void)state;
    struct stats_round r = round_of(NS_PER_S, 8000, 8000);
    struct stats s = {0};

    stats_add_round(&s, &r);
    stats_note_stall(&s, false);
    assert_int_equal(s.stalled_rounds, 0);
    stats_note_stall(&s, true);
    assert_int_equal(s.stalled_rounds, 1);
    r.left_pages = 5000;
    stats_add_round(&s, &r);
    stats_note_stall(&s, false);
    assert_int_equal(s.stalled_rounds, 2);
    r.left_pages = 3000;
    stats_add_round(&s, &r);
    stats_note_stall(&s, false);
    assert_int_equal(s.stalled_rounds, 0);
}

/* 10,000 pages/s for a second, a working set that is not full; then twice as slow. */
static struct stats slowed_down(void)
{
    struct stats s = {0};
    struct stats_round r = round_of(NS_PER_S, 10000, 10000);

    r.cpu_percent = 200;
    stats_add_peek(&s, NS_PER_S / 10, 1000);
    stats_add_round(&s, &r);
    stats_slow_down(&s, 100);
    return s;
}

static void test_a_span_is_found_for_so_many_pages(void **state)
{
    (void)state;
    struct stats s = {0};
    const struct stats_round r = round_of(NS_PER_S, 10000, 10000);

    stats_add_peek(&s, NS_PER_S / 10, 5000);
    stats_add_round(&s, &r);
    assert_near((double)stats_span_of(&s, 5000), NS_PER_S / 10);
    assert_near((double)stats_span_of(&s, 2500), NS_PER_S / 20);
    assert_near((double)stats_span_of(&s, 20000), NS_PER_S);
}

static void test_a_guest_that_is_slowed_down_writes_as_before_but_later(void **state)
{
    (void)state;
    const struct stats s = slowed_down();

    assert_near(stats_dirty_within(&s, NS_PER_S), 5000);
    assert_near(stats_dirty_within(&s, 2 * NS_PER_S), 10000);
    assert_near(stats_slowed_share(&s), 0.5);
    assert_near(stats_slowed_share(&(struct stats){0}), 1);
}

static void test_a_guest_that_does_not_heed_its_cap_is_seen(void **state)
{
    (void)state;
    static const struct {
        uint64_t dirty;
        unsigned unanswered;
    } cases[] = {{5000, 0}, {7000, 0}, {9500, 1}, {12000, 1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stats s = slowed_down();
        const struct stats_round r = round_of(NS_PER_S, cases[i].dirty, cases[i].dirty);

        stats_add_round(&s, &r);
        assert_int_equal(s.slowed.unanswered, cases[i].unanswered);
        stats_add_round(&s, &r); /* judged once only */
        assert_int_equal(s.slowed.unanswered, cases[i].unanswered);
    }
}

/* Of a full working set as much is found as before: that proves nothing. */
static void test_a_full_working_set_hides_the_answer(void **state)
{
    (void)state;
    struct stats s = {0};
    struct stats_round r = round_of(4 * NS_PER_S, 10000, 10000);

    r.cpu_percent = 100;
    stats_add_peek(&s, NS_PER_S / 10, 10000);
    stats_add_round(&s, &r);
    stats_slow_down(&s, 50);
    stats_add_round(&s, &r);
    assert_int_equal(s.slowed.unanswered, 0);
    assert_true(s.slowed.judged);
}

/* A guest's map may have gigabytes of holes, and behind them a few last pages. */
static void test_holes_say_nothing_of_the_link(void **state)
{
    (void)state;
    struct stats s = {0};

    for (int i = 0; i < 10; i++)
        stats_add_speed(&s, 1000, 24, 200 * MS);
    for (int i = 0; i < 10; i++)
        stats_add_speed(&s, i == 9 ? 16 : 0, 100000, 200 * MS);
    stats_add_round(&s, &(struct stats_round){.window_ns = NS_PER_S, .sent_pages = 10016});
    assert_float_equal(s.send_pages_per_s, 5000, 1);
}

/* What is left goes faster where it goes as differences. */
static void differences_are_foreseen(void **state)
{
    struct stats s = {.send_pages_per_s = 1000};

    (void)state;
    assert_near(stats_left_per_s(&s), 1000);
    stats_add_round(
        &s, &(struct stats_round){.sent_pages = 500, .left_pages = 400, .delta_pages = 400});
    assert_near(stats_left_per_s(&s), 1000 * STATS_DELTAS_PER_PAGE);
    stats_add_round(
        &s, &(struct stats_round){.sent_pages = 500, .left_pages = 400, .delta_pages = 200});
    assert_near(stats_left_per_s(&s), 1000 / (0.5 + 0.5 / STATS_DELTAS_PER_PAGE));
    stats_add_sample(&s, &(struct stats_sample){.left_pages = 300});
    assert_near(stats_left_per_s(&s), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_foreseen),
        cmocka_unit_test(test_a_rate_is_pages_over_time),
        cmocka_unit_test(test_speed_follows_the_newest),
        cmocka_unit_test(test_a_link_that_halves_is_believed_soon),
        cmocka_unit_test(test_a_link_that_varies_has_a_spread),
        cmocka_unit_test(test_bad_speeds_do_not_count),
        cmocka_unit_test(test_batches_that_come_seldom_are_not_taken_for_speed),
        cmocka_unit_test(test_holes_say_nothing_of_the_link),
        cmocka_unit_test(test_a_speed_with_holes_counts_until_there_is_another),
        cmocka_unit_test(test_rounds_that_leave_as_much_are_counted),
        cmocka_unit_test(test_a_short_round_can_only_show_more_speed),
        cmocka_unit_test(test_a_slow_link_has_a_speed_as_well),
        cmocka_unit_test(test_one_window_is_in_proportion),
        cmocka_unit_test(test_peeks_show_that_the_working_set_is_full),
        cmocka_unit_test(test_the_round_before_shows_it_too),
        cmocka_unit_test(test_windows_that_make_no_sense_leave_the_curve),
        cmocka_unit_test(test_a_late_clean_is_remembered_for_a_while),
        cmocka_unit_test(test_a_shorter_window_leaves_what_longer_ones_showed),
        cmocka_unit_test(test_a_sample_adds_to_what_is_left_and_is_no_round),
        cmocka_unit_test(test_pages_that_are_not_sent_are_expected_again),
        cmocka_unit_test(test_a_sample_shows_how_much_slower_it_writes),
        cmocka_unit_test(test_a_long_sample_makes_no_slow_guest),
        cmocka_unit_test(test_a_calm_guest_ends_the_stall),
        cmocka_unit_test(test_a_stall_is_over_when_much_less_is_left),
        cmocka_unit_test(test_a_span_is_found_for_so_many_pages),
        cmocka_unit_test(test_a_guest_that_is_slowed_down_writes_as_before_but_later),
        cmocka_unit_test(test_a_guest_that_does_not_heed_its_cap_is_seen),
        cmocka_unit_test(test_a_full_working_set_hides_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
