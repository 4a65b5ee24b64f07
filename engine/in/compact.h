/* SPDX-License-Identifier: MIT */
/* An image from a chain of compact files (docs/file.md): lanes read pages side by side, by the
 * index, each page once. */
#ifndef ENGINE_IN_COMPACT_H
#define ENGINE_IN_COMPACT_H

#include "base/cancel.h"
#include "base/log.h"
#include "transport/compact/chain.h"
#include "engine/in/in.h"

struct in_compact_params {
    struct compact_chain *chain; /* complete; the caller's, and outlives the in */
    unsigned lane_count;         /* 1..MAX_LANES */
    const struct cancel *cancel;
    const struct log *log;
};

int in_compact_open(const struct in_compact_params *p, struct in **in, struct err *e);

#endif
