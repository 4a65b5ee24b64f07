/* The stop policy, as tables of numbers: when it suspends, and what it predicts. */
#include "base/deadline.h"
#include "sched/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* A guest on a link of 100,000 pages/s with 80 ms of fixed costs and a limit of 300 ms. */
static struct stop_input ordinary(void)
{
    return (struct stop_input){
        .rounds_done = 2,
        .left_pages = 10000,
        .send_pages_per_s = 100000,
        .dirty_pages_per_s = 0,
        .suspend_ns = 30 * NS_PER_MS,
        .clean_ns = 10 * NS_PER_MS,
        .state_ns = 10 * NS_PER_MS,
        .receiver_ns = 30 * NS_PER_MS,
        .max_downtime_ns = 300 * NS_PER_MS,
        .max_rounds = 30,
    };
}

static void test_downtime_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    const struct stop_decision d = decide_stop(ordinary());

    assert_int_equal(d.predicted_downtime_ns, 180 * NS_PER_MS);
    assert_int_equal(d.reason, STOP_DOWNTIME);
}

static void test_pages_dirtied_during_the_suspend_count(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.dirty_pages_per_s = 100000; /* 3000 more while it is being suspended */
    assert_int_equal(decide_stop(in).predicted_downtime_ns, 210 * NS_PER_MS);
}

static void test_goes_on_while_the_prediction_is_over_the_limit(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.left_pages = 22001;
    assert_int_equal(decide_stop(in).reason, STOP_CONTINUE);
    in.left_pages = 22000;
    assert_int_equal(decide_stop(in).reason, STOP_DOWNTIME);
}

static void test_stops_after_max_rounds(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.left_pages = 1000000;
    in.rounds_done = 29;
    assert_int_equal(decide_stop(in).reason, STOP_CONTINUE);
    in.rounds_done = 30;
    assert_int_equal(decide_stop(in).reason, STOP_ROUNDS);
    in.max_rounds = 0;
    assert_int_equal(decide_stop(in).reason, STOP_CONTINUE);
}

static void test_stops_when_pages_are_not_what_makes_it_long(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.receiver_ns = NS_PER_S;
    in.left_pages = 13000; /* 130 ms of 1050/8 ms */
    assert_int_equal(decide_stop(in).reason, STOP_FLOOR);
    in.left_pages = 14000;
    assert_int_equal(decide_stop(in).reason, STOP_CONTINUE);
}

static void test_no_speed_known_means_no_promise(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.send_pages_per_s = 0;
    assert_int_equal(decide_stop(in).predicted_downtime_ns, INT64_MAX);
    assert_int_equal(decide_stop(in).reason, STOP_CONTINUE);
    in.left_pages = 0;
    assert_int_equal(decide_stop(in).predicted_downtime_ns, 80 * NS_PER_MS);
    assert_int_equal(decide_stop(in).reason, STOP_DOWNTIME);
}

static void test_absurd_figures_do_not_overflow(void **state)
{
    (void)state;
    struct stop_input in = ordinary();

    in.left_pages = UINT64_MAX;
    in.send_pages_per_s = 1e-300;
    in.receiver_ns = INT64_MAX;
    assert_int_equal(decide_stop(in).predicted_downtime_ns, INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_downtime_is_the_sum_of_its_parts),
        cmocka_unit_test(test_pages_dirtied_during_the_suspend_count),
        cmocka_unit_test(test_goes_on_while_the_prediction_is_over_the_limit),
        cmocka_unit_test(test_stops_after_max_rounds),
        cmocka_unit_test(test_stops_when_pages_are_not_what_makes_it_long),
        cmocka_unit_test(test_no_speed_known_means_no_promise),
        cmocka_unit_test(test_absurd_figures_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
