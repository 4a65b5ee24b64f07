/* SPDX-License-Identifier: MIT */
/* xensim's log-dirty answers as Xen's: PEEK keeps what CLEAN takes, and off it reads as zeros. */
#include "xensim/hypervisor/logdirty.h"
#include "xensim/hypervisor/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { PAGES = 1000, BYTES = PAGES / 8 };

static unsigned nr_set(const uint8_t *bitmap)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PAGES; i++)
        n += bitmap[i / 8] >> (i % 8) & 1;
    return n;
}

static int make(void **state)
{
    static struct logdirty l;

    l = (struct logdirty){0};
    *state = &l;
    return logdirty_init(&l);
}

static int unmake(void **state)
{
    logdirty_free(*state);
    return 0;
}

static void peek_keeps_what_clean_takes(void **state)
{
    struct logdirty *l = *state;
    uint8_t bitmap[BYTES];

    logdirty_enable(l);
    logdirty_mark(l, 3);
    logdirty_mark(l, 3);
    logdirty_mark(l, 640);
    assert_int_equal(l->dirty_count, 2);
    for (int peek = 0; peek < 2; peek++) {
        logdirty_read(l, bitmap, PAGES, false);
        assert_int_equal(nr_set(bitmap), 2);
        assert_int_equal(bitmap[0], 1 << 3);
        assert_int_equal(bitmap[80], 1);
    }
    logdirty_read(l, bitmap, PAGES, true);
    assert_int_equal(nr_set(bitmap), 2);
    assert_int_equal(l->dirty_count, 0);
    logdirty_read(l, bitmap, PAGES, false);
    assert_int_equal(nr_set(bitmap), 0);
}

static void clean_needs_no_bitmap(void **state)
{
    struct logdirty *l = *state;
    uint8_t bitmap[BYTES];

    logdirty_enable(l);
    logdirty_mark(l, 5);
    logdirty_read(l, NULL, PAGES, true);
    logdirty_read(l, bitmap, PAGES, false);
    assert_int_equal(nr_set(bitmap), 0);
}

static void off_it_marks_nothing_and_reads_as_zeros(void **state)
{
    struct logdirty *l = *state;
    uint8_t bitmap[BYTES];

    logdirty_mark(l, 7);
    logdirty_enable(l);
    logdirty_mark(l, 8);
    logdirty_disable(l);
    memset(bitmap, 0xff, sizeof(bitmap));
    logdirty_read(l, bitmap, PAGES, true);
    assert_int_equal(nr_set(bitmap), 0);

    logdirty_enable(l);
    assert_int_equal(l->dirty_count, 0);
    logdirty_read(l, bitmap, PAGES, false);
    assert_int_equal(nr_set(bitmap), 0);
}

static void frames_that_no_domain_has_are_not_marked(void **state)
{
    struct logdirty *l = *state;

    logdirty_enable(l);
    logdirty_mark(l, MAX_PFNS);
    logdirty_mark(l, M2P_INVALID);
    assert_int_equal(l->dirty_count, 0);
    logdirty_mark(l, MAX_PFNS - 1);
    assert_int_equal(l->dirty_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(peek_keeps_what_clean_takes, make, unmake),
        cmocka_unit_test_setup_teardown(clean_needs_no_bitmap, make, unmake),
        cmocka_unit_test_setup_teardown(off_it_marks_nothing_and_reads_as_zeros, make, unmake),
        cmocka_unit_test_setup_teardown(frames_that_no_domain_has_are_not_marked, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
