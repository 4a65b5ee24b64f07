/* SPDX-License-Identifier: MIT */
/* Building a guest: its tables, its memory and the state of its vCPUs. */
#ifndef XENSIM_GUEST_BUILD_H
#define XENSIM_GUEST_BUILD_H

#include "xensim/guest/kernel.h"

#include "base/err.h"

enum {
    PVH_SPECIAL_PFN = 0xfeff8, /* PVH_NR_SPECIAL pages: rings and the like */
    PVH_NR_SPECIAL = 8,
    GUEST_USER_PAGES = 16, /* PV64: what the second root maps */
};

struct guest_params {
    enum guest_type type;
    uint64_t memory_bytes;
    uint64_t address_bytes; /* PVH: where the last memory ends; 0: where it falls */
    unsigned vcpus;
    int64_t pages_per_s;
    enum guest_pattern pattern;
    struct content_mix mix;
    enum p2m_layout layout;
    unsigned remaps_per_s;   /* page-table entries rewritten */
    unsigned forks_per_s;    /* page-table trees pinned or unpinned */
    unsigned balloons_per_s; /* pages given back or taken again */
    uint64_t tmem_bytes;     /* of its persistent pool; 0: it has none */
    unsigned tmem_per_s;     /* what it does with it */
    unsigned dma_per_s;      /* HVM: pages that the device model writes */
    enum suspend_mode suspend_mode;
    int64_t suspend_delay_ns;
    char feature_suspend; /* as in the kernel */
    enum suspend_cancel suspend_cancel;
    uint16_t mark_mask, mark_value; /* PV */
    unsigned disks;
    bool versioned_disk;
    int64_t disk_delay_ns; /* or GUEST_DISK_NEVER */
    uint64_t seed;
    char name[NAME_BYTES];
    char *trace; /* PATTERN_FILE: numbers, one a line */
};

/* Build a guest in a domain that exists and has vCPUs, but no memory. */
int guest_build(struct domain *d, const struct guest_params *p, struct err *e);

#endif
