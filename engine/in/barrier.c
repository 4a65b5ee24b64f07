/* SPDX-License-Identifier: MIT */
#include "engine/in/barrier.h"

#include "base/deadline.h"
#include "transport/record.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* How often a lane that waits asks whether all was cancelled. */
#define CANCEL_POLL_NS (100 * NS_PER_MS)

int barrier_init(struct barrier *b, unsigned lane_count, struct extent_map *map, struct err *e)
{
    *b = (struct barrier){.lane_count = lane_count, .map = map};
    b->claims = calloc(map->slot_count, sizeof(*b->claims));
    if (!b->claims)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for %" PRIu32 " extents", map->slot_count);

    int rc = pthread_mutex_init(&b->lock, NULL);

    if (!rc) {
        rc = deadline_cond_init(&b->opened);
        if (!rc)
            return 0;
        pthread_mutex_destroy(&b->lock);
    }
    free(b->claims);
    b->claims = NULL;
    return err_sys(e, ERR_LOCAL, rc, "cannot make a lock");
}

void barrier_destroy(struct barrier *b)
{
    if (!b->claims)
        return;
    pthread_cond_destroy(&b->opened);
    pthread_mutex_destroy(&b->lock);
    free(b->claims);
    b->claims = NULL;
}

/* Never zero, which says that nobody has claimed it yet. */
static uint64_t claim_of(unsigned lane, uint64_t crossed)
{
    return (crossed + 1) * MAX_LANES + lane;
}

static bool claim_slot(_Atomic uint64_t *claim, uint64_t mine)
{
    uint64_t held = atomic_load_explicit(claim, memory_order_relaxed);

    /* Whoever has just been faster is in the same round: the barrier lets nobody ahead. */
    return held == mine || (held / MAX_LANES != mine / MAX_LANES &&
                               atomic_compare_exchange_strong_explicit(
                                   claim, &held, mine, memory_order_relaxed, memory_order_relaxed));
}

static int on_two_lanes(unsigned lane, uint64_t pfn, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO,
        "lane %u: frame %#" PRIx64 " comes on two lanes in one round", lane, pfn);
}

static int too_many_extents(const struct barrier *b, unsigned lane, uint64_t pfn, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO,
        "lane %u: frame %#" PRIx64 " is in one more place of 2 MiB with memory, and those are "
        "more than the domain may have pages, %" PRIu64,
        lane, pfn, b->map->max_pages);
}

int barrier_claim(struct barrier *b, unsigned lane, uint64_t crossed, const uint64_t *entries,
    unsigned count, struct err *e)
{
    const uint64_t mine = claim_of(lane, crossed);
    uint64_t last = UINT64_MAX;

    for (unsigned i = 0; i < count; i++) {
        const uint64_t pfn = v3_entry_pfn(entries[i]);
        const uint64_t extent = pfn / EXTENT_FRAMES;
        const bool populates = v3_type_is_populated(v3_entry_type(entries[i]));

        if (extent == last)
            continue;

        const uint32_t slot = populates ? extent_map_add(b->map, extent)
                                        : extent_map_find(b->map, extent);

        if (slot == EXTENT_NO_SLOT && populates)
            return too_many_extents(b, lane, pfn, e);
        if (slot == EXTENT_NO_SLOT)
            continue;
        if (!claim_slot(&b->claims[slot], mine))
            return on_two_lanes(lane, pfn, e);
        last = extent;
    }
    return 0;
}

static int ended_too_soon(unsigned lane, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "lane %u: lanes do not end in the same round", lane);
}

/* Lock held. */
static int await_others(
    struct barrier *b, uint64_t number, const struct cancel *cancel, struct err *e)
{
    while (b->crossed < number) {
        if (cancel_is_fired(cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        deadline_cond_wait(&b->opened, &b->lock, deadline_in(CANCEL_POLL_NS));
    }
    return 0;
}

int barrier_cross(
    struct barrier *b, unsigned lane, uint64_t number, const struct cancel *cancel, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&b->lock);
    if (number != b->crossed + 1) {
        rc = err_set(e, ERR_PEER, EPROTO,
            "lane %u: border %" PRIu64 " of the rounds, where %" PRIu64 " is next", lane, number,
            b->crossed + 1);
    } else if (b->ended) {
        rc = ended_too_soon(lane, e);
    } else if (++b->waiting == b->lane_count) {
        b->waiting = 0;
        b->crossed++;
        pthread_cond_broadcast(&b->opened);
    } else {
        rc = await_others(b, number, cancel, e);
    }
    pthread_mutex_unlock(&b->lock);
    return rc;
}

int barrier_end(struct barrier *b, unsigned lane, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&b->lock);
    b->ended++;
    if (b->waiting)
        rc = ended_too_soon(lane, e);
    pthread_mutex_unlock(&b->lock);
    return rc;
}
