/* SPDX-License-Identifier: MIT */
/*
 * Memory that an mmap of privcmd returned, in a table sorted by address.
 *
 * Lock: process.lock, held by the caller of each.
 */
#ifndef XENSIM_PRELOAD_REGION_H
#define XENSIM_PRELOAD_REGION_H

#include <stddef.h>
#include <stdint.h>

struct region {
    uintptr_t start;
    size_t bytes;
    size_t left; /* bytes not yet unmapped */
    int prot;
    uint32_t nr_slots;
    uint32_t *slots; /* mappings the daemon holds for it */
};

/* 0 or -ENOMEM; more than once does no harm. */
int regions_init(void);
void regions_forget(void);

/* 0, or -ENOMEM when the table is full. */
int region_add(const struct region *r);

/* The region that an address lies in, or NULL. Valid until the table changes. */
struct region *region_find(uintptr_t address);

/* Take it out of the table. Its slots are the caller's. */
struct region region_take(struct region *r);

#endif
