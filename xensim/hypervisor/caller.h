/* SPDX-License-Identifier: MIT */
/*
 * The process that makes a hypercall, and how its memory is reached. What a hypercall points to
 * lies in the arena, memory that the process shares with the hypervisor.
 */
#ifndef XENSIM_HYPERVISOR_CALLER_H
#define XENSIM_HYPERVISOR_CALLER_H

#include "xensim/hypervisor/host.h"

struct caller {
    struct host *host;
    int64_t pid;
    uint64_t arena_va; /* where the process mapped the arena */
    uint8_t *arena;
    uint64_t arena_bytes;
};

/* Our view of a pointer of the process, or NULL if [va, va + bytes) is not in the arena. */
void *caller_pointer(const struct caller *c, uint64_t va, uint64_t bytes);

/* Copy to a pointer of the process wherever it lies, as Xen does for a caller that uses no
 * hypercall buffer. 0 or -EFAULT. */
int caller_write(const struct caller *c, uint64_t va, const void *data, size_t bytes);

#endif
