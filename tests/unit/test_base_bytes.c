/* SPDX-License-Identifier: MIT */
/* Cursors never leave their buffer, and stay marked once they would have. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_numbers_are_little_endian(void **state)
{
    uint8_t buf[15];
    struct bytes_out out = bytes_out_init(buf, sizeof(buf));

    (void)state;
    bytes_out_u8(&out, 0x01);
    bytes_out_u16(&out, 0x0302);
    bytes_out_u32(&out, 0x07060504);
    bytes_out_u64(&out, 0x0f0e0d0c0b0a0908);
    assert_false(out.overflow);
    for (unsigned i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], i + 1);

    struct bytes_in in = bytes_in_init(buf, sizeof(buf));

    assert_int_equal(bytes_in_u8(&in), 0x01);
    assert_int_equal(bytes_in_u16(&in), 0x0302);
    assert_int_equal(bytes_in_left(&in), 12);
    assert_int_equal(bytes_in_u32(&in), 0x07060504);
    assert_false(bytes_in_done(&in));
    assert_int_equal(bytes_in_u64(&in), 0x0f0e0d0c0b0a0908);
    assert_true(bytes_in_done(&in));
}

static void test_a_writer_that_is_full_writes_nothing_more(void **state)
{
    uint8_t buf[8] = {0};
    struct bytes_out out = bytes_out_init(buf, 6);

    (void)state;
    bytes_out_u32(&out, 0x11111111);
    bytes_out_u32(&out, 0x22222222);
    assert_true(out.overflow);
    assert_int_equal(out.len_bytes, 4);
    bytes_out_u8(&out, 0x33); /* would fit, but something before it is missing */
    assert_null(bytes_out_reserve(&out, 0));
    assert_int_equal(out.len_bytes, 4);
    assert_int_equal(get_le32(buf + 4), 0);
}

static void test_a_reader_at_its_end_yields_zeros_for_good(void **state)
{
    static const uint8_t buf[6] = {1, 1, 1, 1, 1, 1};
    struct bytes_in in = bytes_in_init(buf, sizeof(buf));

    (void)state;
    assert_int_equal(bytes_in_u32(&in), 0x01010101);
    assert_int_equal(bytes_in_u32(&in), 0);
    assert_true(in.underflow);
    assert_int_equal(bytes_in_u8(&in), 0); /* would be there */
    assert_null(bytes_in_take(&in, 1));
    assert_int_equal(bytes_in_left(&in), 0);
    assert_false(bytes_in_done(&in));
}

static void test_lengths_near_the_end_of_the_address_space(void **state)
{
    static const uint8_t buf[8];
    struct bytes_in in = bytes_in_init(buf, sizeof(buf));
    struct bytes_out out = bytes_out_init((uint8_t[8]){0}, 8);

    (void)state;
    bytes_in_u32(&in);
    assert_null(bytes_in_take(&in, SIZE_MAX));
    bytes_out_u32(&out, 0);
    assert_null(bytes_out_reserve(&out, SIZE_MAX - 3));
    assert_true(in.underflow && out.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_little_endian),
        cmocka_unit_test(test_a_writer_that_is_full_writes_nothing_more),
        cmocka_unit_test(test_a_reader_at_its_end_yields_zeros_for_good),
        cmocka_unit_test(test_lengths_near_the_end_of_the_address_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
