/* SPDX-License-Identifier: MIT */
/* What one lane of an out has done in the current round. */
#ifndef ENGINE_OUT_LANE_COUNTS_H
#define ENGINE_OUT_LANE_COUNTS_H

#include "engine/batch.h"
#include "engine/out/out.h"
#include "transport/aux.h"

#include <stdatomic.h>

struct lane_counts {
    /* Written by the lane, read by anybody. */
    atomic_uint_fast64_t done_pages, skipped_pages, absent_pages, data_pages, zero_pages,
        delta_pages;
    atomic_uint_fast64_t aux_entries, aux_bytes;
    /* Read by the story when the lane is not busy. */
    uint64_t deferred_pages, stuck_pages, delta_bytes;
    struct page_fault fault;
};

/* The story's, when the lane is not busy: a round begins. */
void lane_counts_begin(struct lane_counts *c);

/* The lane's. */
void lane_counts_skipped(struct lane_counts *c, unsigned pages);
void lane_counts_sent(struct lane_counts *c, uint64_t data_pages, uint64_t zero_pages);
/* Of these, so many went as differences, and took so much. */
void lane_counts_deltas(struct lane_counts *c, uint64_t pages, uint64_t bytes);
void lane_counts_aux(struct lane_counts *c, const struct aux_batch *b);
/* So many frames were loaded into the batch, and what was left of them was sent. */
void lane_counts_done(struct lane_counts *c, const struct batch *b, unsigned frames);

/* Add them to sum; finished: the lane is not busy. */
void lane_counts_add(const struct lane_counts *c, bool finished, struct round_counts *sum);

#endif
