/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli, as in iSCSI), with the CPU's instruction where it has one. The first crc is
 * 0, then what the call before returned. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes);

#endif
