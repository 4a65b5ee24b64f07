/* SPDX-License-Identifier: MIT */
/* How far a round is, as those see it who look on. */
#include "engine/round_span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void is_span(struct round_span s, uint64_t pages, uint64_t done_pages, uint64_t sent_pages)
{
    assert_int_equal(s.pages, pages);
    assert_int_equal(s.done_pages, done_pages);
    assert_int_equal(s.sent_pages, sent_pages);
}

/* 256 MiB in an address space of 4 GiB: all of its memory is in the first 6 %. */
static void holes_are_no_work(void **state)
{
    enum { FRAMES = 1044480, GUEST = 65536 };
    struct round_counts c = {.done_pages = GUEST / 2, .data_pages = GUEST / 2};

    (void)state;
    is_span(round_span_of(&c, FRAMES, GUEST), GUEST, GUEST / 2, GUEST / 2);
    c = (struct round_counts){.done_pages = GUEST, .data_pages = GUEST};
    is_span(round_span_of(&c, FRAMES, GUEST), GUEST, GUEST, GUEST);
    c.done_pages += 400000;
    c.absent_pages += 400000;
    is_span(round_span_of(&c, FRAMES, GUEST), GUEST, GUEST, GUEST);
}

static void a_later_round_ends_with_all_done_too(void **state)
{
    const struct round_counts c = {.done_pages = 1000,
        .absent_pages = 100,
        .skipped_pages = 300,
        .data_pages = 500,
        .zero_pages = 100};

    (void)state;
    is_span(round_span_of(&c, 1000, 65536), 900, 900, 600);
}

static void counts_that_do_not_fit_each_other_make_sense(void **state)
{
    /* Sent and not yet counted as done; holes counted and not yet done; more than there was. */
    const struct round_counts sent = {.done_pages = 100, .data_pages = 612};
    const struct round_counts holes = {.done_pages = 100, .absent_pages = 512, .data_pages = 50};
    const struct round_counts more = {.done_pages = 2000, .data_pages = 2000};

    (void)state;
    is_span(round_span_of(&sent, 1000, 1000), 1000, 100, 100);
    is_span(round_span_of(&holes, 1000, 1000), 488, 0, 0);
    is_span(round_span_of(&more, 3000, 1000), 1000, 1000, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_no_work),
        cmocka_unit_test(a_later_round_ends_with_all_done_too),
        cmocka_unit_test(counts_that_do_not_fit_each_other_make_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
