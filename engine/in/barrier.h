/* SPDX-License-Identifier: MIT */
/*
 * What keeps an older copy of a page from overtaking a newer one. A round's extents come on
 * whatever lane was free:
 *
 *   lane 0   e3 e4 e7 | barrier .......waits | e3 ...
 *   lane 1   e1 e2 e5 e6 e8 ...... | barrier | e1 ...
 *
 * so no lane goes on into the next round before all have come to the barrier between the two, and
 * within a round an extent is one lane's: the lane that brings it first claims it, and another that
 * brings it too is an error. Shared by all lanes. (On the wire a barrier is a BORDER.)
 */
#ifndef ENGINE_IN_BARRIER_H
#define ENGINE_IN_BARRIER_H

#include "base/cancel.h"
#include "engine/in/extent_map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct barrier {
    unsigned lane_count;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    uint64_t crossed;       /* lock: barriers that are behind all lanes */
    unsigned waiting;       /* lock: lanes that stand at the next one */
    unsigned ended;         /* lock: lanes that will come to no other */
    struct extent_map *map; /* the frames' */
    /* By the extent's slot, who has claimed it last: lane and round. */
    _Atomic uint64_t *claims;
};

/* map outlives it. */
int barrier_init(struct barrier *b, unsigned lane_count, struct extent_map *map, struct err *e);
void barrier_destroy(struct barrier *b);

/* The extents of entries (libxc's, checked before) are the lane's, which has crossed that many
 * barriers; else ERR_PEER, -EPROTO. An extent in which nothing has memory, and nothing is to get
 * any, is nobody's: its frames have no content that could be older or newer. */
int barrier_claim(struct barrier *b, unsigned lane, uint64_t crossed, const uint64_t *entries,
    unsigned count, struct err *e);

/* The lane has come to the barrier of that number, from 1: returns when all have. ERR_PEER when one
 * of them ended before, ERR_CANCELLED. */
int barrier_cross(
    struct barrier *b, unsigned lane, uint64_t number, const struct cancel *cancel, struct err *e);

/* The lane has ended: no other may wait for it. */
int barrier_end(struct barrier *b, unsigned lane, struct err *e);

#endif
