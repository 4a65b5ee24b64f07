/* SPDX-License-Identifier: MIT */
/*
 * XEN_DOMCTL_shadow_op: log-dirty, and the size of the paging pool.
 */
#ifndef XENSIM_HYPERVISOR_SHADOW_OP_H
#define XENSIM_HYPERVISOR_SHADOW_OP_H

#include "xensim/hypervisor/caller.h"
#include "xensim/hypervisor/domain.h"

int64_t domctl_shadow_op(struct caller *caller, struct domain *d, struct xen_domctl *op);

#endif
