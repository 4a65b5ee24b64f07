/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u

static uint32_t by_bits(uint32_t crc, uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    const uint8_t *data = to ? memcpy(to, from, len_bytes) : from;

    for (size_t i = 0; i < len_bytes; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    }
    return crc;
}

static bool has_bits(void)
{
    return true;
}

#ifdef __x86_64__
/* The instruction takes three cycles and one can begin in each: three parts of so many bytes are
 * summed side by side. */
enum { PART_BYTES = 1360, THREE_PARTS_BYTES = 3 * PART_BYTES };

/* What a sum becomes when that many bytes of zeros follow: a product, reduced. */
#define PAST_ONE_PART  0x3f70cc6full
#define PAST_TWO_PARTS 0x5aa1f3cfull

__attribute__((target("sse4.2,pclmul"))) static uint64_t past(uint64_t sum, uint64_t factor)
{
    const __m128i product = _mm_clmulepi64_si128(
        _mm_cvtsi64_si128((long long)(uint32_t)sum), _mm_cvtsi64_si128((long long)factor), 0);

    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t by_three_parts(
    uint64_t sum, const uint8_t *data)
{
    uint64_t second = 0, third = 0, words[3];

    for (unsigned i = 0; i < PART_BYTES; i += sizeof(words[0])) {
        memcpy(&words[0], data + i, sizeof(words[0]));
        memcpy(&words[1], data + PART_BYTES + i, sizeof(words[1]));
        memcpy(&words[2], data + 2 * PART_BYTES + i, sizeof(words[2]));
        sum = _mm_crc32_u64(sum, words[0]);
        second = _mm_crc32_u64(second, words[1]);
        third = _mm_crc32_u64(third, words[2]);
    }
    return past(sum, PAST_TWO_PARTS) ^ past(second, PAST_ONE_PART) ^ third;
}

/* A copy is summed while it is in the cache that is nearest. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t by_instruction(
    uint32_t crc, uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    uint64_t sum = crc, word;
    size_t at = 0;

    for (; len_bytes - at >= THREE_PARTS_BYTES; at += THREE_PARTS_BYTES)
        sum = by_three_parts(sum, to ? memcpy(to + at, from + at, THREE_PARTS_BYTES) : from + at);
    if (to)
        from = memcpy(to + at, from + at, len_bytes - at);
    else
        from += at;
    for (; len_bytes - at >= sizeof(word); at += sizeof(word), from += sizeof(word)) {
        memcpy(&word, from, sizeof(word));
        sum = _mm_crc32_u64(sum, word);
    }
    return by_bits((uint32_t)sum, NULL, from, len_bytes - at);
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

/* Four vectors stand for all that came before; each is moved past what the next four hold, by
 * products of its halves, and takes in its part of them. */
#define FOLDS __attribute__((target("avx512f,vpclmulqdq")))

enum { VECTORS = 4, FOLDED_BYTES = VECTORS * sizeof(__m512i), XOR_OF_THREE = 0x96 };

#define PAST_FOLDED_LOW  0xdcb17aa4ll
#define PAST_FOLDED_HIGH 0xb9e02b86ll

FOLDS static inline __m512i fold(__m512i sum, __m512i next)
{
    const __m512i past = _mm512_broadcast_i32x4(_mm_set_epi64x(PAST_FOLDED_HIGH, PAST_FOLDED_LOW));

    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, past, 0x00),
        _mm512_clmulepi64_epi128(sum, past, 0x11), next, XOR_OF_THREE);
}

/* What is copied is what is summed, whoever writes there meanwhile. */
FOLDS static inline __m512i take_vector(uint8_t *to, const uint8_t *from)
{
    __m512i vector = _mm512_loadu_si512(from);

    __asm__("" : "+v"(vector)); /* not loaded again */
    if (to)
        _mm512_storeu_si512(to, vector);
    return vector;
}

FOLDS static inline void fold_whole(
    __m512i sums[static VECTORS], uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    for (size_t at = 0; at < len_bytes; at += FOLDED_BYTES)
        for (size_t i = 0; i < VECTORS; i++) {
            const size_t here = at + i * sizeof(sums[i]);
            const __m512i next = take_vector(to ? to + here : NULL, from + here);

            sums[i] = at ? fold(sums[i], next) : _mm512_xor_si512(sums[i], next);
        }
}

FOLDS static uint32_t by_folding(uint32_t crc, uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    const size_t whole_bytes = len_bytes / FOLDED_BYTES * FOLDED_BYTES;
    __m512i sums[VECTORS] = {_mm512_castsi128_si512(_mm_cvtsi32_si128((int)crc))};
    uint8_t folded[FOLDED_BYTES];

    if (whole_bytes) {
        if (to)
            fold_whole(sums, to, from, whole_bytes);
        else
            fold_whole(sums, NULL, from, whole_bytes);
        memcpy(folded, sums, sizeof(folded));
        crc = by_instruction(0, NULL, folded, sizeof(folded));
    }
    return by_instruction(
        crc, to ? to + whole_bytes : NULL, from + whole_bytes, len_bytes - whole_bytes);
}

static bool has_folding(void)
{
    return has_instruction() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("vpclmulqdq");
}
#endif

const struct crc32c_way crc32c_ways[] = {
#ifdef __x86_64__
    {has_folding, by_folding},
    {has_instruction, by_instruction},
#endif
    {has_bits, by_bits},
    {NULL, NULL},
};

static uint32_t sum(uint32_t crc, uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    const struct crc32c_way *way = crc32c_ways;

    while (!way->is_there())
        way++;
    return ~way->sum(~crc, to, from, len_bytes);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
    return sum(crc, NULL, data, len_bytes);
}

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t len_bytes)
{
    return sum(crc, to, from, len_bytes);
}
