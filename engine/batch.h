/* SPDX-License-Identifier: MIT */
/*
 * A batch: up to BATCH_PAGES of the guest's frames, mapped and made ready to be sent. Each call for
 * types or mappings costs some 20 us, so a batch is as many frames as Xen tells the types of at
 * once; half as many of a PV guest, whose page tables take memory here. One per lane, which owns
 * all of its memory; nothing is allocated per load.
 *
 *   pfns -> frames (the guest's p2m) -> types (Xen) -> mapped read-only -> page tables translated
 *   into the batch's own memory -> entries and pages, for page_encode() or v3_write_pages()
 *
 * Where the source of dirty pages compares contents, pages are copied first, and those that the
 * receiver has already are left out.
 *
 * While the guest runs, a page may be torn, moved or gone by the time it is read. It is then
 * deferred: nothing is sent for it this time, and its bit joins the next round. With the guest
 * suspended the same is an error.
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "dirtylog/extents.h"
#include "dirtylog/pending.h"
#include "engine/guest/guest.h"
#include "engine/page_fault.h"
#include "engine/xen/foreign.h"
#include "transport/v3.h"

#include <stdbool.h>

enum { BATCH_PAGES = 2 * EXTENT_FRAMES, BATCH_MAX_LEFT = 16 };

struct batch_mapping {
    void *memory;
    unsigned pages;
};

/* CPU time, over all loads. */
struct batch_costs {
    int64_t types_cpu_ns; /* which frames there are, and of what types */
    int64_t map_cpu_ns;   /* and unmap */
    int64_t canonicalise_cpu_ns;
};

struct batch {
    struct xen *xen; /* the lane's */
    const struct guest *guest;
    struct frame_notes *notes;
    struct hbuf scratch;               /* for page types */
    unsigned most_pages;               /* per load, BATCH_PAGES or less */
    uint64_t (*tables)[PTES_PER_PAGE]; /* translated page tables and copies, most_pages of them */

    /* The result of the last load. */
    unsigned count;
    uint64_t entries[BATCH_PAGES];  /* type and PFN as in the streams, ascending */
    const void *pages[BATCH_PAGES]; /* NULL where the type has no data */
    unsigned data_pages;
    unsigned unchanged_pages; /* left out: the receiver has them */
    unsigned deferred_pages;
    unsigned stuck_pages;    /* of these, the ones that a suspend would not put right */
    struct page_fault fault; /* the first stuck one */

    struct batch_costs costs;

    /* Between load and unload. */
    void *mapping;
    unsigned mapped;
    struct batch_mapping left[BATCH_MAX_LEFT]; /* of batches that were left */
    unsigned left_count;
};

/* On the heap. xen, guest and notes outlive it. */
int batch_create(struct xen *xen, const struct guest *guest, struct frame_notes *notes,
    struct batch **b, struct err *e);
/* NULL is allowed. */
void batch_destroy(struct batch *b);

/* pfns ascend, most_pages of them at most. May leave nothing to be sent (count 0). Unload also
 * after a failure. */
int batch_load(
    struct batch *b, const uint64_t *pfns, unsigned count, bool suspended, struct err *e);
void batch_unload(struct batch *b);

/* Between unload and load: what is there of these frames now, which is not sent. Called for each
 * that can be mapped. */
int batch_look(struct batch *b, const uint64_t *pfns, unsigned count,
    void (*seen)(void *arg, uint64_t pfn, const void *page), void *arg, struct err *e);

/* As batch_unload(), while the guest stands still: to unmap its frames takes about as long as to
 * map them, so as far as there is room they stay mapped until the batch is destroyed. */
void batch_leave(struct batch *b);

#endif
