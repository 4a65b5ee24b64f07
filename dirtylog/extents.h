/* SPDX-License-Identifier: MIT */
/*
 * Walks over a round's bitmap. Extents are aligned runs of EXTENT_FRAMES frames, eight words of a
 * bitmap. A round hands each to the lane that asks first, so that lanes end together however fast
 * each of them is. For that round the lane may also write its extents' words of a shared bitmap
 * (struct frame_notes); the round's own it only reads.
 */
#ifndef DIRTYLOG_EXTENTS_H
#define DIRTYLOG_EXTENTS_H

#include "base/limits.h"

#include <stdatomic.h>
#include <stdint.h>

/* What is left of a round's bitmap, shared by its lanes. */
struct frame_share {
    const uint64_t *bitmap;
    uint64_t frames;
    atomic_uint_fast64_t next_extent; /* extents below this one are taken, or empty */
};

/* Of the extents from that of frame first up to frame end: the others are not looked at. Nobody
 * else uses it meanwhile. */
void frame_share_begin(struct frame_share *s, const uint64_t *bitmap, uint64_t first, uint64_t end);

/* One lane's walk over the set frames of the extents that it gets, ascending. */
struct frame_walk {
    struct frame_share *share;
    uint64_t index, end_index; /* the word that word came from, and the extent's end */
    uint64_t word;             /* its bits that were not handed out yet */
};

struct frame_walk frame_walk_begin(struct frame_share *s);

/*
 * The next set frames, at most max of them (0: the walk is over). With max == EXTENT_FRAMES a
 * bitmap that is full gives one whole extent at a time.
 */
unsigned frame_walk_next(struct frame_walk *w, uint64_t *pfns, unsigned max);

#endif
