/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <string.h>

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
__attribute__((target("sse4.2"))) static uint32_t by_instruction(
    uint32_t crc, const uint8_t *data, size_t len_bytes)
{
    uint64_t sum = crc, word;

    for (; len_bytes >= sizeof(word); data += sizeof(word), len_bytes -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sum = __builtin_ia32_crc32di(sum, word);
    }
    return by_bits((uint32_t)sum, data, len_bytes);
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(~crc, data, len_bytes);
#endif
    return ~by_bits(~crc, data, len_bytes);
}
