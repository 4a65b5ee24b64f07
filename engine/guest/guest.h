/* SPDX-License-Identifier: MIT */
/*
 * What differs by guest type at the source: how its memory is reached and what state it has besides
 * memory. Two types: PV (pv_save.c) and HVM containers, PVH among them (hvm_save.c). Both implement
 * every member; their counterparts at the destination are loader.h's.
 */
#ifndef ENGINE_GUEST_GUEST_H
#define ENGINE_GUEST_GUEST_H

#include "engine/guest/pte.h"
#include "engine/xen/domain.h"

struct out;
struct guest;
struct xs_handle;

/* guest_ops.frame_of: there is no frame. */
#define GUEST_NO_FRAME UINT64_MAX

struct guest_ops {
    /* The static records, before STATIC_DATA_END. Once, on the story's thread. */
    int (*send_static)(struct guest *g, struct out *out, struct err *e);

    /* Records that must come between STATIC_DATA_END and the first page. Once, as above. */
    int (*send_memory_head)(struct guest *g, struct out *out, struct err *e);

    /* After those: what the destination is prepared with while the guest runs. Once; send_state()
     * then does not send it. -ENOENT without an error, and nothing is sent: the destination cannot
     * be prepared for this guest. */
    int (*send_ahead)(struct guest *g, struct xs_handle *xs, struct out *out, struct err *e);

    /* Does the guest still keep its memory as it was mapped at the start? After every round, and
     * with the guest suspended before its state is read. */
    int (*check)(struct guest *g, struct err *e);

    /* The frame to map for pfn (below frames), or GUEST_NO_FRAME. From any lane at any time: the
     * guest may be changing what it reads, so the result may be out of date at once. */
    uint64_t (*frame_of)(const struct guest *g, uint64_t pfn);
    bool frames_are_pfns; /* always: frame_of() need not be asked */

    /* As canonicalise_page() with this guest's rules. From any lane at any time, only for pages
     * whose type is a page table's. */
    int (*canonicalise)(const struct guest *g, unsigned level,
        const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
        struct pte_fault *fault);

    /* Of a page table that could not be translated: does it name another domain's or a device's
     * frame, which the guest keeps when it suspends? (Those that it shares with Xen it lets go.) If
     * so *fault is the first such entry. From any lane at any time. */
    bool (*find_foreign)(const struct guest *g, unsigned level,
        const uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault);

    /* Everything but memory, with the guest suspended and all pages sent. */
    int (*send_state)(struct guest *g, struct out *out, struct err *e);

    /* After that: ERR_GUEST if what was sent ahead is not so any more. What send_state() reads
     * anyway it has looked at itself. */
    int (*check_ahead)(struct guest *g, struct err *e);

    /* Unmaps and frees. Exactly once if the guest was opened. */
    void (*close)(struct guest *g);
};

struct guest {
    const struct guest_ops *ops;
    struct xen *xen; /* the story's handles: used by its thread only */
    struct domain dom;
    uint32_t v3_type;       /* V3_GUEST_... */
    uint64_t frames;        /* every PFN is below */
    uint64_t present_pages; /* thought to have memory, for progress */
    const char *p2m_layout; /* of a PV guest: "list" or "tree"; else NULL */
};

#endif
