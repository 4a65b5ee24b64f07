/* Walks over a round's bitmap: every frame once, on one lane, in order, extents whole. */
#include "base/bitmap.h"
#include "dirtylog/dirtylog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { FRAMES = 10 * EXTENT_FRAMES + 77 };

static void test_a_full_bitmap_gives_one_whole_extent_at_a_time(void **state)
{
    (void)state;
    uint64_t *map = bitmap_alloc(FRAMES), pfns[EXTENT_FRAMES];

    bitmap_fill(map, FRAMES);

    struct frame_walk w = frame_walk_begin(map, FRAMES, 1, 3);

    for (uint64_t extent = 1; extent < 10; extent += 3) {
        assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), EXTENT_FRAMES);
        assert_int_equal(pfns[0], extent * EXTENT_FRAMES);
        assert_int_equal(pfns[EXTENT_FRAMES - 1], extent * EXTENT_FRAMES + EXTENT_FRAMES - 1);
    }
    /* Extent 10, the last and shorter one, is lane 1's too. */
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), FRAMES % EXTENT_FRAMES);
    assert_int_equal(pfns[0], 10 * EXTENT_FRAMES);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 0);
    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 0);
    free(map);
}

/* Walk a sparse bitmap with that many lanes and batches; seen counts each frame. */
static void walk_all(const uint64_t *map, unsigned lanes, unsigned max, uint8_t *seen)
{
    uint64_t pfns[EXTENT_FRAMES];

    memset(seen, 0, FRAMES);
    for (unsigned lane = 0; lane < lanes; lane++) {
        struct frame_walk w = frame_walk_begin(map, FRAMES, lane, lanes);
        uint64_t before = 0;
        unsigned n;

        while ((n = frame_walk_next(&w, pfns, max)) > 0)
            for (unsigned i = 0; i < n; i++) {
                assert_true(pfns[i] < FRAMES);
                assert_true(pfns[i] >= before);
                assert_int_equal(pfns[i] / EXTENT_FRAMES % lanes, lane);
                before = pfns[i] + 1;
                seen[pfns[i]]++;
            }
    }
}

static void test_every_set_frame_is_walked_once_whatever_the_lanes(void **state)
{
    (void)state;
    static const unsigned lane_counts[] = {1, 2, 3, 8, 11, 64};
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
    struct frame_walk w = frame_walk_begin(map, 70, 0, 1);

    assert_int_equal(frame_walk_next(&w, pfns, EXTENT_FRAMES), 70);
    assert_int_equal(pfns[69], 69);
}

static void test_nothing_set_or_no_extent_for_the_lane_is_the_end(void **state)
{
    (void)state;
    const uint64_t map[8] = {0}, one[8] = {1};
    uint64_t pfns[EXTENT_FRAMES];
    struct frame_walk empty = frame_walk_begin(map, EXTENT_FRAMES, 0, 1);
    struct frame_walk beyond = frame_walk_begin(one, EXTENT_FRAMES, 5, 8);

    assert_int_equal(frame_walk_next(&empty, pfns, EXTENT_FRAMES), 0);
    assert_int_equal(frame_walk_next(&beyond, pfns, EXTENT_FRAMES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_bitmap_gives_one_whole_extent_at_a_time),
        cmocka_unit_test(test_every_set_frame_is_walked_once_whatever_the_lanes),
        cmocka_unit_test(test_bits_beyond_the_last_frame_are_not_frames),
        cmocka_unit_test(test_nothing_set_or_no_extent_for_the_lane_is_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
