/* SPDX-License-Identifier: MIT */
/* What is kept of the guest's frames: as much as it has memory, wherever its frames are. */
#include "engine/in/barrier.h"
#include "engine/in/place.h"
#include "tests/unit/fake_xen.h"
#include "transport/record.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum {
    PAGES = 64 << 8, /* of a guest of 64 MiB */
    SLACK = 256,     /* that a toolstack adds */
    BATCH = PLACE_MAX_PAGES,
    HOLE_STRIDE = 16 * EXTENT_FRAMES,
    LIMIT_KIB = 16 << 10,
    THREADS = 4,
};

/* A sanitizer's own memory is not ours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

struct fixture {
    struct frames frames;
    struct barrier barrier;
    struct placer *placer;
    struct err e;
};

static struct fixture f;

static void begin(unsigned levels, uint64_t frame_count, uint64_t max_pages)
{
    f = (struct fixture){.e = ERR_INIT};
    fake_xen_begin(EXTENT_FRAMES);
    assert_int_equal(frames_init(&f.frames, FAKE_DEST, levels, frame_count, max_pages, &f.e), 0);
    assert_int_equal(barrier_init(&f.barrier, THREADS, &f.frames.map, &f.e), 0);
    assert_int_equal(placer_create(&f.placer, &f.frames, NULL, &f.e), 0);
}

static int end(void **state)
{
    (void)state;
    placer_destroy(f.placer);
    barrier_destroy(&f.barrier);
    frames_destroy(&f.frames);
    fake_xen_end();
    return 0;
}

/* Of this process, without what it shares with files. */
static long memory_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    long kib = -1;

    assert_non_null(status);
    while (kib < 0 && fgets(line, sizeof(line), status))
        if (sscanf(line, "RssAnon: %ld", &kib) != 1)
            kib = -1;
    fclose(status);
    assert_true(kib > 0);
    return kib;
}

/* As a lane does it: frames first, first + stride, ... of a type that has no content. */
static int place(uint64_t first, uint64_t stride, unsigned type, unsigned count)
{
    uint64_t entries[BATCH];

    for (unsigned i = 0; i < count; i++)
        entries[i] = v3_entry(first + i * stride, type << 28);

    int rc = barrier_claim(&f.barrier, 0, 0, entries, count, &f.e);

    if (!rc)
        rc = place_begin(f.placer, entries, count, &f.e);
    if (!rc)
        rc = place_commit(f.placer, entries, count, &f.e);
    place_end(f.placer);
    return rc;
}

static void spread_over_all_frames(unsigned levels)
{
    const uint64_t stride = WIRE_MAX_FRAMES / PAGES;
    const long before_kib = memory_kib();

    begin(levels, WIRE_MAX_FRAMES, PAGES + SLACK);
    for (uint64_t i = 0; i < PAGES; i += BATCH)
        assert_int_equal(place(i * stride + 7, stride, V3_PAGE_XALLOC, BATCH), 0);
    /* And many extents are named, as holes. */
    for (uint64_t pfn = 0; pfn < WIRE_MAX_FRAMES; pfn += BATCH * HOLE_STRIDE)
        assert_int_equal(place(pfn, HOLE_STRIDE, V3_PAGE_XTAB, BATCH), 0);

    const long kib = memory_kib() - before_kib;

    if (!IS_SANITIZED && kib > LIMIT_KIB)
        fail_msg("%ld KiB for a guest of 64 MiB", kib);
    assert_int_equal(f.frames.populated_pages, PAGES);
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_true(frames_is_populated(&f.frames, i * stride + 7));
        assert_int_equal(frames_gfn(&f.frames, i * stride + 7), i * stride + 7);
        assert_false(frames_is_populated(&f.frames, i * stride + 8));
    }
    assert_false(frames_is_populated(&f.frames, WIRE_MAX_FRAMES - 1));
}

static void test_memory_follows_what_is_populated(void **state)
{
    (void)state;
    spread_over_all_frames(0);
}

static void test_memory_follows_what_a_pv_guest_has(void **state)
{
    (void)state;
    spread_over_all_frames(4);
    assert_int_equal(*frames_type(&f.frames, 7), V3_PAGE_XALLOC);
}

static void test_no_more_pages_than_the_domain_may_have(void **state)
{
    (void)state;
    begin(0, WIRE_MAX_FRAMES, 1000);
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, 990), 0);
    /* Those that are there count once. */
    assert_int_equal(place(980, 1, V3_PAGE_XALLOC, 20), 0);
    assert_int_equal(f.frames.populated_pages, 1000);
    assert_int_equal(place(1 << 20, 1, V3_PAGE_XALLOC, 24), -ENOMEM);
    assert_non_null(strstr(f.e.text, "frame 0x100000 would make 1024 pages of domain 2"));
    assert_non_null(strstr(f.e.text, "may have 1000"));
    assert_int_equal(f.frames.populated_pages, 1000);
    assert_false(frames_is_populated(&f.frames, 1 << 20));
}

