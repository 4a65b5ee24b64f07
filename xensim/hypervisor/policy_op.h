/* SPDX-License-Identifier: MIT */
/*
 * CPU policies as toolstacks get and set them: a domain's, and the host's default.
 */
#ifndef XENSIM_HYPERVISOR_POLICY_OP_H
#define XENSIM_HYPERVISOR_POLICY_OP_H

#include "xensim/hypervisor/caller.h"
#include "xensim/hypervisor/domain.h"

int64_t domctl_cpu_policy(struct caller *caller, struct domain *d, struct xen_domctl *op);
int64_t sysctl_cpu_policy(struct host *h, struct caller *caller, struct xen_sysctl *op);

#endif
