/* SPDX-License-Identifier: MIT */
/*
 * An image as a plain libxc v3 stream in a file: lanes write their records of pages side by side,
 * each at a place of its own. What else there is goes to the descriptor's position, which is behind
 * the last page when no round runs. It knows a handover and no checkpoint: a file is one image.
 */
#ifndef ENGINE_OUT_PLAIN_FILE_H
#define ENGINE_OUT_PLAIN_FILE_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/out/out.h"

struct out_plain_file_params {
    int fd;              /* a regular file, to be written from its position on; the caller's */
    unsigned lane_count; /* 1..MAX_LANES */
    const struct cancel *cancel;
    const struct log *log;
};

int out_plain_file_open(const struct out_plain_file_params *p, struct out **out, struct err *e);

#endif
