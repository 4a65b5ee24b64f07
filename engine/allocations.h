/* SPDX-License-Identifier: MIT */
/*
 * How often our own code asks for memory: the programs are linked so that its calls of malloc and
 * its kin (not those of libraries) come here first (`--wrap`, in the Makefile). So "nothing is
 * allocated per batch" can be measured.
 */
#ifndef ENGINE_ALLOCATIONS_H
#define ENGINE_ALLOCATIONS_H

#include <stdint.h>

/* By the calling thread, since it started. */
uint64_t allocations_count(void);

#endif
