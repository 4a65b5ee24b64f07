/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"

#include <stdlib.h>
#include <string.h>

uint64_t *bitmap_alloc(uint64_t bits)
{
    const size_t words = bitmap_words(bits);

    return calloc(words ? words : 1, sizeof(uint64_t));
}

void bitmap_fill(uint64_t *map, uint64_t bits)
{
    memset(map, 0xff, bits / 64 * 8);
    if (bits % 64)
        map[bits / 64] = (1ull << (bits % 64)) - 1;
}

void bitmap_or(uint64_t *dst, const uint64_t *src, uint64_t bits)
{
    for (size_t i = 0; i < bitmap_words(bits); i++)
        dst[i] |= src[i];
}

/* The bits of word i that lie below the end of the map. */
static uint64_t valid_word(const uint64_t *map, uint64_t bits, size_t i)
{
    const uint64_t left = bits - (uint64_t)i * 64;

    return left >= 64 ? map[i] : map[i] & ((1ull << left) - 1);
}

uint64_t bitmap_count(const uint64_t *map, uint64_t bits)
{
    uint64_t n = 0;

    for (size_t i = 0; i < bitmap_words(bits); i++)
        if (map[i]) /* most are not */
            n += (uint64_t)__builtin_popcountll(valid_word(map, bits, i));
    return n;
}

uint64_t bitmap_next(const uint64_t *map, uint64_t bits, uint64_t from)
{
    if (from >= bits)
        return bits;

    size_t i = (size_t)(from / 64);
    uint64_t word = valid_word(map, bits, i) & (~0ull << (from % 64));

    while (!word) {
        if (++i >= bitmap_words(bits))
            return bits;
        word = valid_word(map, bits, i);
    }
    return (uint64_t)i * 64 + (uint64_t)__builtin_ctzll(word);
}

void bitmap_and_not(uint64_t *dst, const uint64_t *src, uint64_t bits)
{
    for (size_t i = 0; i < bitmap_words(bits); i++)
        dst[i] &= ~src[i];
}
