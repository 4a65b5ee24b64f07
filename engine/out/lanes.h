/* SPDX-License-Identifier: MIT */
/*
 * An image to another xmigrate, on a trunk and lanes. Between HEAD and END the trunk has no word
 * for a checkpoint (docs/wire.md), so handing over is the one commit there is.
 */
#ifndef ENGINE_OUT_LANES_H
#define ENGINE_OUT_LANES_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/out/out.h"
#include "engine/source.h"
#include "transport/channel.h"

/* Open and proven; all of it is the caller's and outlives the out. */
struct out_lanes_params {
    struct channel *trunk;
    struct channel *const *lanes;
    unsigned lane_count; /* 1..MAX_LANES */
    enum codec compress;
    uint64_t
        delta_bytes; /* how much to keep of what was sent, for differences; 0: there are none */
    const struct cancel *cancel;
    const struct log *log;
};

int out_lanes_open(const struct out_lanes_params *p, struct out **out, struct err *e);

#endif
