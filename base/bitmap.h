/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps over 64-bit words: bit i is bit i%64 of word i/64, which on the little-endian hosts
 * that we run on is also the layout of Xen's log-dirty bitmap. Plain memory, no locks: a word
 * has one writer at a time (see the rooms that share one).
 */
#ifndef BASE_BITMAP_H
#define BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bitmap_words(uint64_t bits)
{
    return (size_t)((bits + 63) / 64);
}

static inline bool bitmap_test(const uint64_t *map, uint64_t bit)
{
    return map[bit / 64] >> (bit % 64) & 1;
}

/* For use while another thread stores whole words of the map. */
static inline bool bitmap_test_shared(const uint64_t *map, uint64_t bit)
{
    return __atomic_load_n(&map[bit / 64], __ATOMIC_RELAXED) >> (bit % 64) & 1;
}

static inline void bitmap_set(uint64_t *map, uint64_t bit)
{
    map[bit / 64] |= 1ull << (bit % 64);
}

static inline void bitmap_clear(uint64_t *map, uint64_t bit)
{
    map[bit / 64] &= ~(1ull << (bit % 64));
}

/* A zeroed map for that many bits, or NULL. free() it. */
uint64_t *bitmap_alloc(uint64_t bits);

/* Set bits [0, bits). Bits of the last word beyond them are left clear. */
void bitmap_fill(uint64_t *map, uint64_t bits);

/* dst |= src. */
void bitmap_or(uint64_t *dst, const uint64_t *src, uint64_t bits);

/* dst &= ~src. */
void bitmap_and_not(uint64_t *dst, const uint64_t *src, uint64_t bits);

/* How many of the first bits are set. */
uint64_t bitmap_count(const uint64_t *map, uint64_t bits);

/* The first set bit at or after from, or bits if none. */
uint64_t bitmap_next(const uint64_t *map, uint64_t bits, uint64_t from);

#endif
