/* SPDX-License-Identifier: MIT */
/*
 * Domctls about the state of vCPUs: contexts, extended state, MSRs, the HVM context.
 */
#ifndef XENSIM_HYPERVISOR_VCPU_OP_H
#define XENSIM_HYPERVISOR_VCPU_OP_H

#include "xensim/hypervisor/caller.h"
#include "xensim/hypervisor/domain.h"

int64_t domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op);
int64_t domctl_getvcpucontext(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t domctl_setvcpucontext(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t domctl_ext_vcpucontext(struct domain *d, struct xen_domctl *op);
int64_t domctl_vcpuextstate(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t domctl_vcpu_msrs(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t domctl_gethvmcontext(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t domctl_sethvmcontext(struct caller *caller, struct domain *d, struct xen_domctl *op);

#endif
