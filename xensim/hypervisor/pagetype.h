/* SPDX-License-Identifier: MIT */
/*
 * Page types of PV guests: the reference counts by which Xen makes sure that nobody can write a
 * page table. A frame has one type at a time; it changes only while nobody holds a typed
 * reference. Taking the first reference as a page table validates every entry, and each entry in
 * turn holds a reference on what it points to.
 *
 * All functions want the owning domain's lock held. They return 0 or a negative Xen errno.
 */
#ifndef XENSIM_HYPERVISOR_PAGETYPE_H
#define XENSIM_HYPERVISOR_PAGETYPE_H

#include "xensim/hypervisor/domain.h"

#define PTE_PRESENT    0x001ull
#define PTE_RW         0x002ull
#define PTE_USER       0x004ull
#define PTE_ACCESSED   0x020ull
#define PTE_DIRTY      0x040ull
#define PTE_PSE        0x080ull
#define PTE_FRAME_MASK 0x000ffffffffff000ull

static inline uint64_t pte_frame(uint64_t pte)
{
    return (pte & PTE_FRAME_MASK) >> 12;
}

/* Is entry i of a table of this type one of Xen's own? */
bool pte_is_xens(const struct domain *d, const struct frame *f, unsigned level, unsigned i);

int page_get_type(struct domain *d, uint64_t mfn, enum page_type type);
void page_put_type(struct domain *d, uint64_t mfn);

int page_pin(struct domain *d, uint64_t mfn, enum page_type type);
int page_unpin(struct domain *d, uint64_t mfn);

/* The guest (or a toolstack for it) writes one entry of a validated table. */
int page_write_pte(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t value);

/* What getpageframeinfo3 says about it. */
uint32_t page_info_type(struct domain *d, uint64_t gfn);

#endif
