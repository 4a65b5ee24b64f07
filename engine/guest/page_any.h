/* SPDX-License-Identifier: MIT */
/*
 * Structures of PV guests come in two widths: access to a field in either, and to cr3, in which
 * 32-bit guests fold frame numbers beyond 4 GiB.
 */
#ifndef ENGINE_GUEST_PAGE_ANY_H
#define ENGINE_GUEST_PAGE_ANY_H

#include <stdint.h>

/* p points to one of Xen's ..._any_t unions (members x64 and x32). */
#define get_any(p, field, width)                                                                   \
    ((width) == 8 ? (uint64_t)(p)->x64.field : (uint64_t)(p)->x32.field)

#define set_any(p, field, value, width)                                                            \
    do {                                                                                           \
        if ((width) == 8)                                                                          \
            (p)->x64.field = (__typeof__((p)->x64.field))(value);                                  \
        else                                                                                       \
            (p)->x32.field = (__typeof__((p)->x32.field))(value);                                  \
    } while (0)

static inline uint64_t cr3_to_frame(uint64_t cr3, unsigned width)
{
    return width == 8 ? cr3 >> 12 : (uint32_t)((uint32_t)cr3 >> 12 | (uint32_t)cr3 << 20);
}

/* width 4: frame must fit 32 bits. */
static inline uint64_t frame_to_cr3(uint64_t frame, unsigned width)
{
    return width == 8 ? frame << 12 : (uint32_t)((uint32_t)frame << 12 | (uint32_t)frame >> 20);
}

#endif
