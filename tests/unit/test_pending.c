/* SPDX-License-Identifier: MIT */
/* What is sent in which round: all bitmaps, driven by a source of dirty pages that is a script. */
#include "base/deadline.h"
#include "dirtylog/pending.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { FRAMES = 200, WORDS = 4 };

/* Even frames are there. */
static bool is_even(const void *guest, uint64_t pfn)
{
    assert_string_equal(guest, "guest");
    return pfn % 2 == 0;
}

/* Finds these in turn; then fails. */
struct script {
    struct dirty_source base;
    const uint64_t *finds[8]; /* pfns, ending with FRAMES */
    unsigned found, checks, finals;
    bool is_off;
};

static int find(struct dirty_source *d, uint64_t *bitmap, struct err *e)
{
    struct script *s = (struct script *)d;
    const uint64_t *pfn = s->finds[s->found];

    if (!pfn)
        return err_set(e, ERR_LOCAL, EIO, "nothing more");
    s->found++;
    memset(bitmap, 0, WORDS * sizeof(*bitmap));
    for (; *pfn < FRAMES; pfn++)
        bitmap_set(bitmap, *pfn);
    /* What is beyond the last frame means nothing. */
    bitmap[WORDS - 1] |= 1ull << 63;
    return 0;
}

static int script_collect(struct dirty_source *d, uint64_t *bitmap, bool final, struct err *e)
{
    ((struct script *)d)->finals += final;
    return find(d, bitmap, e);
}

static int script_check(struct dirty_source *d, struct err *e)
{
    struct script *s = (struct script *)d;

    s->checks++;
    return s->is_off ? err_set(e, ERR_LOCAL, ESTALE, "switched off") : 0;
}

static const struct dirty_ops script_ops = {
    .collect = script_collect, .peek = find, .check = script_check};

#define PFNS(...)                                                                                  \
    (const uint64_t[])                                                                             \
    {                                                                                              \
        __VA_ARGS__, FRAMES                                                                        \
    }
#define NOTHING                                                                                    \
    (const uint64_t[])                                                                             \
    {                                                                                              \
        FRAMES                                                                                     \
    }

static struct pending make(struct script *s)
{
    struct pending p;
    struct err e = ERR_INIT;

    assert_int_equal(pending_init(&p, FRAMES, is_even, "guest", &e), 0);
    if (s) {
        s->base = (struct dirty_source){&script_ops, FRAMES};
        pending_follow(&p, &s->base);
    }
    return p;
}

static void assert_map(const uint64_t *map, const uint64_t *pfns)
{
    unsigned count = 0;

    for (; pfns[count] < FRAMES; count++)
        assert_true(bitmap_test(map, pfns[count]));
    assert_int_equal(bitmap_count(map, FRAMES), count);
}

static struct pending_found collect(struct pending *p)
{
    struct pending_found f;
    struct err e = ERR_INIT;

    assert_int_equal(pending_collect(p, &f, &e), 0);
    return f;
}

static struct pending_found sample(struct pending *p, bool first)
{
    struct pending_found f;
    struct err e = ERR_INIT;

    assert_int_equal(pending_sample(p, first, &f, &e), 0);
    return f;
}

static void test_a_round_has_what_was_found(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 64, 199), PFNS(64), NOTHING}};
    struct pending p = make(&s);

    pending_fill(&p);
    pending_begin_round(&p, false);
    assert_int_equal(bitmap_count(p.round, FRAMES), FRAMES);

    const int64_t before_ns = now_ns();
    struct pending_found f = collect(&p);

    assert_in_range(f.cleared_ns, before_ns, now_ns());
    assert_int_equal(f.dirty_pages, 3);
    assert_int_equal(f.left_pages, 3);
    pending_begin_round(&p, false);
    assert_map(p.round, PFNS(1, 64, 199));
    collect(&p);
    assert_map(p.round, PFNS(64));
    assert_int_equal(collect(&p).left_pages, 0);
    assert_map(p.round, NOTHING);
    pending_destroy(&p);
}

static void test_deferred_pages_join_once(void **state)
{
    (void)state;
    struct pending p = make(NULL);

    frame_notes_defer(&p.notes, 3);
    frame_notes_defer(&p.notes, 199);
    bitmap_set(p.round, 7);
    pending_begin_round(&p, false);
    assert_map(p.round, PFNS(3, 7, 199));

    memset(p.round, 0, WORDS * sizeof(*p.round));
    pending_begin_round(&p, false);
    assert_map(p.round, NOTHING);
    pending_destroy(&p);
}

