/* SPDX-License-Identifier: MIT */
/*
 * What a guest keeps in transcendent memory: a persistent pool and an ephemeral one, an eighth as
 * large. Which version of each page it put last, or that there is none, stands in its memory, so it
 * finds out when a pool is not of its memory's time. vCPU 0 alone uses them.
 */
#ifndef XENSIM_GUEST_POOLS_H
#define XENSIM_GUEST_POOLS_H

#include "xensim/guest/memory.h"
#include "xensim/hypervisor/tmem.h"

#include "base/err.h"

/* Make them and put every page. The versions' pages are there. d->lock is held. */
int guest_make_pools(struct guest *g, struct err *e);

/* Put, get or flush a page, or flush an object. */
void guest_use_pools(struct guest *g);

/* Get everything. */
void guest_check_pools(struct guest *g, void (*problem)(void *arg, const char *what), void *arg);

#endif
