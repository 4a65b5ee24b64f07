/* SPDX-License-Identifier: MIT */
/*
 * What a running PV guest does to its page tables: it rewrites entries of its window tables, pins
 * and unpins trees of tables as processes come and go, and maps its shared info. All of it goes
 * through the page-type rules, as mmu_update and mmuext_op would, and takes domain->lock unless
 * said otherwise.
 */
#ifndef XENSIM_GUEST_PAGETABLES_H
#define XENSIM_GUEST_PAGETABLES_H

#include "xensim/guest/memory.h"

#define SHADOW_FOREIGN   (~0ull) /* in the shadow: the entry maps the shared info frame */
#define SHARED_INFO_SLOT (GUEST_NR_WINDOWS * 512 - 1)

/* Rewrite one window entry. */
void guest_remap(struct guest *g, unsigned cpu);

/* Start or end a process of this vCPU: pin or unpin a tree. */
void guest_fork(struct guest *g, unsigned cpu);

/* A PV guest maps its shared info as long as it runs, and before a suspend lets go of every entry
 * that names a frame that is not its memory. */
void guest_map_shared_info(struct guest *g);
void guest_unmap_foreign(struct guest *g);

/* Write the direct map's entry for an index. d->lock held. */
int guest_set_direct(struct guest *g, uint64_t index, uint64_t pte);

/* Entry of a process's leaf, with an index in place of the frame. */
uint64_t guest_process_pte(const struct guest_kernel *k, unsigned process, unsigned entry);

#endif
