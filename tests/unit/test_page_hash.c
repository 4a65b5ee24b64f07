/* SPDX-License-Identifier: MIT */
/* A page's keyed hash is the same, however it is made. */
#include "base/limits.h"
#include "crypto/page_hash.h"
#include "crypto/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGES = 2 * SIPHASH_PAGES + 3 };

struct fixture {
    struct page_hasher *hasher;
    uint8_t key[PAGE_HASH_KEY_BYTES];
    uint8_t (*bytes)[PAGE_BYTES];
    const void *pages[PAGES];
    uint8_t wanted[PAGES][PAGE_HASH_BYTES]; /* each by itself */
    struct err e;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT, .bytes = aligned_alloc(PAGE_BYTES, PAGES * PAGE_BYTES)};
    assert_non_null(f.bytes);
    srandom(7);
    for (unsigned i = 0; i < sizeof(f.key); i++)
        f.key[i] = (uint8_t)random();
    for (unsigned i = 0; i < PAGES; i++) {
        for (unsigned j = 0; j < PAGE_BYTES; j++)
            f.bytes[i][j] = (uint8_t)random();
        f.pages[i] = f.bytes[i];
    }
    assert_int_equal(page_hasher_create(f.key, &f.hasher, &f.e), 0);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(page_hash(f.hasher, f.pages[i], f.wanted[i], &f.e), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    page_hasher_destroy(f.hasher);
    free(f.bytes);
    return 0;
}

static void several_have_the_hashes_of_each(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= PAGES; count++) {
        uint8_t hashes[PAGES][PAGE_HASH_BYTES] = {{0}};

        assert_int_equal(page_hashes(f.hasher, f.pages, count, hashes, &f.e), 0);
        for (unsigned i = 0; i < PAGES; i++) {
            static const uint8_t none[PAGE_HASH_BYTES];

            assert_memory_equal(hashes[i], i < count ? f.wanted[i] : none, PAGE_HASH_BYTES);
        }
    }
}

#ifdef __x86_64__
static void every_kind_of_processor_makes_the_same(void **state)
{
    uint8_t hashes[SIPHASH_PAGES][SIPHASH_BYTES];

    (void)state;
    if (__builtin_cpu_supports("avx2")) {
        siphash_by_avx2(f.key, f.pages, hashes);
        assert_memory_equal(hashes, f.wanted, sizeof(hashes));
    }
    if (__builtin_cpu_supports("avx512vl")) {
        siphash_by_avx512(f.key, f.pages, hashes);
        assert_memory_equal(hashes, f.wanted, sizeof(hashes));
    }
}
#endif

/* Of each page and of the key. */
static void every_part_of_a_page_counts(void **state)
{
    (void)state;
    for (unsigned at = 0; at < PAGE_BYTES; at += 501) {
        uint8_t hashes[SIPHASH_PAGES][PAGE_HASH_BYTES];

        f.bytes[3][at] ^= 1;
        assert_int_equal(page_hashes(f.hasher, f.pages, SIPHASH_PAGES, hashes, &f.e), 0);
        f.bytes[3][at] ^= 1;
        for (unsigned i = 0; i < SIPHASH_PAGES; i++)
            assert_int_equal(!memcmp(hashes[i], f.wanted[i], PAGE_HASH_BYTES), i != 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(several_have_the_hashes_of_each, set_up, tear_down),
#ifdef __x86_64__
        cmocka_unit_test_setup_teardown(every_kind_of_processor_makes_the_same, set_up, tear_down),
#endif
        cmocka_unit_test_setup_teardown(every_part_of_a_page_counts, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
