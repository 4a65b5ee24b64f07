/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli, as in iSCSI), with the CPU's instructions where it has them. The first crc
 * is 0, then what the call before returned. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes);

/* Copy, and sum what was copied, whoever writes to `from` meanwhile. */
uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t len_bytes);

/* The ways to do both, the quickest first; the last one, before a NULL, is always there. sum()
 * takes and returns the sum inverted, as it is inside, and only sums if `to` is NULL. */
struct crc32c_way {
    bool (*is_there)(void);
    uint32_t (*sum)(uint32_t crc, uint8_t *to, const uint8_t *from, size_t len_bytes);
};

extern const struct crc32c_way crc32c_ways[];

#endif
