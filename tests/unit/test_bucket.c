/* The token bucket: the arithmetic of debts, and that cancel ends a sleep. */
#include "base/deadline.h"
#include "sched/bucket.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_a_taker_pays_what_it_takes(void **state)
{
    (void)state;
    int64_t ready_ns = 1000;

    assert_int_equal(bucket_charge(&ready_ns, 1000, 0, 500), 1500);
    assert_int_equal(bucket_charge(&ready_ns, 1000, 0, 500), 2000);
}

static void test_unused_time_is_saved_up_to_the_burst(void **state)
{
    (void)state;
    int64_t ready_ns = 0;

    assert_int_equal(bucket_charge(&ready_ns, 100000, 300, 500), 100200);
    assert_int_equal(bucket_charge(&ready_ns, 100000, 300, 500), 100700);
}

static void test_the_rate_holds_over_many_takers(void **state)
{
    (void)state;
    int64_t ready_ns = 0, clock_ns = 0;

    /* 1000 takes of 1000 ns by takers that wait as they are told take 1 ms, less the burst. */
    for (int i = 0; i < 1000; i++) {
        const int64_t until_ns = bucket_charge(&ready_ns, clock_ns, 100, 1000);

        if (until_ns > clock_ns)
            clock_ns = until_ns;
    }
    assert_in_range(clock_ns, 999900, 1000000);
}

static void *fire_soon(void *cancel)
{
    sleep_until_ns(deadline_in(20 * NS_PER_MS));
    cancel_fire(cancel);
    return NULL;
}

static void test_cancel_ends_a_long_sleep(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cancel cancel;
    struct bucket b;
    pthread_t t;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    bucket_init(&b, 8, &cancel); /* one byte a second */
    assert_int_equal(pthread_create(&t, NULL, fire_soon, &cancel), 0);
    bucket_take(&b, 1000000); /* eleven days */
    pthread_join(t, NULL);
    bucket_destroy(&b);
    cancel_destroy(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_taker_pays_what_it_takes),
        cmocka_unit_test(test_unused_time_is_saved_up_to_the_burst),
        cmocka_unit_test(test_the_rate_holds_over_many_takers),
        cmocka_unit_test(test_cancel_ends_a_long_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
