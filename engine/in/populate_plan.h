/* SPDX-License-Identifier: MIT */
/*
 * What to ask Xen for, to give memory to some frames of one extent: a pure function of what is
 * populated. One 2 MiB page when the whole extent is wanted and nothing of it is there yet; else
 * the frames that are missing, each once and ascending.
 */
#ifndef ENGINE_IN_POPULATE_PLAN_H
#define ENGINE_IN_POPULATE_PLAN_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct populate_plan {
    bool whole; /* count is EXTENT_FRAMES; single pages will do when Xen has no larger one */
    unsigned count;
    uint64_t pfns[EXTENT_FRAMES];
};

/* populated: the extent's words of the bitmap. pfns[0..count): all of one extent, in any order and
 * perhaps more than once. */
void plan_populate(const uint64_t populated[static EXTENT_WORDS], const uint64_t *pfns,
    unsigned count, struct populate_plan *plan);

/* How many of pfns from the first on are of the first one's extent; count is at least 1. */
unsigned run_of_extent(const uint64_t *pfns, unsigned count);

#endif