static void test_no_more_extents_than_pages(void **state)
{
    (void)state;
    begin(0, WIRE_MAX_FRAMES, 100);
    assert_int_equal(place(0, EXTENT_FRAMES, V3_PAGE_XALLOC, 512), -EPROTO);
    assert_int_equal(f.e.class, ERR_PEER);
    assert_non_null(strstr(f.e.text, "more than the domain may have pages, 100"));
}

/* ---- threads ---- */

static void *add_all(void *arg)
{
    const uint64_t step = *(const uint64_t *)arg;
    uint32_t *slots = calloc(PAGES, sizeof(*slots));

    /* Each begins somewhere else, so that they meet. */
    for (uint64_t i = 0; i < PAGES; i++) {
        const uint64_t extent = (i + step * PAGES / THREADS) % PAGES;

        slots[extent] = extent_map_add(&f.frames.map, extent * 509);
    }
    return slots;
}

static void test_lanes_that_add_the_same_extents_agree(void **state)
{
    uint64_t steps[THREADS];
    pthread_t threads[THREADS];
    uint32_t *slots[THREADS];

    (void)state;
    begin(0, WIRE_MAX_FRAMES, PAGES);
    for (uint64_t i = 0; i < THREADS; i++) {
        steps[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, add_all, &steps[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], (void **)&slots[i]);
    assert_int_equal(f.frames.map.added, PAGES);
    for (unsigned extent = 0; extent < PAGES; extent++)
        assert_int_equal(slots[0][extent], extent_map_find(&f.frames.map, extent * 509));
    for (unsigned i = 1; i < THREADS; i++)
        assert_memory_equal(slots[i], slots[0], PAGES * sizeof(**slots));
    for (unsigned i = 0; i < THREADS; i++)
        free(slots[i]);
}

/* ---- what has been ballooned out ---- */

static int release(void)
{
    struct xen x = {0};

    return frames_release_absent(&f.frames, &x, &f.e);
}

static void test_what_was_ballooned_out_is_taken_back_in_the_end(void **state)
{
    (void)state;
    begin(0, 4 * EXTENT_FRAMES, PAGES);
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, EXTENT_FRAMES), 0); /* as one of 2 MiB */
    assert_int_equal(place(3, 2, V3_PAGE_XTAB, 100), 0);
    assert_int_equal(fake_xen_populated(3), 1);
    assert_int_equal(release(), 0);
    assert_int_equal(f.frames.populated_pages, EXTENT_FRAMES - 100);
    assert_int_equal(fake_xen_populated(3), 0);
    assert_int_equal(fake_xen_populated(4), 1);
    assert_false(frames_is_populated(&f.frames, 3));
    assert_true(frames_is_populated(&f.frames, 4));
}

static void test_what_was_taken_in_again_stays(void **state)
{
    (void)state;
    begin(0, 4 * EXTENT_FRAMES, PAGES);
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, 10), 0);
    assert_int_equal(place(0, 1, V3_PAGE_XTAB, 10), 0);
    assert_int_equal(place(4, 1, V3_PAGE_XALLOC, 1), 0);
    assert_int_equal(release(), 0);
    assert_int_equal(f.frames.populated_pages, 1);
    assert_int_equal(fake_xen_populated(4), 1);
    /* And it may come in once more. */
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, 10), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fake_xen_populated(i), 1);
    assert_int_equal(f.frames.populated_pages, 10);
}

static void test_at_the_limit_it_is_taken_back_at_once(void **state)
{
    (void)state;
    begin(0, 4 * EXTENT_FRAMES, 100);
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, 100), 0);
    assert_int_equal(place(0, 1, V3_PAGE_XTAB, 60), 0);
    assert_int_equal(place(EXTENT_FRAMES, 1, V3_PAGE_XALLOC, 50), 0);
    assert_int_equal(f.frames.populated_pages, 90);
    assert_int_equal(fake_xen_populated(59), 0);
    assert_int_equal(fake_xen_populated(60), 1);
    assert_int_equal(place(2 * EXTENT_FRAMES, 1, V3_PAGE_XALLOC, 11), -ENOMEM);
    assert_non_null(strstr(f.e.text, "which may have 100"));
}

/* Tables of a PV guest that are in place may name it again. */
static void test_a_pv_guests_is_taken_back_only_in_the_end(void **state)
{
    (void)state;
    begin(4, 4 * EXTENT_FRAMES, 100);
    assert_int_equal(place(0, 1, V3_PAGE_XALLOC, 100), 0);
    assert_int_equal(place(0, 1, V3_PAGE_XTAB, 60), 0);
    assert_int_equal(place(EXTENT_FRAMES, 1, V3_PAGE_XALLOC, 50), -ENOMEM);
    assert_int_equal(release(), 0);
    assert_int_equal(f.frames.populated_pages, 40);
}

