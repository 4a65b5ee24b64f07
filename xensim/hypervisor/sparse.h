/* SPDX-License-Identifier: MIT */
/* Large tables of which little is ever touched: zeros that cost address space alone. */
#ifndef XENSIM_HYPERVISOR_SPARSE_H
#define XENSIM_HYPERVISOR_SPARSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* NULL if there is no room; give it back with munmap(). */
static inline void *sparse_map(uint64_t bytes)
{
    void *p = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

#endif
