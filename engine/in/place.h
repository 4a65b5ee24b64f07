/*
 * Putting pages into the guest: populate, map writable, fill, localise page tables, unmap. One
 * applier per lane, with its own handles and buffers; nothing is allocated per batch and nothing
 * stays mapped between batches (a page that somebody maps writable cannot become a page table).
 */
#ifndef ENGINE_IN_PLACE_H
#define ENGINE_IN_PLACE_H

#include "engine/guest/pte.h"
#include "engine/in/frames.h"

enum { APPLY_MAX_PAGES = 1024 };

/* A page table on its way to the guest. */
typedef uint64_t apply_table[PTES_PER_PAGE];

struct applier {
    struct xen xen;
    struct frames *frames;
    unsigned levels; /* of a PV guest's page tables; 0: not PV, nothing is localised */
    bool verify;     /* compare with what is there instead of copying */
    uint64_t mismatches;
    uint64_t pfns[APPLY_MAX_PAGES];
    uint64_t gfns[APPLY_MAX_PAGES];
    int errs[APPLY_MAX_PAGES];
    apply_table *tables; /* PV only: APPLY_MAX_PAGES of them, in the streams' form */
    apply_table table;   /* one of them localised */

    /* Between apply_begin() and apply_end(). */
    void *into[APPLY_MAX_PAGES]; /* where the content of entry i goes; NULL where it has none */
    void *guest[APPLY_MAX_PAGES];
    void *mapping;
    unsigned mapped;
};

/* On the heap (tens of KiB); frames and log outlive it. */
int applier_create(struct applier **a, struct frames *frames, unsigned levels,
    const struct log *log, struct err *e);
void applier_destroy(struct applier *a);

/*
 * Entries are libxc's (transport/v3.h): type in bits 63-60, PFN in bits 51-0, below frame_count
 * and checked before; up to APPLY_MAX_PAGES.
 *
 * begin populates and maps; then the caller puts the content of entry i where a->into[i] says: the
 * guest's page, or for a page table memory of ours; commit checks and localises tables and puts
 * them into the guest. A frame that a table names is populated if it was not yet; one at or beyond
 * frame_count is ERR_PEER. end unmaps, also after a failure.
 */
int apply_begin(struct applier *a, const uint64_t *entries, unsigned count, struct err *e);
int apply_commit(struct applier *a, const uint64_t *entries, unsigned count, struct err *e);
void apply_end(struct applier *a);

/* All of that for contents that are here already, or with verify compare them: pages[i] is the
 * content of entry i where its type has one. Tables are checked before anything is done. */
int apply_pages(struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e);

#endif