static void test_a_frame_that_a_table_names_is_kept_if_its_entry_comes(void **state)
{
    (void)state;
    const uint64_t named[] = {5, 6, 7};
    struct xen x = {0};

    begin(4, 4 * EXTENT_FRAMES, 100);
    assert_int_equal(place(7, 1, V3_PAGE_XALLOC, 1), 0);
    assert_int_equal(frames_populate_named(&f.frames, &x, named, 3, &f.e), 0);
    assert_int_equal(place(5, 1, V3_PAGE_XALLOC, 1), 0);
    assert_int_equal(release(), 0);
    assert_true(frames_is_populated(&f.frames, 5));
    assert_false(frames_is_populated(&f.frames, 6));
    assert_true(frames_is_populated(&f.frames, 7));
}

static void test_it_is_found_among_sparse_frames(void **state)
{
    (void)state;
    begin(0, WIRE_MAX_FRAMES, PAGES);
    assert_non_null(f.frames.map.keys);
    assert_int_equal(place(7, 1, V3_PAGE_XALLOC, 1), 0);
    assert_int_equal(place(WIRE_MAX_FRAMES - 9, 1, V3_PAGE_XALLOC, 1), 0);
    assert_int_equal(place(7, 1, V3_PAGE_XTAB, 1), 0);
    assert_int_equal(release(), 0);
    assert_int_equal(f.frames.populated_pages, 1);
    assert_int_equal(fake_xen_populated(7), 0);
    assert_true(frames_is_populated(&f.frames, WIRE_MAX_FRAMES - 9));
}

/* One page each, left as the last round leaves them. */
static void leave_pages(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint64_t entry = v3_entry_of(V3_PAGE_NOTAB, i);

        assert_int_equal(place_begin(f.placer, &entry, 1, &f.e), 0);
        place_leave(f.placer);
    }
}

static void test_the_last_pages_stay_mapped_until_the_end(void **state)
{
    (void)state;
    begin(0, EXTENT_FRAMES, EXTENT_FRAMES);
    leave_pages(PLACE_MAX_LEFT + 3);
    assert_int_equal(fake_xen_mapped(), PLACE_MAX_LEFT);
    placer_destroy(f.placer);
    f.placer = NULL;
    assert_int_equal(fake_xen_mapped(), 0);
}

static void test_nothing_stays_mapped_where_tables_are_pinned(void **state)
{
    (void)state;
    begin(4, EXTENT_FRAMES, EXTENT_FRAMES);
    leave_pages(3);
    assert_int_equal(fake_xen_mapped(), 0);
}

/* Both may be in one piece that is summed after it was read, so each needs a page of its own. */
static void test_rings_are_dropped_each_to_its_own(void **state)
{
    const uint64_t entries[] = {v3_entry_of(V3_PAGE_NOTAB, 5), v3_entry_of(V3_PAGE_NOTAB, 6)};

    (void)state;
    begin(0, EXTENT_FRAMES, EXTENT_FRAMES);
    for (f.frames.foreign_count = 0; f.frames.foreign_count < 2; f.frames.foreign_count++)
        f.frames.foreign[f.frames.foreign_count] = 5 + f.frames.foreign_count;
    assert_int_equal(place_begin(f.placer, entries, 2, &f.e), 0);
    assert_non_null(f.placer->into[0]);
    assert_non_null(f.placer->into[1]);
    assert_ptr_not_equal(f.placer->into[0], f.placer->into[1]);
    assert_null(f.placer->guest[0]);
    place_end(f.placer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rings_are_dropped_each_to_its_own, end),
        cmocka_unit_test_teardown(test_memory_follows_what_is_populated, end),
        cmocka_unit_test_teardown(test_what_was_ballooned_out_is_taken_back_in_the_end, end),
        cmocka_unit_test_teardown(test_what_was_taken_in_again_stays, end),
        cmocka_unit_test_teardown(test_at_the_limit_it_is_taken_back_at_once, end),
        cmocka_unit_test_teardown(test_a_pv_guests_is_taken_back_only_in_the_end, end),
        cmocka_unit_test_teardown(test_a_frame_that_a_table_names_is_kept_if_its_entry_comes, end),
        cmocka_unit_test_teardown(test_it_is_found_among_sparse_frames, end),
        cmocka_unit_test_teardown(test_memory_follows_what_a_pv_guest_has, end),
        cmocka_unit_test_teardown(test_no_more_pages_than_the_domain_may_have, end),
        cmocka_unit_test_teardown(test_no_more_extents_than_pages, end),
        cmocka_unit_test_teardown(test_lanes_that_add_the_same_extents_agree, end),
        cmocka_unit_test_teardown(test_the_last_pages_stay_mapped_until_the_end, end),
        cmocka_unit_test_teardown(test_nothing_stays_mapped_where_tables_are_pinned, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
