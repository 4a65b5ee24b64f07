/* SPDX-License-Identifier: MIT */
/*
 * A plain stream of a guest whose writes cannot be tracked: while it stands still lanes copy its
 * pages into this host's memory, and the stream is written when it runs on. So the pause has one
 * copy from memory to memory in it and no disk. The memory is got in begin(), before that: as much
 * as the guest has.
 *
 * round() only keeps, and so does state(); commit() says that all is there. Then the guest is not
 * needed any more, and finish() writes it.
 */
#ifndef ENGINE_OUT_FROZEN_H
#define ENGINE_OUT_FROZEN_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/out/out.h"

struct out_frozen_params {
    int fd;              /* non-blocking and the caller's */
    unsigned lane_count; /* 1..MAX_LANES */
    const struct cancel *cancel;
    const struct log *log;
    /* While it is written, now and then: pages written so far. */
    void (*written)(void *arg, uint64_t pages);
    void *arg;
};

/* cancel and log outlive the out. */
int out_frozen_open(const struct out_frozen_params *p, struct out **out, struct err *e);

#endif
