/*
 * Putting pages into the guest: populate, map writable, localise page tables, copy, unmap. One
 * applier per lane, with its own handles and buffers; nothing is allocated per batch and nothing
 * stays mapped between calls (a page that somebody maps writable cannot become a page table).
 */
#ifndef ENGINE_XEN_APPLY_H
#define ENGINE_XEN_APPLY_H

#include "engine/pte.h"
#include "engine/xen/frames.h"

enum { APPLY_MAX_PAGES = 1024 };

struct applier {
    struct xen xen;
    struct frames *frames;
    unsigned levels; /* of a PV guest's page tables; 0: not PV, nothing is localised */
    bool verify;     /* compare with what is there instead of copying */
    uint64_t mismatches;
    uint64_t pfns[APPLY_MAX_PAGES];
    uint64_t gfns[APPLY_MAX_PAGES];
    int errs[APPLY_MAX_PAGES];
    uint64_t table[PTES_PER_PAGE];
};

/* On the heap (tens of KiB); frames and log outlive it. */
int applier_create(struct applier **a, struct frames *frames, unsigned levels,
    const struct log *log, struct err *e);
void applier_destroy(struct applier *a);

/*
 * Entries are libxc's (transport/v3.h): type in bits 63-60, PFN in bits 51-0, below frame_count
 * and checked before. pages[i] is the content of entry i where its type has one. Up to
 * APPLY_MAX_PAGES. A frame that a page table names is populated if it was not yet; one at or
 * beyond frame_count is ERR_PEER.
 */
int apply_pages(struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e);

#endif
