/* How fast pages go, as the stop policy is told. */
#include "base/deadline.h"
#include "sched/speed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_a_rate_is_pages_over_time(void **state)
{
    (void)state;
    assert_int_equal(pages_per_s(5000, NS_PER_S / 2), 10000);
    assert_int_equal(pages_per_s(5000, 0), 0);
    assert_int_equal(pages_per_s(0, NS_PER_S), 0);
}

static void test_the_newest_round_that_is_long_enough_counts(void **state)
{
    (void)state;
    assert_int_equal(estimate_speed(0, 1000, NS_PER_S), 1000);
    assert_int_equal(estimate_speed(1000, 4000, NS_PER_S), 4000);
    assert_int_equal(estimate_speed(4000, SPEED_MIN_PAGES - 1, NS_PER_S), 4000);
}

static void test_a_short_round_can_only_show_more_speed(void **state)
{
    (void)state;
    assert_int_equal(estimate_speed(4000, 100, NS_PER_S / 1000), 100000);
    assert_int_equal(estimate_speed(0, 10, NS_PER_S), 10);
    assert_int_equal(estimate_speed(0, 0, NS_PER_S), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rate_is_pages_over_time),
        cmocka_unit_test(test_the_newest_round_that_is_long_enough_counts),
        cmocka_unit_test(test_a_short_round_can_only_show_more_speed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
