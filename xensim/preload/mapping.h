/* SPDX-License-Identifier: MIT */
/*
 * Guest memory in this process: mapped from the machine file itself, each run of consecutive frames
 * with one mmap. The only shared state that is written are the bytes that say that the process has
 * let go of a mapping. All of it takes process.lock.
 */
#ifndef XENSIM_PRELOAD_MAPPING_H
#define XENSIM_PRELOAD_MAPPING_H

#include <stddef.h>
#include <stdint.h>

/* As mmap(2): address space for mappings to come, aligned so that runs of 2 MiB can be mapped as
 * such. */
void *mapping_reserve(void *hint, size_t bytes, int prot);

/* As munmap(2), of anything that is not in the arena. */
int mapping_release(void *addr, size_t bytes);

/* How a reserved range is to be mapped; -EINVAL if it is not one. */
int mapping_prot(uintptr_t address, size_t bytes, int *prot);

/* Map the frames that the daemon holds for us in this slot, all there when this returns, as behind
 * Xen's privcmd; frames that are 0 stay unmapped. */
int mapping_keep(uintptr_t address, uint32_t slot, const uint64_t *mfns, size_t count, int prot);

#endif
