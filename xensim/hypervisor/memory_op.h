/* SPDX-License-Identifier: MIT */
/*
 * __HYPERVISOR_memory_op: populating, and numbers about memory.
 */
#ifndef XENSIM_HYPERVISOR_MEMORY_OP_H
#define XENSIM_HYPERVISOR_MEMORY_OP_H

#include "xensim/hypervisor/caller.h"

int64_t do_memory_op(struct host *h, struct caller *caller, uint64_t cmd, uint64_t arg);

#endif
