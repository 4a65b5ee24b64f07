/* SPDX-License-Identifier: MIT */
/*
 * How often our own code asked for memory: the programs are linked so that its calls of malloc and
 * its kin (not those of libraries) come here first (`--wrap`, in the Makefile). It makes "nothing
 * is allocated per batch" a figure.
 */
#ifndef ENGINE_ALLOCATIONS_H
#define ENGINE_ALLOCATIONS_H

#include <stdint.h>

/* By the calling thread, since it began. */
uint64_t allocations_count(void);

#endif
