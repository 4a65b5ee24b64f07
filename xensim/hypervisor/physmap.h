/* SPDX-License-Identifier: MIT */
/*
 * A domain's physical map: giving it machine frames at its pfns and taking them away. Frames of a
 * 2 MiB extent come from one machine chunk where the host is not fragmented, so that neighbours in
 * the guest are neighbours in machine memory too.
 *
 * All of it wants d->lock held.
 */
#ifndef XENSIM_HYPERVISOR_PHYSMAP_H
#define XENSIM_HYPERVISOR_PHYSMAP_H

#include "xensim/hypervisor/domain.h"

/* Populate 2^order frames at pfn. On success *mfn is the first frame. -ENOMEM, or -EPERM beyond
 * max_pages. */
int physmap_populate(struct domain *d, uint64_t pfn, unsigned order, uint64_t *mfn);

/* Populate pfn and up to count - 1 frames after it, as far as one run of machine frames goes.
 * Returns how many there were, at least one, with the first frame in *mfn; else as above. */
int64_t physmap_populate_run(struct domain *d, uint64_t pfn, uint64_t count, uint64_t *mfn);

/* XENMEM_claim_pages: memory for so many pages in all is kept for it until it has them; 0: no more.
 * -EINVAL for what makes no sense to Xen, -ENOMEM. */
int physmap_claim(struct domain *d, uint64_t pages);

/* Take the frame behind gfn away from the domain (ballooning). */
int physmap_depopulate(struct domain *d, uint64_t gfn);

#endif
