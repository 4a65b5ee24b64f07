/* SPDX-License-Identifier: MIT */
/*
 * How pages are encoded on the wire: one of these for each block. AUTO exists only in options: each
 * lane then decides as it goes. The wire's own numbers are in transport/pages.c.
 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>

/* NONE: as they are, which is always allowed. A set of codecs is a bit mask. */
enum codec { CODEC_NONE, CODEC_LZ4, CODEC_ZSTD, CODECS, CODEC_AUTO = CODECS };

#define CODEC_BIT(codec) (1u << (codec))

/* "none", "lz4", "zstd", "auto": as --compress takes it. */
const char *codec_name(enum codec codec);

/* False if no codec has this name. */
bool codec_parse(const char *name, enum codec *codec);

#endif
