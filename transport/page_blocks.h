/* SPDX-License-Identifier: MIT */
/* How the pages of a PAGES record are cut into blocks, for both of its ends (docs/wire.md). */
#ifndef TRANSPORT_PAGE_BLOCKS_H
#define TRANSPORT_PAGE_BLOCKS_H

#include "base/codec.h"
#include "transport/pages_limits.h"

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_CODEC_SHIFT = 30 };

#define BLOCK_LENGTH_MASK ((1u << BLOCK_CODEC_SHIFT) - 1)

/* What the block table calls a codec. */
static inline uint32_t block_word_of(enum codec codec)
{
    return (codec == CODEC_NONE ? 2u : codec == CODEC_LZ4 ? 0u : 1u) << BLOCK_CODEC_SHIFT;
}

/* CODECS: the word names none. */
static inline enum codec block_codec_of(uint32_t word)
{
    enum codec codec = 0;

    while (codec < CODECS && block_word_of(codec) != (word & ~BLOCK_LENGTH_MASK))
        codec++;
    return codec;
}

static inline uint32_t blocks_of(uint32_t pages)
{
    return (pages + PAGES_BLOCK_PAGES - 1) / PAGES_BLOCK_PAGES;
}

/* A table of u32 ends on eight bytes. */
static inline uint32_t even(uint32_t count)
{
    return count + count % 2;
}

static inline size_t padded_bytes(size_t len_bytes)
{
    return (len_bytes + 7) & ~(size_t)7;
}

#endif
