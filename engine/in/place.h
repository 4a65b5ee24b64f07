/* SPDX-License-Identifier: MIT */
/*
 * Putting pages into the guest: populate, map writable, fill, localise page tables, unmap. One
 * placer per lane, with its own handles and buffers; nothing is allocated per batch and nothing
 * stays mapped between batches (a page that somebody maps writable cannot become a page table), but
 * for what is left to the placer's end: the guest stands still, and to unmap takes time.
 */
#ifndef ENGINE_IN_PLACE_H
#define ENGINE_IN_PLACE_H

#include "engine/guest/pte.h"
#include "engine/in/frames.h"

enum { PLACE_MAX_PAGES = 1024, PLACE_MAX_LEFT = 64 };

enum { PLACE_DROPPED_BYTES = FRAMES_MAX_FOREIGN * XC_PAGE_SIZE };

/* A page table on its way to the guest. */
typedef uint64_t place_table[PTES_PER_PAGE];

struct placer {
    struct xen xen;
    struct frames *frames;
    bool verify; /* compare with what is there instead of copying */
    uint64_t mismatches;
    uint64_t pfns[PLACE_MAX_PAGES];
    uint64_t gfns[PLACE_MAX_PAGES];
    int errs[PLACE_MAX_PAGES];
    place_table *tables; /* PV only: PLACE_MAX_PAGES of them, in the streams' form */
    place_table table;   /* one of them localised */
    uint8_t *dropped;    /* pages of ours, for what nobody wants, each its own: they are summed */

    /* Between place_begin() and place_end(). */
    void *into[PLACE_MAX_PAGES];  /* where the content of entry i goes; NULL if it has none */
    void *guest[PLACE_MAX_PAGES]; /* NULL too if that is dropped: frames_is_foreign() */
    void *mapping;
    unsigned mapped;

    /* What was left mapped. */
    struct {
        void *memory;
        unsigned pages;
    } left[PLACE_MAX_LEFT];
    unsigned left_count;
};

/* On the heap (tens of KiB); frames and log outlive it. */
int placer_create(struct placer **p, struct frames *frames, const struct log *log, struct err *e);
void placer_destroy(struct placer *p);

/*
 * Entries are libxc's (transport/v3.h): type in bits 63-60, PFN in bits 51-0, below frame_count
 * and checked before; up to PLACE_MAX_PAGES.
 *
 * begin populates and maps; then the caller puts the content of entry i where p->into[i] says: the
 * guest's page, or memory of ours for a page table and for what is dropped; commit checks and
 * localises tables and puts them into the guest. A frame that a table names is populated if it was
 * not yet; one at or beyond frame_count is ERR_PEER. end unmaps, also after a failure; leave
 * does not until the placer ends, unless the guest's page tables have to be pinned, or there is no
 * room to remember more.
 */
int place_begin(struct placer *p, const uint64_t *entries, unsigned count, struct err *e);
int place_commit(struct placer *p, const uint64_t *entries, unsigned count, struct err *e);
void place_end(struct placer *p);
void place_leave(struct placer *p);

/* With verify: does the guest's memory hold that? pages[i] is the content of entry i if its type
 * has one. */
int place_compare(struct placer *p, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e);

#endif
