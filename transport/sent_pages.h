/* SPDX-License-Identifier: MIT */
/*
 * What was sent lately, byte for byte, so that a page that was written to a little can follow as a
 * difference (docs/wire.md, DELTA). One for all lanes of a migration, of a fixed size.
 *
 *   pfn ── modulo ──▶ set of 8 places ──▶ page      whoever came first stays, until it was not
 *                                                   sent for a while: a working set larger than
 *                                                   the cache would push itself out otherwise
 *
 * Places are looked for under the lock of the set. The page behind one belongs to the lane that has
 * its frame in this round, from when the lane has found or added it to the end of the round: until
 * then nobody else gets the place. A frame that is sent without being found or added is forgotten.
 * Memory is only taken where pages are kept.
 */
#ifndef TRANSPORT_SENT_PAGES_H
#define TRANSPORT_SENT_PAGES_H

#include "base/bitmap.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sent_pages {
    uint64_t *may_have; /* by frame; its words belong to the lane that has the frame. Frames that
                         * had to make room are still in it */
    uint64_t frames;
    struct sent_set *sets;
    uint64_t set_count;
    uint8_t *pages; /* all sets' */
    size_t pages_bytes;
    atomic_uint_fast64_t kept;      /* pages */
    uint32_t round;                 /* changes while no lane is busy */
    struct sent_pages_locks *locks; /* of sets, in turn */
};

/* bytes: of pages to keep, at least a set's. */
int sent_pages_init(struct sent_pages *s, uint64_t bytes, uint64_t frames, struct err *e);
/* Also of one that is zero. */
void sent_pages_destroy(struct sent_pages *s);

/* While no lane is busy: the next round begins. */
void sent_pages_begin_round(struct sent_pages *s);

/* While no lane is busy: about how many frames of the bitmap are kept. */
uint64_t sent_pages_count(const struct sent_pages *s, const uint64_t *bitmap);

/* A lane's. What was sent of the frame, or NULL. Whoever sends another version puts that there. */
void *sent_pages_find(struct sent_pages *s, uint64_t pfn);
/* The frame, which is not there, is sent now: where to keep it, or NULL. speculative: it was not
 * seen dirty again. It may take a free place while less than a quarter are taken, and from the next
 * round on it makes room for others. */
void *sent_pages_add(struct sent_pages *s, uint64_t pfn, bool speculative);
/* It is sent, but not kept. */
void sent_pages_forget_found(struct sent_pages *s, uint64_t pfn);

/* Is any place free? Perhaps not one for a given frame. */
bool sent_pages_have_room(const struct sent_pages *s);

static inline bool sent_pages_may_have(const struct sent_pages *s, uint64_t pfn)
{
    return bitmap_test(s->may_have, pfn);
}

static inline void sent_pages_forget(struct sent_pages *s, uint64_t pfn)
{
    if (sent_pages_may_have(s, pfn))
        sent_pages_forget_found(s, pfn);
}

#endif
