/* SPDX-License-Identifier: MIT */
/*
 * Where what is kept of an extent lies: a slot for each extent that has memory. Frame numbers are
 * the source's to choose, and a guest of 64 MiB may rightly have its last one at 2^32; so there
 * are no more slots than a few for each page that the domain may have. As long as all extents have
 * a slot the slot is the extent. Else slots are given out in turn, so that those in use lie close
 * together, and a hash table, which only grows, says which is whose: any thread finds without a
 * lock, and adds under one. Its hash is drawn anew each time, so that nobody can choose extents
 * that collide.
 */
#ifndef ENGINE_IN_EXTENT_MAP_H
#define ENGINE_IN_EXTENT_MAP_H

#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EXTENT_NO_SLOT UINT32_MAX

struct extent_map {
    uint64_t max_pages;
    uint32_t slot_count;
    pthread_mutex_t add_lock; /* guards added */
    uint32_t added;
    uint32_t place_count;   /* of the hash table, a power of two */
    uint64_t multiplier;    /* of the hash; odd */
    unsigned shift;         /* of the product, to a place */
    _Atomic uint64_t *keys; /* slot << 32 | extent + 1; 0: free. NULL: the slot is the extent */
};

/* Extents of frames below frame_count, of which no more than max_pages have memory. */
int extent_map_init(struct extent_map *m, uint64_t frame_count, uint64_t max_pages, struct err *e);
void extent_map_destroy(struct extent_map *m);

/* The hash table's part of extent_map_find(). */
uint32_t extent_map_search(const struct extent_map *m, uint64_t extent);

/* The extent's slot, or EXTENT_NO_SLOT when it was never added (so that nothing in it has memory).
 * Its frames are below frame_count. */
static inline uint32_t extent_map_find(const struct extent_map *m, uint64_t extent)
{
    return m->keys ? extent_map_search(m, extent) : (uint32_t)extent;
}

/* The same, added if it was not there. EXTENT_NO_SLOT: there are no more. */
uint32_t extent_map_add(struct extent_map *m, uint64_t extent);

/* For a look at all extents that were added: place after place, of which some hold none. */
static inline uint32_t extent_map_places(const struct extent_map *m)
{
    return m->keys ? m->place_count : m->slot_count;
}

static inline bool extent_map_at(
    const struct extent_map *m, uint32_t place, uint64_t *extent, uint32_t *slot)
{
    const uint64_t key = m->keys ? atomic_load_explicit(&m->keys[place], memory_order_relaxed)
                                 : (uint64_t)place << 32 | (place + 1ull);

    *extent = (uint32_t)key - 1ull;
    *slot = (uint32_t)(key >> 32);
    return key != 0;
}

#endif
