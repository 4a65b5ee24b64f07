/* What joins a round besides what log-dirty found. */
#include "base/bitmap.h"
#include "engine/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { FRAMES = 200 };

/* Even frames are there. */
static uint64_t frame_of(const struct guest *g, uint64_t pfn)
{
    (void)g;
    return pfn % 2 ? GUEST_NO_FRAME : pfn;
}

static const struct guest_ops ops = {.frame_of = frame_of};
static const struct guest guest = {.ops = &ops, .frames = FRAMES};

static void test_deferred_pages_join_once(void **state)
{
    (void)state;
    struct frame_maps maps;
    struct err e = ERR_INIT;
    uint64_t round[4] = {0};

    assert_int_equal(frame_maps_init(&maps, FRAMES, &e), 0);
    bitmap_set(maps.deferred, 3);
    bitmap_set(maps.deferred, 199);
    bitmap_set(round, 7);
    frame_maps_join(&maps, &guest, round);
    assert_int_equal(bitmap_count(round, FRAMES), 3);
    assert_true(bitmap_test(round, 3) && bitmap_test(round, 7) && bitmap_test(round, 199));

    memset(round, 0, sizeof(round));
    frame_maps_join(&maps, &guest, round);
    assert_int_equal(bitmap_count(round, FRAMES), 0);
    frame_maps_destroy(&maps);
}

/* A page that was ballooned out comes back without being written to. */
static void test_missing_pages_join_as_soon_as_they_are_there(void **state)
{
    (void)state;
    struct frame_maps maps;
    struct err e = ERR_INIT;
    uint64_t round[4] = {0};

    assert_int_equal(frame_maps_init(&maps, FRAMES, &e), 0);
    bitmap_set(maps.missing, 5);
    bitmap_set(maps.missing, 6);
    frame_maps_join(&maps, &guest, round);
    assert_int_equal(bitmap_count(round, FRAMES), 1);
    assert_true(bitmap_test(round, 6));
    /* Looking at it, not joining, settles that it is there. */
    assert_true(bitmap_test(maps.missing, 6));
    frame_maps_destroy(&maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deferred_pages_join_once),
        cmocka_unit_test(test_missing_pages_join_as_soon_as_they_are_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
