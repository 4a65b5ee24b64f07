/*
 * Rounds at the destination. A round's extents come on whatever lane was free, so two things keep
 * an older copy of a page from overtaking a newer one:
 *
 *   lane 0   e3 e4 e7 | border ..........waits | e3 ...
 *   lane 1   e1 e2 e5 e6 e8 ....... | border   | e1 ...
 *
 * no lane goes on into the next round before all have come to the border, and within a round an
 * extent is one lane's: the lane that brings it first claims it, another that brings it too is an
 * error. Shared by all lanes.
 */
#ifndef ENGINE_IN_BARRIER_H
#define ENGINE_IN_BARRIER_H

#include "base/cancel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct round_gate {
    unsigned lane_count;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    uint64_t borders; /* lock: that all lanes have crossed */
    unsigned waiting; /* lock: lanes that stand at the next one */
    unsigned ended;   /* lock: lanes that will come to no other */
    /* By extent, who has claimed it last: lane and round (memory is used where it is written). */
    _Atomic uint64_t *claims;
};

int round_gate_init(struct round_gate *g, unsigned lane_count, uint64_t frame_count, struct err *e);
void round_gate_destroy(struct round_gate *g);

/* The extents of entries (libxc's, frames below frame_count) are the lane's, which has crossed that
 * many borders; else ERR_PEER, -EPROTO. */
int round_gate_claim(struct round_gate *g, unsigned lane, uint64_t borders, const uint64_t *entries,
    unsigned count, struct err *e);

/* The lane has come to its border of that number, from 1: returns when all have. ERR_PEER when one
 * of them ended before, ERR_CANCELLED. */
int round_gate_cross(struct round_gate *g, unsigned lane, uint64_t number,
    const struct cancel *cancel, struct err *e);

/* The lane has ended: no other may wait for it. */
int round_gate_end(struct round_gate *g, unsigned lane, struct err *e);

#endif
