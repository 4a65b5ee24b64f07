/* SPDX-License-Identifier: MIT */
#include "engine/in/populate_plan.h"

#include "base/bitmap.h"

void plan_populate(const uint64_t populated[static EXTENT_WORDS], const uint64_t *pfns,
    unsigned count, struct populate_plan *plan)
{
    uint64_t wanted[EXTENT_WORDS] = {0};
    const uint64_t first = pfns[0] - pfns[0] % EXTENT_FRAMES;

    for (unsigned i = 0; i < count; i++)
        bitmap_set(wanted, pfns[i] % EXTENT_FRAMES);
    plan->count = 0;
    for (unsigned w = 0; w < EXTENT_WORDS; w++)
        for (uint64_t left = wanted[w] & ~populated[w]; left; left &= left - 1)
            plan->pfns[plan->count++] = first + w * 64 + (unsigned)__builtin_ctzll(left);
    plan->whole = plan->count == EXTENT_FRAMES;
}

unsigned run_of_extent(const uint64_t *pfns, unsigned count)
{
    unsigned n = 1;

    while (n < count && pfns[n] / EXTENT_FRAMES == pfns[0] / EXTENT_FRAMES)
        n++;
    return n;
}
