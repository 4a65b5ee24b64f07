/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u

static uint32_t by_bits(uint32_t crc, const uint8_t *data, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    }
    return crc;
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

__attribute__((target("sse4.2,pclmul"))) static uint32_t by_instruction(
    uint32_t crc, const uint8_t *data, size_t len_bytes)
{
    uint64_t sum = crc, word;

    for (; len_bytes >= THREE_PARTS_BYTES;
         data += THREE_PARTS_BYTES, len_bytes -= THREE_PARTS_BYTES)
        sum = by_three_parts(sum, data);
    for (; len_bytes >= sizeof(word); data += sizeof(word), len_bytes -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sum = _mm_crc32_u64(sum, word);
    }
    return by_bits((uint32_t)sum, data, len_bytes);
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return ~by_instruction(~crc, data, len_bytes);
#endif
    return ~by_bits(~crc, data, len_bytes);
}
