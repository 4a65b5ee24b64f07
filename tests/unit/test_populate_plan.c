/* SPDX-License-Identifier: MIT */
/* What is asked of Xen for the frames of an extent. */
#include "engine/in/populate_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { EXTENT = 5, FIRST = EXTENT * EXTENT_FRAMES };

static void fill_extent(uint64_t pfns[static EXTENT_FRAMES])
{
    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        pfns[i] = FIRST + i;
}

static void test_an_empty_extent_wanted_whole_is_one_large_page(void **state)
{
    (void)state;
    const uint64_t populated[EXTENT_WORDS] = {0};
    uint64_t pfns[EXTENT_FRAMES];
    struct populate_plan plan;

    fill_extent(pfns);
    plan_populate(populated, pfns, EXTENT_FRAMES, &plan);
    assert_true(plan.whole);
    assert_int_equal(plan.count, EXTENT_FRAMES);
    assert_int_equal(plan.pfns[0], FIRST);
}

static void test_one_frame_that_is_there_makes_it_single_pages(void **state)
{
    (void)state;
    const uint64_t populated[EXTENT_WORDS] = {[7] = 1ull << 63};
    uint64_t pfns[EXTENT_FRAMES];
    struct populate_plan plan;

    fill_extent(pfns);
    plan_populate(populated, pfns, EXTENT_FRAMES, &plan);
    assert_false(plan.whole);
    assert_int_equal(plan.count, EXTENT_FRAMES - 1);
    assert_int_equal(plan.pfns[plan.count - 1], FIRST + EXTENT_FRAMES - 2);
}

static void test_a_hole_makes_it_single_pages(void **state)
{
    (void)state;
    const uint64_t populated[EXTENT_WORDS] = {0};
    uint64_t pfns[EXTENT_FRAMES];
    struct populate_plan plan;

    fill_extent(pfns);
    plan_populate(populated, pfns + 1, EXTENT_FRAMES - 1, &plan);
    assert_false(plan.whole);
    assert_int_equal(plan.count, EXTENT_FRAMES - 1);
    assert_int_equal(plan.pfns[0], FIRST + 1);
}

/* A frame populated twice would have two machine frames. */
static void test_each_frame_once_in_any_order(void **state)
{
    (void)state;
    const uint64_t populated[EXTENT_WORDS] = {[0] = 1 << 3};
    const uint64_t pfns[] = {FIRST + 70, FIRST + 3, FIRST + 1, FIRST + 70, FIRST + 1};
    struct populate_plan plan;

    plan_populate(populated, pfns, 5, &plan);
    assert_false(plan.whole);
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.pfns[0], FIRST + 1);
    assert_int_equal(plan.pfns[1], FIRST + 70);
}

static void test_nothing_is_left_to_do(void **state)
{
    (void)state;
    uint64_t populated[EXTENT_WORDS], pfns[EXTENT_FRAMES];
    struct populate_plan plan;

    memset(populated, 0xff, sizeof(populated));
    fill_extent(pfns);
    plan_populate(populated, pfns, EXTENT_FRAMES, &plan);
    assert_false(plan.whole);
    assert_int_equal(plan.count, 0);
}

static void test_runs_end_where_the_extent_does(void **state)
{
    (void)state;
    const uint64_t pfns[] = {FIRST + 510, FIRST + 511, FIRST + 512, FIRST + 2};

    assert_int_equal(run_of_extent(pfns, 4), 2);
    assert_int_equal(run_of_extent(pfns + 2, 2), 1);
    assert_int_equal(run_of_extent(pfns + 3, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_extent_wanted_whole_is_one_large_page),
        cmocka_unit_test(test_one_frame_that_is_there_makes_it_single_pages),
        cmocka_unit_test(test_a_hole_makes_it_single_pages),
        cmocka_unit_test(test_each_frame_once_in_any_order),
        cmocka_unit_test(test_nothing_is_left_to_do),
        cmocka_unit_test(test_runs_end_where_the_extent_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
