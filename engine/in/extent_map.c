/* SPDX-License-Identifier: MIT */
#include "engine/in/extent_map.h"

#include "base/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

/* Tables up to this size are not worth a hash; what is kept in a slot is about 200 bytes at most.
 */
enum { DIRECT_SLOTS = 1 << 14 };

/* A power of two, of which no more than three quarters are ever used. */
static uint32_t hash_places(uint64_t extents)
{
    uint64_t places = DIRECT_SLOTS;

    while (places / 4 * 3 < extents)
        places *= 2;
    return (uint32_t)places;
}

static int draw_hash(struct extent_map *m, struct err *e)
{
    if (getrandom(&m->multiplier, sizeof(m->multiplier), 0) != sizeof(m->multiplier))
        return err_sys(e, ERR_LOCAL, errno, "no random number");
    m->multiplier |= 1;
    m->shift = 64 - (unsigned)__builtin_ctz(m->place_count);
    return 0;
}

int extent_map_init(struct extent_map *m, uint64_t frame_count, uint64_t max_pages, struct err *e)
{
    const uint64_t extents = (frame_count + EXTENT_FRAMES - 1) / EXTENT_FRAMES;
    const uint64_t max_extents = extents < max_pages ? extents : max_pages;
    const uint32_t places = hash_places(max_extents);

    *m = (struct extent_map){.max_pages = max_pages};
    pthread_mutex_init(&m->add_lock, NULL);
    if (extents <= places) {
        m->slot_count = (uint32_t)extents;
        return 0;
    }
    m->slot_count = (uint32_t)max_extents;
    m->place_count = places;
    m->keys = calloc(places, sizeof(*m->keys));
    if (!m->keys)
        return err_set(e, ERR_LOCAL, ENOMEM,
            "no memory to keep track of %" PRIu64 " pages among %" PRIu64 " frames", max_pages,
            frame_count);
    return draw_hash(m, e);
}

void extent_map_destroy(struct extent_map *m)
{
    free(m->keys);
    pthread_mutex_destroy(&m->add_lock);
    *m = (struct extent_map){0};
}

static uint32_t first_place(const struct extent_map *m, uint64_t extent)
{
    return (uint32_t)((extent + 1) * m->multiplier >> m->shift);
}

static uint32_t next_place(const struct extent_map *m, uint32_t place)
{
    return (place + 1) & (m->place_count - 1);
}

/* A quarter of the places stays free: the search ends. The slot, or EXTENT_NO_SLOT and where it
 * ended. */
static uint32_t search_from(const struct extent_map *m, uint64_t extent, uint32_t *place)
{
    for (;; *place = next_place(m, *place)) {
        const uint64_t key = atomic_load_explicit(&m->keys[*place], memory_order_relaxed);

        if ((uint32_t)key == extent + 1)
            return (uint32_t)(key >> 32);
        if (!key)
            return EXTENT_NO_SLOT;
    }
}

uint32_t extent_map_search(const struct extent_map *m, uint64_t extent)
{
    uint32_t place = first_place(m, extent);

    return search_from(m, extent, &place);
}

/* Under the lock: the place where the search ended stays free until here. */
static uint32_t take_slot(struct extent_map *m, uint64_t extent)
{
    uint32_t place = first_place(m, extent);
    const uint32_t slot = search_from(m, extent, &place);

    if (slot != EXTENT_NO_SLOT || m->added == m->slot_count)
        return slot;
    atomic_store_explicit(
        &m->keys[place], (uint64_t)m->added << 32 | (extent + 1), memory_order_relaxed);
    return m->added++;
}

uint32_t extent_map_add(struct extent_map *m, uint64_t extent)
{
    uint32_t slot = extent_map_find(m, extent);

    if (slot != EXTENT_NO_SLOT)
        return slot;
    pthread_mutex_lock(&m->add_lock);
    slot = take_slot(m, extent);
    pthread_mutex_unlock(&m->add_lock);
    return slot;
}
