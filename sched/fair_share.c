/* SPDX-License-Identifier: MIT */
#include "sched/fair_share.h"

#include "base/min.h"
#include "sched/bucket.h"

/* Who uses so much of its share, in 16ths, would use more. What is claimed is above what is used by
 * more than the rest, so a share that was lent does not come back by itself. */
enum { BUSY_16THS = 15, STEPS = 32 };

static uint64_t at_least(uint64_t bits_per_s)
{
    return bits_per_s > BUCKET_LEAST_BITS_PER_S ? bits_per_s : BUCKET_LEAST_BITS_PER_S;
}

static uint64_t claimed(const struct fair_claim *c)
{
    return at_least(c->bits_per_s);
}

/* What each of one kind may have of which nobody claims less: the level to which the limit fills
 * them all. count: all, of both kinds; there is one of that kind at least. */
static uint64_t find_level(
    uint64_t limit_bits_per_s, const struct fair_claim *of, unsigned count, bool first)
{
    uint64_t level = 0, next = limit_bits_per_s / count;

    while (next > level) {
        uint64_t left = limit_bits_per_s;
        unsigned more = 0;

        level = next;
        for (unsigned i = 0; i < count; i++) {
            if (of[i].first != first)
                continue;
            if (claimed(&of[i]) > level)
                more++;
            else
                left -= min_u64(left, claimed(&of[i]));
        }
        if (more)
            next = left / more;
    }
    return level;
}

static unsigned count_kind(const struct fair_claim *of, unsigned count, bool first)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += of[i].first == first;
    return n;
}

uint64_t fair_share(
    uint64_t limit_bits_per_s, const struct fair_claim *of, unsigned count, unsigned which)
{
    const bool first = of[which].first;
    const uint64_t least = (uint64_t)count_kind(of, count, false) * BUCKET_LEAST_BITS_PER_S;
    uint64_t left = limit_bits_per_s;

    if (count_kind(of, count, true)) {
        const uint64_t for_first = left - min_u64(left, least);
        const uint64_t level = find_level(for_first, of, count, true);

        if (first)
            return at_least(min_u64(level, claimed(&of[which])));
        for (unsigned i = 0; i < count; i++)
            if (of[i].first)
                left -= min_u64(left, at_least(min_u64(level, claimed(&of[i]))));
    }
    return at_least(min_u64(find_level(left, of, count, false), claimed(&of[which])));
}

uint64_t fair_claim_of(
    uint64_t used_bits_per_s, uint64_t share_bits_per_s, uint64_t limit_bits_per_s)
{
    const uint64_t step = limit_bits_per_s / STEPS + 1;

    if (used_bits_per_s >= share_bits_per_s / 16 * BUSY_16THS)
        return FAIR_SHARE_ALL;
    return (used_bits_per_s + used_bits_per_s / 4) / step * step + step;
}
