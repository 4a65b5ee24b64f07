/* SPDX-License-Identifier: MIT */
/*
 * The arena: memory shared with the daemon, which /dev/xen/hypercall hands out.
 *
 * Lock: process.lock, held by the callers of all but arena_contains().
 */
#ifndef XENSIM_PRELOAD_ARENA_H
#define XENSIM_PRELOAD_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* Reserve its address space, which the daemon is told before it makes the memory. NULL if there is
 * none. */
void *arena_reserve(void);

/* Put the daemon's memory there, all of it free. 0 or -ENOMEM. */
int arena_attach(int fd);
void arena_unmap(void);

/* MAP_FAILED if it is full. */
void *arena_alloc(size_t bytes);
void arena_free(void *p, size_t bytes);

bool arena_contains(const void *p);

#endif
