/* SPDX-License-Identifier: MIT */
/*
 * A PV guest's memory as the source sees it, mapped read-only for the whole migration: Xen's
 * machine-to-physical table (m2p), the guest's own physical-to-machine table (p2m, a live view:
 * the guest goes on changing it), and its shared info page.
 *
 * A guest keeps its p2m in one of two layouts: a list, linear in its virtual memory (p2m_cr3
 * and p2m_vaddr say where), or a tree of three levels of frames (pfn_to_mfn_frame_list_list).
 *
 * Made by the story; lanes only read. Nothing the guest writes is trusted: every frame number is
 * checked before it is used as an index.
 */
#ifndef ENGINE_GUEST_PV_MEMORY_H
#define ENGINE_GUEST_PV_MEMORY_H

#include "engine/xen/domain.h"
#include "engine/xen/m2p.h"

#include <stddef.h>

#define PV_NO_FRAME UINT64_MAX

struct pv_memory {
    uint32_t domid;
    unsigned width_bytes; /* 4 or 8 */
    unsigned levels;      /* of page tables: 3 or 4 */

    struct m2p m2p;
    uint64_t compat_m2p_mfn; /* 32 bit: the first frame of the m2p that such guests see */

    const void *shared_info;

    const void *p2m;
    uint64_t max_pfn;
    size_t p2m_frames;
    uint64_t *p2m_pfns; /* where in the guest its p2m lies: p2m_frames PFNs */

    bool has_generation;
    uint64_t generation; /* the guest increments it when it moves its p2m list */
};

/* After a failure *m is empty. */
int pv_memory_map(struct xen *x, const struct domain *dom, struct pv_memory *m, struct err *e);
void pv_memory_unmap(struct xen *x, struct pv_memory *m);

/* The p2m's word for pfn (at most max_pfn), or PV_NO_FRAME. */
uint64_t pv_pfn_to_mfn(const struct pv_memory *m, uint64_t pfn);

/* False if mfn is not one of the guest's: m2p and p2m must agree. */
bool pv_mfn_to_pfn(const struct pv_memory *m, uint64_t mfn, uint64_t *pfn);

/*
 * Does mfn belong to another domain or to a device? What Xen itself shares with a guest (shared
 * info, grant tables) is in no m2p: guests map it while they run and let it go when they suspend. A
 * frame that the guest is giving away or taking right now may seem foreign for a moment.
 */
bool pv_mfn_is_foreign(const struct pv_memory *m, uint64_t mfn);

/* ERR_GUEST if the guest has moved its p2m since it was mapped. */
int pv_memory_check(const struct pv_memory *m, struct err *e);

#endif
