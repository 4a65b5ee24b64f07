/* SPDX-License-Identifier: MIT */
/*
 * Log-dirty: which of a domain's pages were written since the last CLEAN. A bit a pfn in sparse
 * memory.
 *
 * Marking needs no lock and goes on while vCPUs run; everything else wants the domain paused and
 * its lock held.
 */
#ifndef XENSIM_HYPERVISOR_LOGDIRTY_H
#define XENSIM_HYPERVISOR_LOGDIRTY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct logdirty {
    _Atomic bool enabled;
    uint64_t *bitmap; /* MAX_PFNS bits, sparse */
    _Atomic uint64_t dirty_count;
    uint64_t fault_count;
};

/* 0 or -ENOMEM. */
int logdirty_init(struct logdirty *l);
void logdirty_free(struct logdirty *l);

void logdirty_enable(struct logdirty *l);
void logdirty_disable(struct logdirty *l);

/* Copy the first `pages` bits into out, which may be NULL, and with clean clear them. */
void logdirty_read(struct logdirty *l, uint8_t *out, uint64_t pages, bool clean);

void logdirty_mark_enabled(struct logdirty *l, uint64_t pfn);

static inline void logdirty_mark(struct logdirty *l, uint64_t pfn)
{
    if (atomic_load_explicit(&l->enabled, memory_order_relaxed))
        logdirty_mark_enabled(l, pfn);
}

#endif
