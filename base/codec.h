/* SPDX-License-Identifier: MIT */
/*
 * How pages are stored on the way: one of these for each block, or AUTO where people choose, by
 * which each lane decides as it goes. What the wire calls them is in transport/pages.c.
 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>

/* NONE: as they are, which is always allowed. Sets of them are bits. */
enum codec { CODEC_NONE, CODEC_LZ4, CODEC_ZSTD, CODECS, CODEC_AUTO = CODECS };

#define CODEC_BIT(codec) (1u << (codec))

/* "none", "lz4", "zstd", "auto": as --compress takes it. */
const char *codec_name(enum codec codec);

/* False: it is the name of none. */
bool codec_parse(const char *name, enum codec *codec);

#endif
