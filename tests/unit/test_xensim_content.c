/* SPDX-License-Identifier: MIT */
/* What xensim's guests write: text that compresses as real text does, pages that tell themselves
 * apart, and mixes that are parsed or refused. */
#include "xensim/guest/content.h"

#include <lz4.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <zstd.h>
#include <cmocka.h>

enum { BLOCK_BYTES = 64 << 10, NR_BLOCKS = 64 };

static void text_compresses_like_text(void **state)
{
    char *block = malloc(BLOCK_BYTES);
    char *out = malloc(2 * BLOCK_BYTES);
    double lz4 = 0, zstd = 0;

    (void)state;
    for (unsigned b = 0; b < NR_BLOCKS; b++) {
        content_text(block, BLOCK_BYTES, b * 1000);
        lz4 += LZ4_compress_default(block, out, BLOCK_BYTES, 2 * BLOCK_BYTES);
        zstd += (double)ZSTD_compress(out, 2 * BLOCK_BYTES, block, BLOCK_BYTES, 1);
    }
    lz4 /= (double)NR_BLOCKS * BLOCK_BYTES;
    zstd /= (double)NR_BLOCKS * BLOCK_BYTES;
    print_message("LZ4 leaves %.3f, zstd -1 %.3f\n", lz4, zstd);
    assert_true(zstd >= 0.35 && zstd <= 0.45);
    assert_true(lz4 >= 0.50 && lz4 <= 0.60);
    free(block);
    free(out);
}

static void pages_know_their_version(void **state)
{
    const struct content_mix mix = {.zero = 25, .text = 50, .random = 25};
    uint8_t page[CONTENT_PAGE_BYTES];
    unsigned zero = 0;

    (void)state;
    for (uint64_t index = 0; index < 1000; index++) {
        bool is_zero = true;

        content_fill(page, &mix, 7, index, 3);
        assert_true(content_matches(page, &mix, 7, index, 3));
        for (unsigned i = 0; i < sizeof(page); i++)
            is_zero = is_zero && !page[i];
        zero += is_zero;
        if (is_zero)
            continue;
        assert_false(content_matches(page, &mix, 7, index, 2));
        assert_false(content_matches(page, &mix, 7, index + 1, 3));
        assert_false(content_matches(page, &mix, 8, index, 3));
        assert_int_equal(content_find_version(page, &mix, 7, index, 9), 3);
        page[4095] ^= 1;
        assert_false(content_matches(page, &mix, 7, index, 3));
    }
    assert_in_range(zero, 200, 300);
}

static void mixes_add_up_or_are_refused(void **state)
{
    struct content_mix mix;

    (void)state;
    assert_true(content_parse_mix("zero=25,text=50,random=25", &mix));
    assert_int_equal(mix.text, 50);
    assert_true(content_parse_mix("random=100", &mix));
    assert_int_equal(mix.zero, 0);
    assert_false(content_parse_mix("zero=50,text=60", &mix));
    assert_false(content_parse_mix("zero=50", &mix));
    assert_false(content_parse_mix("noise=100", &mix));
    assert_false(content_parse_mix("zero", &mix));
    assert_false(content_parse_mix("", &mix));
}

static unsigned changed_bytes(const uint8_t *a, const uint8_t *b)
{
    unsigned changed = 0;

    for (unsigned i = 0; i < CONTENT_PAGE_BYTES; i++)
        changed += a[i] != b[i];
    return changed;
}

/* And each version is told from all others. */
static void writes_in_place_and_traces_change_little_of_a_page(void **state)
{
    static const char *const texts[] = {
        "random=100,write=64", "zero=100,write=128", "sqlite", "kv"};
    uint8_t pages[8][CONTENT_PAGE_BYTES];
    struct content_mix mix;

    (void)state;
    for (unsigned t = 0; t < 4; t++) {
        uint64_t changed = 0;

        assert_true(content_parse_mix(texts[t], &mix));
        for (uint64_t index = 100; index < 200; index++)
            for (uint32_t v = 1; v < 8; v++) {
                content_fill(pages[v], &mix, 7, index, v);
                assert_true(content_matches(pages[v], &mix, 7, index, v));
                assert_int_equal(
                    v == 1 && t == 1 ? 1 : content_find_version(pages[v], &mix, 7, index, 9), v);
                changed += v > 1 ? changed_bytes(pages[v], pages[v - 1]) : 0;
            }
        assert_in_range(changed / 600, 16, 800);
    }
    assert_false(content_parse_mix("random=100,write=65", &mix));
    assert_false(content_parse_mix("random=100,write=4096", &mix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_compresses_like_text),
        cmocka_unit_test(pages_know_their_version),
        cmocka_unit_test(mixes_add_up_or_are_refused),
        cmocka_unit_test(writes_in_place_and_traces_change_little_of_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
