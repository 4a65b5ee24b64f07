/* SPDX-License-Identifier: MIT */
/*
 * A guest's view of its own memory: index -> pfn -> machine frame, as its processor would find
 * it (p2m of the hypervisor for PVH, its own P2M list for PV).
 */
#ifndef XENSIM_GUEST_MEMORY_H
#define XENSIM_GUEST_MEMORY_H

#include "xensim/guest/kernel.h"

/* A guest's memory as the guest itself or a verifier sees it. */
struct guest {
    struct domain *domain;
    struct guest_kernel *kernel; /* in guest memory */
    uint32_t *mfns;              /* index -> MFN, 0 while ballooned out: the guest's TLB */
};

/* The page that register CX names, as the vCPU finds it; NULL if it is no guest's kernel. */
struct guest_kernel *guest_find_kernel(struct domain *d);

/* Bytes in a frame number. */
static inline unsigned guest_width(const struct domain *d)
{
    return d->pv32 ? 4 : 8;
}

/* Machine frame of an index as the processor finds it; 0 if there is none or it is not ours. */
uint64_t guest_lookup(struct domain *d, const struct guest_kernel *k, uint64_t index);

/* Fill g->mfns, walking the whole memory map as the processor would. missing() is called for each
 * page that is not there and not ballooned out either; it returns whether to go on. False if it
 * did not. */
bool guest_find_pages(struct guest *g, bool (*missing)(void *arg, uint64_t index), void *arg);

static inline void *guest_page(const struct guest *g, uint64_t index)
{
    return frame_ptr(g->domain->machine, g->mfns[index]);
}

/* The version of an index, in guest memory. */
static inline uint32_t *guest_version(const struct guest *g, uint64_t index)
{
    uint32_t *page = guest_page(g, g->kernel->table.first + index / 1024);

    return &page[index % 1024];
}

/* The guest wrote to it. */
static inline void guest_touch(const struct guest *g, uint64_t index)
{
    domain_mark_dirty(g->domain, guest_pfn(g->kernel, index));
}

/* PV virtual addresses, the same for every guest of a width. */
uint64_t guest_direct_va(const struct domain *d);
uint64_t guest_direct_pages(const struct domain *d, uint64_t nr_pages);
uint64_t guest_p2m_va(const struct domain *d);
uint64_t guest_window_va(const struct domain *d);
uint64_t guest_user_va(void);

/* Walk page tables from root. Returns the entry at level 1, or 0; *table gets the MFN of the L1. */
uint64_t guest_walk(struct domain *d, uint64_t root_mfn, uint64_t va, uint64_t *table);
unsigned guest_pt_index(uint64_t va, unsigned level);

/* The entry that the direct map must have for an index. */
uint64_t guest_direct_pte(const struct guest_kernel *k, uint64_t index, uint64_t mfn);

/* Log what the guest found wrong, count it, and keep the first in the kernel page. */
void guest_fault(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* PV: write what depends on machine frames into shared info and the P2M tree; after building and
 * after each resume. */
void guest_publish_p2m(struct guest *g);

#endif
