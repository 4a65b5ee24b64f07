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
static uint32_t hash_slots(uint64_t extents)
{
    uint64_t slots = DIRECT_SLOTS;

    while (slots / 4 * 3 < extents)
        slots *= 2;
    return (uint32_t)slots;
}

static int draw_hash(struct extent_map *m, struct err *e)
{
    if (getrandom(&m->multiplier, sizeof(m->multiplier), 0) != sizeof(m->multiplier))
        return err_sys(e, ERR_LOCAL, errno, "no random number");
    m->multiplier |= 1;
    m->shift = 64 - (unsigned)__builtin_ctz(m->slot_count);
    return 0;
}

int extent_map_init(struct extent_map *m, uint64_t frame_count, uint64_t max_pages, struct err *e)
{
    const uint64_t extents = (frame_count + EXTENT_FRAMES - 1) / EXTENT_FRAMES;
    const uint64_t max_extents = extents < max_pages ? extents : max_pages;
    const uint32_t slots = hash_slots(max_extents);

    *m = (struct extent_map){
        .max_pages = max_pages, .max_extents = (uint32_t)max_extents + MAX_LANES};
    if (extents <= slots) {
        m->slot_count = (uint32_t)extents;
        return 0;
    }
    m->slot_count = slots;
    m->keys = calloc(slots, sizeof(*m->keys));
    if (!m->keys)
        return err_set(e, ERR_LOCAL, ENOMEM,
            "no memory to keep track of %" PRIu64 " pages among %" PRIu64 " frames", max_pages,
            frame_count);
    return draw_hash(m, e);
}

void extent_map_destroy(struct extent_map *m)
{
    free(m->keys);
    *m = (struct extent_map){0};
}

static uint32_t first_slot(const struct extent_map *m, uint64_t extent)
{
    return (uint32_t)((extent + 1) * m->multiplier >> m->shift);
}

static uint32_t next_slot(const struct extent_map *m, uint32_t slot)
{
    return (slot + 1) & (m->slot_count - 1);
}

/* A quarter of the slots stays free: the search ends. */
uint32_t extent_map_search(const struct extent_map *m, uint64_t extent)
{
    for (uint32_t slot = first_slot(m, extent);; slot = next_slot(m, slot)) {
        const uint64_t key = atomic_load_explicit(&m->keys[slot], memory_order_relaxed);

        if (key == extent + 1)
            return slot;
        if (!key)
            return EXTENT_NO_SLOT;
    }
}

uint32_t extent_map_add(struct extent_map *m, uint64_t extent)
{
    uint32_t slot = extent_map_find(m, extent);

    if (slot != EXTENT_NO_SLOT)
        return slot;
    if (atomic_fetch_add_explicit(&m->added, 1, memory_order_relaxed) >= m->max_extents) {
        atomic_fetch_sub_explicit(&m->added, 1, memory_order_relaxed);
        return EXTENT_NO_SLOT;
    }
    for (slot = first_slot(m, extent);; slot = next_slot(m, slot)) {
        uint64_t held = 0;

        if (atomic_compare_exchange_strong_explicit(
                &m->keys[slot], &held, extent + 1, memory_order_relaxed, memory_order_relaxed))
            return slot;
        if (held == extent + 1) { /* another thread was faster */
            atomic_fetch_sub_explicit(&m->added, 1, memory_order_relaxed);
            return slot;
        }
    }
}
