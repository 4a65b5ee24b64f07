/* SPDX-License-Identifier: MIT */
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

/* Eight lanes that always have something, for ten seconds. */
static void test_a_capped_rate_holds_over_any_second_and_is_shared_evenly(void **state)
{
    static const uint64_t rates[] = {10000000, 100000000, 1000000000, 10000000000};
    enum { LANES = 8, STEPS = 10000 }; /* of a millisecond */
    static uint64_t sent[STEPS + 1];   /* up to that step */

    (void)state;
    for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
        const size_t slice_bytes = bucket_slice_bytes(rates[r]);
        const double per_second = (double)rates[r] / 8;
        int64_t ready_ns = 0, until_ns[LANES] = {0};
        uint64_t lane_bytes[LANES] = {0}, all_bytes = 0;

        for (unsigned lane = 0; lane < LANES; lane++)
            until_ns[lane] = bucket_charge(
                &ready_ns, 0, 20 * NS_PER_MS, (double)slice_bytes * 1e9 / per_second);
        for (int step = 0; step <= STEPS; step++) {
            const int64_t clock_ns = step * NS_PER_MS;

            /* Timers wake them late: at the next whole millisecond. Whoever waited longest goes
             * first. */
            for (;;) {
                unsigned next = 0;

                for (unsigned lane = 1; lane < LANES; lane++)
                    if (until_ns[lane] < until_ns[next])
                        next = lane;
                if (until_ns[next] > clock_ns)
                    break;
                lane_bytes[next] += slice_bytes;
                all_bytes += slice_bytes;
                until_ns[next] = bucket_charge(
                    &ready_ns, clock_ns, 20 * NS_PER_MS, (double)slice_bytes * 1e9 / per_second);
            }
            sent[step] = all_bytes;
        }
        for (int step = 1000; step <= STEPS; step++) {
            const double got = (double)(sent[step] - sent[step - 1000]);

            if (got > per_second * 1.03 || got < per_second * 0.97)
                fail_msg("%lu bit/s: %.0f bytes in the second before %d ms", rates[r], got, step);
        }
        for (unsigned lane = 0; lane < LANES; lane++)
            assert_in_range(lane_bytes[lane], (uint64_t)(per_second * 10 / LANES * 0.97),
                (uint64_t)(per_second * 10 / LANES * 1.03));
    }
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

static void test_the_rate_may_change_and_be_lifted(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cancel cancel;
    struct bucket b;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    bucket_init(&b, 0, &cancel);

    int64_t begun_ns = now_ns();

    bucket_take(&b, 1 << 30);
    assert_true(now_ns() - begun_ns < 100 * NS_PER_MS);
    bucket_set_rate(&b, 8000000);
    bucket_take(&b, 20000); /* what was saved up */
    begun_ns = now_ns();
    bucket_take(&b, 50000); /* 50 ms */
    assert_true(now_ns() - begun_ns > 40 * NS_PER_MS);
    bucket_set_rate(&b, 0);
    begun_ns = now_ns();
    bucket_take(&b, 1 << 30);
    assert_true(now_ns() - begun_ns < 100 * NS_PER_MS);
    assert_int_equal(bucket_slice_bytes(0), 0);
    bucket_destroy(&b);
    cancel_destroy(&cancel);
}

/* What was owed at 80 Mbit/s would be ten minutes at 100 kbit/s. */
static void test_a_much_lower_rate_lets_nobody_stand_still(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cancel cancel;
    struct bucket b;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    bucket_init(&b, 80000000, &cancel);
    b.ready_ns = now_ns() + 800 * NS_PER_MS;
    bucket_set_rate(&b, 100000);
    assert_in_range(b.ready_ns - now_ns(), 1, NS_PER_S);
    b.ready_ns = now_ns() + 5 * NS_PER_S;
    bucket_set_rate(&b, 10000);
    assert_in_range(b.ready_ns - now_ns(), 1, 5 * NS_PER_S);
    bucket_destroy(&b);
    cancel_destroy(&cancel);
}

static void *lift_soon(void *bucket)
{
    sleep_until_ns(deadline_in(20 * NS_PER_MS));
    bucket_set_rate(bucket, 1000000);
    return NULL;
}

static void test_another_rate_wakes_those_who_sleep(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cancel cancel;
    struct bucket b;
    pthread_t t;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    bucket_init(&b, 100000, &cancel);
    assert_int_equal(pthread_create(&t, NULL, lift_soon, &b), 0);

    const int64_t begun_ns = now_ns();

    bucket_take(&b, 500000); /* 40 s */
    assert_true(now_ns() - begun_ns < 20 * NS_PER_S);
    bucket_take(&b, 1000); /* 8 ms, and the 4 s that are owed at this rate */
    assert_true(now_ns() - begun_ns > 3 * NS_PER_S);
    assert_true(now_ns() - begun_ns < 40 * NS_PER_S);
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
        cmocka_unit_test(test_a_capped_rate_holds_over_any_second_and_is_shared_evenly),
        cmocka_unit_test(test_cancel_ends_a_long_sleep),
        cmocka_unit_test(test_the_rate_may_change_and_be_lifted),
        cmocka_unit_test(test_another_rate_wakes_those_who_sleep),
        cmocka_unit_test(test_a_much_lower_rate_lets_nobody_stand_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
