/* SPDX-License-Identifier: MIT */
#include "engine/round_span.h"

#include "base/min.h"

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* How many holes the first round will find is known before: it covers all that the guest has. Lanes
 * go on while their counts are read, one after the other, so these need not fit each other. */
struct round_span round_span_of(
    const struct round_counts *counts, uint64_t round_frames, uint64_t guest_pages)
{
    const uint64_t pages = min_u64(minus(round_frames, counts->absent_pages), guest_pages);
    const uint64_t done_pages = min_u64(minus(counts->done_pages, counts->absent_pages), pages);
    const uint64_t sent_pages = min_u64(counts->data_pages + counts->zero_pages, done_pages);

    return (struct round_span){pages, done_pages, sent_pages};
}
