/* SPDX-License-Identifier: MIT */
/* Sizes, rates and times: what is read, what is refused, what is shown. */
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_numbers_in_range(void **state)
{
    uint64_t v = 99;

    (void)state;
    assert_true(parse_u64("0", 0, 10, &v));
    assert_int_equal(v, 0);
    assert_true(parse_u64("18446744073709551615", 0, UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    v = 99;
    static const char *const wrong[] = {"", " 1", "1 ", "+1", "-1", "0x10", "1.5", "1K",
        "18446744073709551616", "11", "99999999999999999999999"};

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(parse_u64(wrong[i], 0, 10, &v));
    assert_false(parse_u64("0", 1, 10, &v));
    assert_int_equal(v, 99);
}

static void test_sizes_are_binary(void **state)
{
    uint64_t v;

    (void)state;
    assert_true(parse_size_bytes("512", &v) && v == 512);
    assert_true(parse_size_bytes("4K", &v) && v == 4096);
    assert_true(parse_size_bytes("1g", &v) && v == 1ull << 30);
    assert_true(parse_size_bytes("16T", &v) && v == 1ull << 44);
    assert_false(parse_size_bytes("1KB", &v));
    assert_false(parse_size_bytes("G", &v));
    assert_false(parse_size_bytes("16777216T", &v)); /* 2^64 */
    assert_true(parse_size_bytes("16777215T", &v));
}

static void test_rates_are_decimal(void **state)
{
    uint64_t v;

    (void)state;
    assert_true(parse_rate_bits("10G", &v) && v == 10000000000);
    assert_true(parse_rate_bits("100k", &v) && v == 100000);
    assert_false(parse_rate_bits("1T", &v));
}

static void test_times_take_units(void **state)
{
    int64_t v;

    (void)state;
    assert_true(parse_duration_ns("2", &v) && v == 2000000000);
    assert_true(parse_duration_ns("300ms", &v) && v == 300000000);
    assert_true(parse_duration_ns("5us", &v) && v == 5000);
    assert_true(parse_duration_ns("7ns", &v) && v == 7);
    assert_true(parse_duration_ns("1m", &v) && v == 60000000000);
    assert_false(parse_duration_ns("9223372037s", &v)); /* beyond 2^63 ns */
    assert_false(parse_duration_ns("1h", &v));
    assert_false(parse_duration_ns("-1s", &v));
}

static void test_what_people_are_shown(void **state)
{
    char t[UNITS_TEXT_BYTES];

    (void)state;
    assert_string_equal(format_bytes(0, t), "0 B");
    assert_string_equal(format_bytes(1023, t), "1023 B");
    assert_string_equal(format_bytes(1536, t), "1.50 KiB");
    assert_string_equal(format_bytes((1ull << 30) - 1, t), "1.00 GiB");
    assert_string_equal(format_bytes(1ull << 44, t), "16.0 TiB");
    assert_string_equal(format_memory_rate(350 << 20, t), "350 MiB/s");
    assert_string_equal(format_wire_bytes(999, t), "999 B");
    assert_string_equal(format_wire_bytes(1610000000, t), "1.61 GB");
    assert_string_equal(format_rate(9.414e9, t), "9.41 Gbit/s");
    assert_string_equal(format_rate(999, t), "999 bit/s");
    assert_string_equal(format_duration(312000000, t), "312 ms");
    assert_string_equal(format_duration(1500, t), "1.50 us");
    assert_string_equal(format_duration(61000000000, t), "61.0 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_in_range),
        cmocka_unit_test(test_sizes_are_binary),
        cmocka_unit_test(test_rates_are_decimal),
        cmocka_unit_test(test_times_take_units),
        cmocka_unit_test(test_what_people_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
