/* SPDX-License-Identifier: MIT */
/* The smaller of two numbers, each looked at once. */
#ifndef BASE_MIN_H
#define BASE_MIN_H

#include <stdint.h>

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
