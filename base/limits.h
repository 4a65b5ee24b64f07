/* SPDX-License-Identifier: MIT */
/*
 * Sizes that several rooms have to agree on. The wire has them too (docs/wire.md).
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    PAGE_BYTES = 4096,
    /* An extent, an aligned run of frames (2 MiB), belongs to one lane for a round. */
    EXTENT_FRAMES = 512,
    EXTENT_WORDS = EXTENT_FRAMES / 64, /* of a bitmap */
    MAX_LANES = 64,
};

/* Every frame number is below HEAD's frame_count, and that is at most this: 256 TiB, which is what
 * four levels of tables map. A PV guest's last one goes into its stream as 32 bits. */
#define WIRE_MAX_FRAMES    (1ull << 36)
#define WIRE_MAX_PV_FRAMES (1ull << 32)

#endif
