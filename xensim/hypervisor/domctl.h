/* SPDX-License-Identifier: MIT */
/*
 * __HYPERVISOR_domctl: what a toolstack asks of one domain. One at a time (host->domctl_lock) as in
 * Xen, except getdomaininfo.
 */
#ifndef XENSIM_HYPERVISOR_DOMCTL_H
#define XENSIM_HYPERVISOR_DOMCTL_H

#include "xensim/hypervisor/caller.h"
#include "xensim/hypervisor/domain.h"

int64_t do_domctl(struct host *h, struct caller *caller, uint64_t arg);

/* What getdomaininfo says of it. */
void domctl_describe(const struct domain *d, struct xen_domctl_getdomaininfo *info);

#endif
