/* SPDX-License-Identifier: MIT */
/* The preloaded library finds a mapping by any address in it, whatever comes and goes around it. */
#include "xensim/preload/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

enum { NR = 64, BYTES = 0x1000, STEP = 0x3000 };

static uintptr_t start_of(unsigned i)
{
    return 0x10000 + (uintptr_t)i * STEP;
}

static void add(unsigned i)
{
    const struct region r = {.start = start_of(i), .bytes = BYTES, .left = BYTES, .prot = (int)i};

    assert_int_equal(region_add(&r), 0);
}

static void check(unsigned i, bool there)
{
    const uintptr_t inside[] = {start_of(i), start_of(i) + BYTES / 2, start_of(i) + BYTES - 1};

    for (unsigned k = 0; k < 3; k++) {
        const struct region *r = region_find(inside[k]);

        assert_int_equal(r != NULL, there);
        if (r)
            assert_int_equal(r->prot, i);
    }
    assert_null(region_find(start_of(i) - 1));
    assert_null(region_find(start_of(i) + BYTES));
}

static void regions_are_found_by_any_address_in_them(void **state)
{
    (void)state;
    assert_int_equal(regions_init(), 0);
    assert_null(region_find(start_of(0)));
    for (unsigned i = 0; i < NR; i++)
        add(i * 29 % NR);
    for (unsigned i = 0; i < NR; i++)
        check(i, true);
    for (unsigned i = 0; i < NR; i += 2)
        assert_int_equal(region_take(region_find(start_of(i) + 1)).prot, i);
    for (unsigned i = 0; i < NR; i++)
        check(i, i % 2);
    for (unsigned i = 0; i < NR; i += 2)
        add(i);
    for (unsigned i = 0; i < NR; i++)
        check(i, true);
    regions_forget();
    for (unsigned i = 0; i < NR; i++)
        check(i, false);
}

static void a_full_table_refuses(void **state)
{
    unsigned n = 0;

    (void)state;
    assert_int_equal(regions_init(), 0);
    while (n < 1 << 20) {
        const struct region r = {.start = start_of(n), .bytes = BYTES};

        if (region_add(&r))
            break;
        n++;
    }
    assert_int_equal(n, 16384);
    assert_non_null(region_find(start_of(n - 1)));
    assert_null(region_find(start_of(n)));
    regions_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_found_by_any_address_in_them),
        cmocka_unit_test(a_full_table_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
