/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls, answered as Xen 4.17 answers them. Every pointer a client passes lies in its arena
 * (caller.h). What xensim does not know is -ENOSYS (or what Xen says for an unknown
 * sub-operation) and is named in the host's log: nothing succeeds silently.
 *
 * To add one: find its number below, its structure in /usr/include/xen, and write a function
 * that copies the arguments once, checks them, acts under the locks that domain.h names, and
 * copies back what Xen copies back.
 */
#ifndef XENSIM_HYPERVISOR_HYPERCALL_H
#define XENSIM_HYPERVISOR_HYPERCALL_H

#include "xensim/hypervisor/caller.h"

/* Returns what the hypercall returns: negative values are Xen's errno, as Linux's are. */
int64_t hypercall(struct caller *caller, uint64_t op, const uint64_t *arg);

#endif
