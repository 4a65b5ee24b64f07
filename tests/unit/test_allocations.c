/* SPDX-License-Identifier: MIT */
/* What the lanes' profile calls allocations is counted, for each thread apart. */
#include "engine/allocations.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void *allocate_five(void *unused)
{
    void *volatile some[4] = {malloc(1), calloc(1, 2), aligned_alloc(64, 64)};

    (void)unused;
    some[3] = malloc(3);
    some[3] = realloc(some[3], 5);
    for (unsigned i = 0; i < 4; i++)
        free(some[i]);
    return (void *)(uintptr_t)allocations_count();
}

static void every_kind_is_counted_once(void **state)
{
    const uint64_t before = allocations_count();

    (void)state;
    allocate_five(NULL);
    assert_int_equal(allocations_count() - before, 5);
}

static void another_thread_counts_for_itself(void **state)
{
    const uint64_t before = allocations_count();
    pthread_t thread;
    void *counted;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, allocate_five, NULL), 0);
    pthread_join(thread, &counted);
    assert_int_equal((uintptr_t)counted, 5);
    assert_int_equal(allocations_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_counted_once),
        cmocka_unit_test(another_thread_counts_for_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
