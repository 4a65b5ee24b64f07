/* SPDX-License-Identifier: MIT */
/*
 * An image as the engine's part of a compact file (docs/file.md): lanes write chunks side by side,
 * each page that is not there yet; states are kept in memory until finish, which writes them and
 * the index. It knows a handover and no checkpoint: a file is one image.
 */
#ifndef ENGINE_OUT_COMPACT_H
#define ENGINE_OUT_COMPACT_H

#include "base/cancel.h"
#include "base/log.h"
#include "transport/compact/writer.h"
#include "engine/out/out.h"

struct out_compact_params {
    int fd; /* of a file that compact_create() made; the caller's */
    const struct file_keys *keys;
    struct compact_chain *chain; /* as for compact_writer_open() */
    enum codec codec;
    unsigned lane_count; /* 1..MAX_LANES */
    const struct cancel *cancel;
    const struct log *log;
};

int out_compact_open(const struct out_compact_params *p, struct out **out, struct err *e);

#endif
