/* SPDX-License-Identifier: MIT */
/*
 * How much of a round is done, for who looks on. Holes in the guest's address space, nearly all of
 * an HVM container's, are no work and count for nothing.
 */
#ifndef ENGINE_ROUND_SPAN_H
#define ENGINE_ROUND_SPAN_H

#include "engine/out/out.h"

#include <stdint.h>

/* pages >= done_pages >= sent_pages. */
struct round_span {
    uint64_t pages, done_pages, sent_pages;
};

/* round_frames: in the round's bitmap; guest_pages: that the guest has. counts may be those of a
 * round that is under way. */
struct round_span round_span_of(
    const struct round_counts *counts, uint64_t round_frames, uint64_t guest_pages);

#endif
