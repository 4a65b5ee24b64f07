/* SPDX-License-Identifier: MIT */
/*
 * How a toolstack reads and writes a guest's transcendent memory: one sysctl, where Xen had its own
 * until 2018 (XEN_SYSCTL_tmem_op; since then ENOSYS). A pool is a map from a key (object and index)
 * to a page; a persistent one keeps what was put until it is flushed, an ephemeral one may lose it.
 *
 * Only persistent pools are read. Reading is like log-dirty: BEGIN notes every page there is as
 * changed, and from then on what is put or flushed; LOOK closes what was noted until now, and NEXT
 * hands that out, each key once: the page, or that it is gone (only of a key handed out before).
 * What changes after LOOK is noted for the next one.
 */
#ifndef ENGINE_XEN_TMEM_OP_H
#define ENGINE_XEN_TMEM_OP_H

#include <stdint.h>

#define TMEM_SYSCTL 24

enum {
    TMEM_MAX_POOLS = 16,
    TMEM_MAX_BATCH = 256,
    TMEM_PERSISTENT = 1, /* flag of a pool: TMEM_POOL_PERSIST */
    TMEM_GONE = 1,       /* flag of an entry */
    TMEM_PAGE_BYTES = 4096,
};

enum tmem_cmd {
    TMEM_INFO = 1, /* into max_pages, pages, changed and count (of pools) */
    TMEM_POOLS,    /* up to count of them to list; how many there are into count */
    TMEM_SAVE_BEGIN,
    TMEM_SAVE_LOOK,
    TMEM_SAVE_NEXT, /* up to count to list and pages; how many into count */
    TMEM_SAVE_END,
    TMEM_RESTORE_BEGIN, /* the domain has none yet: its pools (list, count), max_pages */
    TMEM_RESTORE_PUT,   /* count of list and pages */
    TMEM_RESTORE_FLUSH, /* count of list */
    TMEM_RESTORE_END,   /* max_pages, from now on */
};

struct tmem_pool {
    uint32_t id, flags;
    uint64_t uuid[2];
};

struct tmem_entry {
    uint32_t pool, index;
    uint64_t object[3];
    uint32_t flags, reserved;
};

/* In a sysctl's union. Addresses are of memory for hypercalls. */
struct tmem_op {
    uint32_t cmd, domid;
    uint32_t count, reserved;
    uint64_t max_pages; /* that persistent pools may have, all together */
    uint64_t stored_pages;
    uint64_t changed; /* keys noted since the last LOOK */
    uint64_t list;
    uint64_t pages;
};

#endif
