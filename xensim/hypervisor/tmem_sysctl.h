/* SPDX-License-Identifier: MIT */
/* XEN_SYSCTL_tmem_op, as engine/xen/tmem_op.h has it. */
#ifndef XENSIM_HYPERVISOR_TMEM_SYSCTL_H
#define XENSIM_HYPERVISOR_TMEM_SYSCTL_H

#include "engine/xen/tmem_op.h"
#include "xensim/hypervisor/caller.h"

int64_t do_tmem_op(struct host *h, struct caller *caller, struct tmem_op *op);

#endif
