/* SPDX-License-Identifier: MIT */
/* limited_run(): who waits comes back at the deadline, and what was worked on has one owner. */
#include "base/deadline.h"
#include "base/limited.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct work {
    int64_t takes_ns;
    sem_t *until; /* NULL: sleeps for takes_ns */
    atomic_int made, left, dropped;
    sem_t gone;
};

static void make(void *arg)
{
    struct work *w = arg;

    if (w->until)
        sem_wait(w->until);
    else
        sleep_until_ns(deadline_in(w->takes_ns));
    w->made++;
}

static void leave(void *arg)
{
    struct work *w = arg;

    assert_int_equal(w->dropped, 0);
    w->left++;
}

static void drop(void *arg)
{
    struct work *w = arg;

    w->dropped++;
    sem_post(&w->gone);
}

static const struct limited_call call = {make, leave, drop};

static void test_call_that_ends_is_the_callers(void **state)
{
    struct work w = {.takes_ns = NS_PER_MS};

    (void)state;
    assert_int_equal(limited_run(&call, &w, deadline_in(20 * NS_PER_S)), 0);
    assert_int_equal(w.made, 1);
    assert_int_equal(w.left + w.dropped, 0);
}

static void test_call_that_hangs_is_left_at_the_deadline(void **state)
{
    const int64_t begun_ns = now_ns();
    struct work w = {0};
    sem_t until;

    (void)state;
    sem_init(&until, 0, 0);
    sem_init(&w.gone, 0, 0);
    w.until = &until;
    assert_int_equal(limited_run(&call, &w, deadline_in(50 * NS_PER_MS)), -ETIMEDOUT);
    assert_true(now_ns() - begun_ns >= 50 * NS_PER_MS);
    assert_int_equal(w.left, 1);
    assert_int_equal(w.made + w.dropped, 0);

    /* It ends after all, and is dropped by its own thread. */
    sem_post(&until);
    sem_wait(&w.gone);
    assert_int_equal(w.made, 1);
    assert_int_equal(w.dropped, 1);
    sem_destroy(&w.gone);
    sem_destroy(&until);
}

/* Calls that end just about when the waiting does. */
static void test_either_the_caller_or_the_thread_has_it(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct work w = {.takes_ns = 200000};

        sem_init(&w.gone, 0, 0);
        if (limited_run(&call, &w, deadline_in(100000 + i * 1000)) == -ETIMEDOUT) {
            sem_wait(&w.gone);
            assert_int_equal(w.left, 1);
            assert_int_equal(w.dropped, 1);
        } else {
            assert_int_equal(w.left + w.dropped, 0);
        }
        assert_int_equal(w.made, 1);
        sem_destroy(&w.gone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_that_ends_is_the_callers),
        cmocka_unit_test(test_call_that_hangs_is_left_at_the_deadline),
        cmocka_unit_test(test_either_the_caller_or_the_thread_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
