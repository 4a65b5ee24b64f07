/* SPDX-License-Identifier: MIT */
/*
 * A domain's transcendent memory: pages in pools that the guest puts, gets and flushes by key, and
 * that are mapped nowhere. A real Xen had this until 2018; how a toolstack reads it is
 * engine/xen/tmem_op.h.
 *
 * Pages are frames of the host's heap. A key that was once there keeps its slot for as long as the
 * domain lives, so that a flush can be told of; TMEM_OBJECT_PAGES and the size of the pools bound
 * how many a guest makes.
 *
 * t->lock guards all of it; machine->heap_lock may be taken within it.
 */
#ifndef XENSIM_HYPERVISOR_TMEM_H
#define XENSIM_HYPERVISOR_TMEM_H

#include "engine/xen/tmem_op.h"
#include "xensim/hypervisor/machine.h"

enum { TMEM_OBJECT_PAGES = 64 }; /* indices are below it */

#define TMEM_MAX_PAGES (8ull << 30 >> 12)

struct tmem_key {
    uint32_t pool, index;
    uint64_t object[3];
};

struct tmem;

/* With pools, for so many pages in persistent ones and as many in others. 0, -EINVAL or -ENOMEM. */
int tmem_create(struct machine *m, const struct tmem_pool *pools, unsigned count,
    uint64_t max_pages, struct tmem **t);
/* NULL is allowed here and below: no pools. */
void tmem_free(struct tmem *t);

/* The guest's hypercalls. A put that finds no room leaves what was there. */
bool tmem_put(struct tmem *t, const struct tmem_key *key, const void *page);
bool tmem_get(struct tmem *t, const struct tmem_key *key, void *page);
void tmem_flush(struct tmem *t, const struct tmem_key *key);
void tmem_flush_object(struct tmem *t, const struct tmem_key *key);

/* Does a toolstack have changes noted? */
bool tmem_is_noted(struct tmem *t);
/* A toolstack's, of a domain that has pools; list and pages have room for op->count. */
int64_t tmem_operate(struct tmem *t, struct tmem_op *op, void *list, void *pages);

#endif
