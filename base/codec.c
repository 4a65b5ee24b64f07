/* SPDX-License-Identifier: MIT */
#include "base/codec.h"

#include <string.h>

static const char *const names[] = {
    [CODEC_NONE] = "none",
    [CODEC_LZ4] = "lz4",
    [CODEC_ZSTD] = "zstd",
    [CODEC_AUTO] = "auto",
};

const char *codec_name(enum codec codec)
{
    return names[codec];
}

bool codec_parse(const char *name, enum codec *codec)
{
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(name, names[i])) {
            *codec = i;
            return true;
        }
    return false;
}
