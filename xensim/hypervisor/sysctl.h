/* SPDX-License-Identifier: MIT */
/*
 * __HYPERVISOR_sysctl: what a toolstack asks of the host as a whole.
 */
#ifndef XENSIM_HYPERVISOR_SYSCTL_H
#define XENSIM_HYPERVISOR_SYSCTL_H

#include "xensim/hypervisor/caller.h"

int64_t do_sysctl(struct host *h, struct caller *caller, uint64_t arg);

#endif
