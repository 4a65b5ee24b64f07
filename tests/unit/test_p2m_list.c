/* SPDX-License-Identifier: MIT */
/* The places of a guest's p2m: what is kept follows the guest's memory, not what is claimed. */
#include "engine/guest/p2m_list.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGES = 16384 };

static void frames_of_their_own_are_kept_one_by_one(void **state)
{
    const uint64_t pfns[] = {9, 8, 7, 7, 7, 6};
    struct p2m_list list;
    struct err e = ERR_INIT;

    (void)state;
    p2m_list_init(&list, PAGES);
    assert_int_equal(p2m_list_add(&list, pfns, 4, &e), 0);
    assert_int_equal(p2m_list_add(&list, pfns + 4, 2, &e), 0);
    assert_int_equal(list.count, 6);
    assert_int_equal(list.run_count, 4);
    assert_true(list.runs[0].pfn == 9 && list.runs[0].last == 0);
    assert_true(list.runs[1].pfn == 8 && list.runs[1].last == 1);
    assert_true(list.runs[2].pfn == 7 && list.runs[2].last == 4);
    assert_true(list.runs[3].pfn == 6 && list.runs[3].last == 5);
    p2m_list_free(&list);
}

/* Frame numbers up to 2^32, of a guest of 64 MiB. */
static void a_long_hole_costs_one_run(void **state)
{
    static const uint64_t missing[512];
    struct p2m_list list;
    struct err e = ERR_INIT;

    (void)state;
    p2m_list_init(&list, PAGES);
    for (unsigned i = 0; i < (1u << 23) / 512; i++)
        assert_int_equal(p2m_list_add(&list, missing, 512, &e), 0);
    assert_int_equal(list.count, 1u << 23);
    assert_int_equal(list.run_count, 1);
    assert_int_equal(list.runs[0].last, (1u << 23) - 1);
    p2m_list_free(&list);
}

static void more_than_the_guest_can_have_is_refused(void **state)
{
    struct p2m_list list;
    struct err e = ERR_INIT;
    uint64_t pfn = 0;

    (void)state;
    p2m_list_init(&list, PAGES);
    while (pfn < 1u << 23 && !p2m_list_add(&list, &pfn, 1, &e))
        pfn++;
    assert_true(pfn > 2 * PAGES && pfn < 5 * PAGES);
    assert_int_equal(e.class, ERR_PEER);
    assert_non_null(strstr(e.text, "16384 pages"));
    assert_true(list.cap_runs * sizeof(*list.runs) <= 2u << 20);
    p2m_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_their_own_are_kept_one_by_one),
        cmocka_unit_test(a_long_hole_costs_one_run),
        cmocka_unit_test(more_than_the_guest_can_have_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