/* A page that was ballooned out comes back without being written to. */
static void test_missing_pages_join_as_soon_as_they_are_there(void **state)
{
    (void)state;
    struct pending p = make(NULL);

    frame_notes_miss(&p.notes, 5, true);
    frame_notes_miss(&p.notes, 6, true);
    pending_begin_round(&p, false);
    assert_map(p.round, PFNS(6));
    /* Looking at it, not joining, settles that it is there. */
    assert_true(bitmap_test(p.notes.missing, 6));
    frame_notes_miss(&p.notes, 6, false);
    assert_map(p.notes.missing, PFNS(5));
    pending_destroy(&p);
}

static void test_only_announced_pages_are_withdrawn(void **state)
{
    (void)state;
    struct pending p = make(NULL);

    assert_false(frame_notes_withdraw(&p.notes, 9, 0));
    assert_true(frame_notes_announce(&p.notes, 9, 0, NULL));
    assert_true(frame_notes_withdraw(&p.notes, 9, 0));
    assert_false(frame_notes_withdraw(&p.notes, 9, 0)); /* once */
    pending_destroy(&p);
}

/* What the last two collects found is kept out of a round and is back in the next one. */
static void test_repeats_are_kept_for_a_round(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2, 3), PFNS(2, 3, 4), PFNS(9), NOTHING}};
    struct pending p = make(&s);

    collect(&p);
    collect(&p);
    pending_begin_round(&p, true);
    assert_map(p.round, PFNS(4));
    assert_int_equal(p.kept_pages, 2);

    const struct pending_found f = collect(&p);

    assert_int_equal(f.dirty_pages, 1);
    assert_int_equal(f.left_pages, 3);
    assert_map(p.round, PFNS(2, 3, 9));
    assert_int_equal(p.kept_pages, 2); /* of the round that was sent */
    pending_begin_round(&p, false);
    assert_int_equal(p.kept_pages, 0);
    collect(&p);
    assert_map(p.round, NOTHING);
    pending_destroy(&p);
}

/* Deferred pages are tried again, even those that are kept. */
static void test_a_deferred_page_is_not_kept(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2), PFNS(1, 2)}};
    struct pending p = make(&s);

    collect(&p);
    collect(&p);
    frame_notes_defer(&p.notes, 2);
    pending_begin_round(&p, true);
    assert_map(p.round, PFNS(2));
    pending_destroy(&p);
}

static void test_samples_join_what_is_left_and_count_as_one(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2, 3), PFNS(3, 10), PFNS(2), NOTHING, PFNS(3, 10)}};
    struct pending p = make(&s);

    collect(&p);

    struct pending_found f = sample(&p, true);

    assert_int_equal(f.dirty_pages, 2);
    assert_int_equal(f.left_pages, 4);
    f = sample(&p, false);
    assert_int_equal(f.dirty_pages, 1);
    assert_int_equal(f.left_pages, 4);
    sample(&p, false);
    assert_map(p.round, PFNS(1, 2, 3, 10));
    /* Both before and while it was observed: 2 and 3. */
    pending_begin_round(&p, true);
    assert_map(p.round, PFNS(1, 10));
    assert_map(p.kept, PFNS(2, 3));
    /* And the next collect is compared with all samples: 2, 3, 10. */
    collect(&p);
    assert_map(p.round, PFNS(2, 3, 10));
    pending_begin_round(&p, true);
    assert_map(p.kept, PFNS(3, 10));
    pending_destroy(&p);
}

/* Of the round that runs, not of the one after, and it has nothing to do with samples. */
static void test_redirtied_is_of_the_current_round(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(5, 6), PFNS(5, 6), PFNS(7), PFNS(8)}};
    struct pending p = make(&s);
    uint64_t dirty;
    struct err e = ERR_INIT;

    pending_begin_round(&p, false);
    assert_int_equal(pending_peek(&p, &dirty, &e), 0);
    assert_int_equal(dirty, 2);
    assert_map(p.redirtied, PFNS(5, 6));
    collect(&p);
    sample(&p, true);
    assert_map(p.redirtied, PFNS(5, 6));
    pending_begin_round(&p, false);
    assert_map(p.redirtied, NOTHING);
    assert_int_equal(pending_peek(&p, &dirty, &e), 0);
    assert_map(p.redirtied, PFNS(8));
    pending_begin_retry(&p);
    assert_map(p.redirtied, NOTHING);
    pending_destroy(&p);
}

static void test_a_retry_has_only_what_was_deferred(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2, 3)}};
    struct pending p = make(&s);

    collect(&p);
    frame_notes_defer(&p.notes, 100);
    assert_map(pending_begin_retry(&p), PFNS(100));
    assert_map(pending_begin_retry(&p), NOTHING);
    assert_map(p.round, PFNS(1, 2, 3)); /* is still to come */
    pending_destroy(&p);
}

static void assert_part(
    struct pending *p, uint64_t max, uint64_t first, uint64_t end, const uint64_t *pfns)
{
    const struct pending_part part = pending_begin_part(p, max);

