/* SPDX-License-Identifier: MIT */
/*
 * SipHash in vectors. Included once for each kind of processor, which says SIPHASH_TARGET (its
 * instructions) and SIPHASH_NAME (the function's): what the compiler makes of vectors depends on
 * the function that they are in.
 */
#include "base/bytes.h"
#include "base/limits.h"
#include "crypto/siphash.h"

#include <string.h>

/* Four pages are side by side in a vector, a word of each; two vectors keep the processor busy. */
enum { LANES = 4, GROUPS = SIPHASH_PAGES / LANES, WORD_BYTES = 8 };

typedef uint64_t words __attribute__((vector_size(LANES * WORD_BYTES)));

#define INLINE static inline __attribute__((always_inline, target(SIPHASH_TARGET)))

struct state {
    words v0, v1, v2, v3;
};

INLINE void rotate(words *x, unsigned bits)
{
    *x = *x << bits | *x >> (64 - bits);
}

INLINE void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    rotate(&s->v1, 13);
    rotate(&s->v3, 16);
    s->v1 ^= s->v0;
    s->v3 ^= s->v2;
    rotate(&s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    rotate(&s->v1, 17);
    rotate(&s->v3, 21);
    s->v1 ^= s->v2;
    s->v3 ^= s->v0;
    rotate(&s->v2, 32);
}

INLINE void sip_rounds(struct state s[static GROUPS], unsigned count)
{
#pragma GCC unroll 8
    for (unsigned i = 0; i < count; i++)
#pragma GCC unroll 8
        for (unsigned g = 0; g < GROUPS; g++)
            sip_round(&s[g]);
}

INLINE void begin(struct state *s, const uint8_t key[static SIPHASH_KEY_BYTES])
{
    const uint64_t k0 = get_le64(key), k1 = get_le64(key + WORD_BYTES);
    const words none = {0};

    s->v0 = none + (k0 ^ 0x736f6d6570736575);
    s->v1 = none + (k1 ^ 0x646f72616e646f6d ^ 0xee);
    s->v2 = none + (k0 ^ 0x6c7967656e657261);
    s->v3 = none + (k1 ^ 0x7465646279746573);
}

/* The next four words of four pages: row i is page i, column j word j of all. */
INLINE void load(const void *const pages[static LANES], size_t at, words columns[static LANES])
{
    words r[LANES];

#pragma GCC unroll 8
    for (unsigned i = 0; i < LANES; i++)
        memcpy(&r[i], (const uint8_t *)pages[i] + at, sizeof(r[i]));

    const words even01 = __builtin_shufflevector(r[0], r[1], 0, 4, 2, 6);
    const words odd01 = __builtin_shufflevector(r[0], r[1], 1, 5, 3, 7);
    const words even23 = __builtin_shufflevector(r[2], r[3], 0, 4, 2, 6);
    const words odd23 = __builtin_shufflevector(r[2], r[3], 1, 5, 3, 7);

    columns[0] = __builtin_shufflevector(even01, even23, 0, 1, 4, 5);
    columns[1] = __builtin_shufflevector(odd01, odd23, 0, 1, 4, 5);
    columns[2] = __builtin_shufflevector(even01, even23, 2, 3, 6, 7);
    columns[3] = __builtin_shufflevector(odd01, odd23, 2, 3, 6, 7);
}

INLINE void take_words(
    struct state s[static GROUPS], const void *const pages[static SIPHASH_PAGES], size_t at)
{
    words w[GROUPS][LANES];

#pragma GCC unroll 8
    for (unsigned g = 0; g < GROUPS; g++)
        load(pages + g * LANES, at, w[g]);
#pragma GCC unroll 8
    for (unsigned j = 0; j < LANES; j++) {
#pragma GCC unroll 8
        for (unsigned g = 0; g < GROUPS; g++)
            s[g].v3 ^= w[g][j];
        sip_rounds(s, 2);
#pragma GCC unroll 8
        for (unsigned g = 0; g < GROUPS; g++)
            s[g].v0 ^= w[g][j];
    }
}

/* Half of the hash. */
INLINE void end(struct state s[static GROUPS], unsigned half, uint8_t (*hashes)[SIPHASH_BYTES])
{
    sip_rounds(s, 4);
#pragma GCC unroll 8
    for (unsigned i = 0; i < SIPHASH_PAGES; i++) {
        const struct state *of = &s[i / LANES];
        const words all = of->v0 ^ of->v1 ^ of->v2 ^ of->v3;

        put_le64(hashes[i] + (size_t)half * WORD_BYTES, all[i % LANES]);
    }
}

__attribute__((target(SIPHASH_TARGET))) void SIPHASH_NAME(
    const uint8_t key[static SIPHASH_KEY_BYTES], const void *const pages[static SIPHASH_PAGES],
    uint8_t (*hashes)[SIPHASH_BYTES])
{
    struct state s[GROUPS];

#pragma GCC unroll 8
    for (unsigned g = 0; g < GROUPS; g++)
        begin(&s[g], key);
    for (size_t at = 0; at < PAGE_BYTES; at += LANES * WORD_BYTES)
        take_words(s, pages, at);
    /* The last word has the length's low byte, which is 0, and nothing else. */
    sip_rounds(s, 2);
#pragma GCC unroll 8
    for (unsigned g = 0; g < GROUPS; g++)
        s[g].v2 ^= 0xee;
    end(s, 0, hashes);
#pragma GCC unroll 8
    for (unsigned g = 0; g < GROUPS; g++)
        s[g].v1 ^= 0xdd;
    end(s, 1, hashes);
}
