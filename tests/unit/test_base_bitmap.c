/* SPDX-License-Identifier: MIT */
/* Bitmaps, against the plainest model there is: an array of bool. */
#include "base/bitmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_a_bit_is_where_xen_puts_it(void **state)
{
    uint64_t map[2] = {0};

    (void)state;
    bitmap_set(map, 70);
    assert_int_equal(((uint8_t *)map)[70 / 8], 1 << 70 % 8);
    assert_true(bitmap_test(map, 70));
    bitmap_clear(map, 70);
    assert_int_equal(map[1], 0);
}

static void test_words_round_up(void **state)
{
    (void)state;
    assert_int_equal(bitmap_words(0), 0);
    assert_int_equal(bitmap_words(1), 1);
    assert_int_equal(bitmap_words(64), 1);
    assert_int_equal(bitmap_words(65), 2);
    assert_int_equal(bitmap_words(1ull << 33), 1ull << 27);
}

static void test_fill_stops_at_the_last_bit(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits <= 130; bits++) {
        uint64_t *map = bitmap_alloc(192);

        bitmap_fill(map, bits);
        assert_int_equal(bitmap_count(map, 192), bits);
        assert_int_equal(bitmap_count(map, bits), bits);
        assert_int_equal(bitmap_next(map, 192, bits), 192);
        free(map);
    }
}

static void test_count_next_and_or_agree_with_a_model(void **state)
{
    enum { BITS = 331 };
    bool a[BITS], b[BITS];

    (void)state;
    for (unsigned density = 1; density < 40; density += 3) {
        uint64_t *map = bitmap_alloc(BITS), *other = bitmap_alloc(BITS);
        uint64_t count = 0;

        for (unsigned i = 0; i < BITS; i++) {
            a[i] = (unsigned)random() % density == 0;
            b[i] = (unsigned)random() % density == 0;
            if (a[i])
                bitmap_set(map, i);
            if (b[i])
                bitmap_set(other, i);
        }
        bitmap_or(map, other, BITS);
        for (unsigned i = 0; i < BITS; i++)
            count += a[i] || b[i];
        assert_int_equal(bitmap_count(map, BITS), count);
        bitmap_and_not(map, other, BITS);
        for (unsigned i = 0; i < BITS; i++)
            assert_int_equal(bitmap_test_shared(map, i), a[i] && !b[i]);
        for (unsigned i = 0; i < BITS; i++)
            if (a[i])
                bitmap_set(map, i);
        bitmap_or(map, other, BITS);
        for (unsigned from = 0; from < BITS + 5; from++) {
            unsigned next = from < BITS ? from : BITS;

            while (next < BITS && !a[next] && !b[next])
                next++;
            assert_int_equal(bitmap_next(map, BITS, from), next);
        }
        free(map);
        free(other);
    }
}

static void test_bits_beyond_the_end_do_not_count(void **state)
{
    uint64_t map[2] = {0, ~0ull};

    (void)state;
    assert_int_equal(bitmap_count(map, 70), 6);
    assert_int_equal(bitmap_next(map, 64, 0), 64);
    map[1] = 1ull << 6;
    assert_int_equal(bitmap_next(map, 70, 0), 70);
    assert_int_equal(bitmap_next(map, 71, 0), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bit_is_where_xen_puts_it),
        cmocka_unit_test(test_words_round_up),
        cmocka_unit_test(test_fill_stops_at_the_last_bit),
        cmocka_unit_test(test_count_next_and_or_agree_with_a_model),
        cmocka_unit_test(test_bits_beyond_the_end_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
