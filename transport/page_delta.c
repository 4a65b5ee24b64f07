/* SPDX-License-Identifier: MIT */
#include "transport/page_delta.h"

#include "base/crc32c.h"
#include "base/limits.h"

#include <string.h>

enum { PART_WORDS = 64 }; /* compared at once */

_Static_assert(DELTA_WORDS * 8 == PAGE_BYTES && DELTA_WORDS % PART_WORDS == 0, "a page's words");

static unsigned subtract(const uint64_t *was, const uint64_t *now, uint64_t *diff)
{
    unsigned words = 0;

    for (unsigned i = 0; i < PART_WORDS; i++) {
        diff[i] = was[i] ^ now[i];
        words += diff[i] != 0;
    }
    return words;
}

bool page_delta_take(
    uint64_t *was, const void *now, uint64_t diff[DELTA_WORDS], unsigned most_words)
{
    uint64_t copy[DELTA_WORDS];
    unsigned words = 0;

    memcpy(copy, now, sizeof(copy));
    /* Whoever writes to the page must not be seen between two reads of it. */
    __asm__ volatile("" ::: "memory");
    for (unsigned i = 0; i < DELTA_WORDS && words <= most_words; i += PART_WORDS)
        words += subtract(was + i, copy + i, diff + i);
    memcpy(was, copy, sizeof(copy));
    return words <= most_words;
}

unsigned page_delta_words(const void *was, const void *now)
{
    unsigned words = 0;

    for (unsigned i = 0; i < DELTA_WORDS; i++)
        words += ((const uint64_t *)was)[i] != ((const uint64_t *)now)[i];
    return words;
}

void page_delta_apply(void *page, const void *diff)
{
    uint64_t *words = page;

    for (unsigned i = 0; i < DELTA_WORDS; i++) {
        uint64_t word;

        memcpy(&word, (const char *)diff + i * sizeof(word), sizeof(word));
        words[i] ^= word;
    }
}

uint32_t page_check_sum(const void *page)
{
    return crc32c(0, page, PAGE_BYTES);
}
