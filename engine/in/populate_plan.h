/* SPDX-License-Identifier: MIT */
/*
 * What to ask Xen for when some frames of an extent need memory: a pure function of what is
 * populated. One 2 MiB page if the whole extent is wanted and none of it is there yet; else the
 * missing frames, each once and ascending.
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

/* How many pfns, from the first one on, are in its extent; count is at least 1. */
unsigned run_of_extent(const uint64_t *pfns, unsigned count);

#endif
