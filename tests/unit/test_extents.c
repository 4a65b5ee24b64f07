/* SPDX-License-Identifier: MIT */
/* Walks over a round's bitmap: every frame once, on one lane, in order, an extent to one lane. */
#include "base/bitmap.h"
#include "dirtylog/extents.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { FRAMES = 10 * EXTENT_FRAMES + 77, MOST_LANES = 64 };

static void test_a_full_bitmap_gives_one_whole_extent_at_a_time(void **state)
{
    (void)state;
    uint64_t *map = bitmap_alloc(FRAMES), pfns[EXTENT_FRAMES];
    struct frame_share share;

    bitmap_fill(map, FRAMES);
    frame_share_begin(&share, map, 0, FRAMES);

    struct frame_walk walks[] = {frame_walk_begin(&share), frame_walk_begin(&share)};

    for (uint64_t extent = 0; extent < 10; extent++) {
        struct frame_walk *w = &walks[extent % 3 == 1]; /* whoever asks gets the next */

        assert_int_equal(frame_walk_next(w, pfns, EXTENT_FRAMES), EXTENT_FRAMES);
        assert_int_equal(pfns[0], extent * EXTENT_FRAMES);
        assert_int_equal(pfns[EXTENT_FRAMES - 1], extent * EXTENT_FRAMES + EXTENT_FRAMES - 1);
    }
    /* Extent 10, the last, is shorter. */
    assert_int_equal(frame_walk_next(&walks[1], pfns, EXTENT_FRAMES), FRAMES % EXTENT_FRAMES);
    assert_int_equal(pfns[0], 10 * EXTENT_FRAMES);
    for (int i = 0; i < 4; i++)
        assert_int_equal(frame_walk_next(&walks[i / 2], pfns, EXTENT_FRAMES), 0);
    free(map);
}

/* Walk a sparse bitmap with that many lanes in turn; seen counts each frame. */
static void walk_all(const uint64_t *map, unsigned lanes, unsigned max, uint8_t *seen)
{
    uint64_t pfns[EXTENT_FRAMES], before[MOST_LANES] = {0};
    uint8_t owner[FRAMES / EXTENT_FRAMES + 1] = {0};
    struct frame_walk walks[MOST_LANES];
    struct frame_share share;
    unsigned at_end = 0;

    memset(seen, 0, FRAMES);
    frame_share_begin(&share, map, 0, FRAMES);
    for (unsigned lane = 0; lane < lanes; lane++)
        walks[lane] = frame_walk_begin(&share);
    for (unsigned lane = 0; at_end < lanes; lane = (lane + 1) % lanes) {
        const unsigned n = frame_walk_next(&walks[lane], pfns, max);

        at_end = n ? 0 : at_end + 1;
        for (unsigned i = 0; i < n; i++) {
            uint8_t *o = &owner[pfns[i] / EXTENT_FRAMES];

            assert_true(pfns[i] < FRAMES);
            assert_true(pfns[i] >= before[lane]);
            assert_true(*o == 0 || *o == lane + 1);
            *o = (uint8_t)(lane + 1);
            before[lane] = pfns[i] + 1;
            seen[pfns[i]]++;
        }
    }
}

static void test_every_set_frame_is_walked_once_whatever_the_lanes(void **state)
{
    (void)state;
    static const unsigned lane_counts[] = {1, 2, 3, 8, 11, MOST_LANES};
    static const unsigned maxima[] = {1, 7, 64, EXTENT_FRAMES};
    uint64_t *map = bitmap_alloc(FRAMES);
    uint8_t *seen = malloc(FRAMES);

    for (uint64_t pfn = 0; pfn < FRAMES; pfn += 1 + pfn % 13)
        bitmap_set(map, pfn);
    bitmap_set(map, FRAMES - 1);
    for (unsigned i = 0; i < sizeof(lane_counts) / sizeof(lane_counts[0]); i++)
        for (unsigned j = 0; j < sizeof(maxima) / sizeof(maxima[0]); j++) {
            walk_all(map, lane_counts[i], maxima[j], seen);
            for (uint64_t pfn = 0; pfn < FRAMES; pfn++)
                assert_int_equal(seen[pfn], bitmap_test(map, pfn));
        }
    free(seen);
    free(map);
}