    assert_map(part.bitmap, pfns);
    assert_int_equal(part.pages, bitmap_count(part.bitmap, FRAMES));
    assert_int_equal(part.first, first);
    assert_int_equal(part.end, end);
}

static void test_parts_take_what_is_left_word_by_word(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2, 70, 130, 199), PFNS(3), NOTHING}};
    struct pending p = make(&s);
    struct err e = ERR_INIT;

    collect(&p);
    frame_notes_defer(&p.notes, 100);
    pending_begin_retry(&p);
    assert_part(&p, 1, 0, 64, PFNS(1, 2));
    assert_map(p.round, PFNS(70, 130, 199));
    assert_part(&p, 2, 64, 192, PFNS(70, 130));
    assert_part(&p, 9, 192, FRAMES, PFNS(199));
    assert_int_equal(pending_begin_part(&p, 9).pages, 0);
    assert_map(p.retried, NOTHING);
    /* The last round has what was written since. */
    assert_int_equal(pending_collect_last(&p, &e), 0);
    assert_map(p.round, PFNS(3));
    assert_part(&p, 9, 0, FRAMES, PFNS(3));
    pending_destroy(&p);
}

/* A part costs what it holds, however large the guest is: neither what earlier parts have taken nor
 * what lies beyond the part before is looked at again. */
static void test_parts_do_not_look_again(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 70, 130)}};
    struct pending p = make(&s);

    collect(&p);
    assert_part(&p, 1, 0, 64, PFNS(1));
    bitmap_set(p.round, 5);
    bitmap_set(p.retried, 199);
    assert_int_equal(pending_begin_part(&p, 1).first, 64);
    assert_map(p.retried, PFNS(70, 199));
    bitmap_clear(p.retried, 199);
    /* Another round does. */
    pending_begin_round(&p, false);
    assert_map(p.round, PFNS(5, 130));
    assert_part(&p, 1, 0, 64, PFNS(5));
    pending_begin_retry(&p);
    assert_part(&p, 1, 128, 192, PFNS(130));
    pending_destroy(&p);
}

static void test_the_last_round_has_all_that_is_left(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1, 2), PFNS(2, 50)}};
    struct pending p = make(&s);
    struct err e = ERR_INIT;

    collect(&p);
    frame_notes_defer(&p.notes, 101);
    frame_notes_miss(&p.notes, 102, true);
    frame_notes_miss(&p.notes, 103, true);
    assert_int_equal(pending_collect_last(&p, &e), 0);
    assert_map(p.round, PFNS(1, 2, 50, 101, 102));
    assert_int_equal(s.finals, 1);
    assert_int_equal(s.checks, 1);
    pending_destroy(&p);

    /* Not live: everything. */
    p = make(NULL);
    assert_int_equal(pending_collect_last(&p, &e), 0);
    assert_int_equal(bitmap_count(p.round, FRAMES), FRAMES);
    pending_destroy(&p);
}

static void test_a_source_that_fails_is_an_error(void **state)
{
    (void)state;
    struct script s = {.finds = {PFNS(1)}};
    struct pending p = make(&s);
    struct pending_found f;
    uint64_t dirty;
    struct err e = ERR_INIT;

    collect(&p);
    assert_int_equal(pending_collect(&p, &f, &e), -EIO);
    e = (struct err)ERR_INIT;
    assert_int_equal(pending_sample(&p, true, &f, &e), -EIO);
    e = (struct err)ERR_INIT;
    assert_int_equal(pending_peek(&p, &dirty, &e), -EIO);
    e = (struct err)ERR_INIT;
    assert_int_equal(pending_collect_last(&p, &e), -EIO);
    /* What was written since is unknown: asked before it is collected. */
    s.is_off = true;
    s.finds[1] = NOTHING;
    e = (struct err)ERR_INIT;
    assert_int_equal(pending_collect_last(&p, &e), -ESTALE);
    assert_int_equal(s.found, 1);
    pending_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_has_what_was_found),
        cmocka_unit_test(test_deferred_pages_join_once),
        cmocka_unit_test(test_missing_pages_join_as_soon_as_they_are_there),
        cmocka_unit_test(test_only_announced_pages_are_withdrawn),
        cmocka_unit_test(test_repeats_are_kept_for_a_round),
        cmocka_unit_test(test_a_deferred_page_is_not_kept),
        cmocka_unit_test(test_samples_join_what_is_left_and_count_as_one),
        cmocka_unit_test(test_redirtied_is_of_the_current_round),
        cmocka_unit_test(test_a_retry_has_only_what_was_deferred),
        cmocka_unit_test(test_parts_take_what_is_left_word_by_word),
        cmocka_unit_test(test_parts_do_not_look_again),
        cmocka_unit_test(test_the_last_round_has_all_that_is_left),
        cmocka_unit_test(test_a_source_that_fails_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
