/* SPDX-License-Identifier: MIT */
/* An image from another xmigrate, on a trunk and lanes. */
#ifndef ENGINE_IN_LANES_H
#define ENGINE_IN_LANES_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/in/in.h"
#include "transport/channel.h"

/* Open and proven; all of it is the caller's and outlives the in. */
struct in_lanes_params {
    struct channel *trunk;
    struct channel *const *lanes;
    unsigned lane_count;
    /* Of trunk and lanes. A lane that fails fires it, which wakes all others. */
    struct cancel *cancel;
    const struct log *log;
};

int in_lanes_open(const struct in_lanes_params *p, struct in **in, struct err *e);

#endif