/* Xen fills whole words: what lies beyond the guest's last frame is nobody's. */
static void test_bits_beyond_the_last_frame_are_not_frames(void **state)
{
    (void)state;
    const uint64_t map[] = {~0ull, ~0ull};
    uint64_t pfns[EXTENT_FRAMES];
    struct frame_share share;
    struct frame_walk w = frame_walk_begin(&share);

    frame_share_begin(&share, map, 0, 70);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 70);
    assert_int_equal(pfns[69], 69);
}

static void test_a_part_is_all_that_is_walked(void **state)
{
    (void)state;
    uint64_t *map = bitmap_alloc(FRAMES);
    const uint64_t first = EXTENT_FRAMES + 64, end = first + 128;
    uint64_t pfns[EXTENT_FRAMES];
    struct frame_share share;
    struct frame_walk w = frame_walk_begin(&share);

    bitmap_set(map, EXTENT_FRAMES - 1);
    bitmap_set(map, first);
    bitmap_set(map, end - 1);
    bitmap_set(map, end);
    frame_share_begin(&share, map, first, end);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 2);
    assert_int_equal(pfns[0], first);
    assert_int_equal(pfns[1], end - 1);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 0);
    free(map);
}

static void test_nothing_set_is_the_end(void **state)
{
    (void)state;
    const uint64_t map[8] = {0};
    uint64_t pfns[EXTENT_FRAMES];
    struct frame_share share;
    struct frame_walk w = frame_walk_begin(&share);

    frame_share_begin(&share, map, 0, EXTENT_FRAMES);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 0);
}

/* ---- many threads on one bitmap ---- */

enum { THREADS = 4, MANY_FRAMES = 400 * EXTENT_FRAMES };

struct walker {
    struct frame_share *share;
    pthread_t thread;
    uint64_t count, sum;
};

static void *walk_with_others(void *arg)
{
    struct walker *k = arg;
    struct frame_walk w = frame_walk_begin(k->share);
    uint64_t pfns[EXTENT_FRAMES];
    unsigned n;

    while ((n = frame_walk_next(&w, pfns, 64)) > 0) {
        k->count += n;
        for (unsigned i = 0; i < n; i++)
            k->sum += pfns[i] * pfns[i];
    }
    return NULL;
}

static void test_threads_share_a_bitmap_without_a_loss(void **state)
{
    (void)state;
    uint64_t *map = bitmap_alloc(MANY_FRAMES), count = 0, sum = 0;
    struct walker walkers[THREADS];
    struct frame_share share;

    for (uint64_t pfn = 0; pfn < MANY_FRAMES; pfn += 1 + pfn % 700) {
        bitmap_set(map, pfn);
        count++;
        sum += pfn * pfn;
    }
    frame_share_begin(&share, map, 0, MANY_FRAMES);
    for (int i = 0; i < THREADS; i++) {
        walkers[i] = (struct walker){.share = &share};
        assert_int_equal(
            pthread_create(&walkers[i].thread, NULL, walk_with_others, &walkers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(walkers[i].thread, NULL);
        count -= walkers[i].count;
        sum -= walkers[i].sum;
    }
    assert_int_equal(count, 0);
    assert_int_equal(sum, 0);
    free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_bitmap_gives_one_whole_extent_at_a_time),
        cmocka_unit_test(test_every_set_frame_is_walked_once_whatever_the_lanes),
        cmocka_unit_test(test_bits_beyond_the_last_frame_are_not_frames),
        cmocka_unit_test(test_a_part_is_all_that_is_walked),
        cmocka_unit_test(test_nothing_set_is_the_end),
        cmocka_unit_test(test_threads_share_a_bitmap_without_a_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
