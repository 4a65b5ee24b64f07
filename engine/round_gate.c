#include "engine/round_gate.h"

#include "base/deadline.h"
#include "transport/record.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* How often a lane that waits looks whether all was cancelled. */
#define LOOK_NS (100 * NS_PER_MS)

int round_gate_init(struct round_gate *g, unsigned lane_count, uint64_t frame_count, struct err *e)
{
    *g = (struct round_gate){.lane_count = lane_count};
    g->claims = calloc(frame_count / EXTENT_FRAMES + 1, sizeof(*g->claims));
    if (!g->claims)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for %" PRIu64 " frames", frame_count);

    int rc = pthread_mutex_init(&g->lock, NULL);

    if (!rc) {
        rc = deadline_cond_init(&g->opened);
        if (!rc)
            return 0;
        pthread_mutex_destroy(&g->lock);
    }
    free(g->claims);
    g->claims = NULL;
    return err_sys(e, ERR_LOCAL, rc, "cannot make a lock");
}

void round_gate_destroy(struct round_gate *g)
{
    if (!g->claims)
        return;
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->lock);
    free(g->claims);
    g->claims = NULL;
}

/* Never zero, which says that nobody has claimed it yet. */
static uint64_t claim_of(unsigned lane, uint64_t borders)
{
    return (borders + 1) * MAX_LANES + lane;
}

static bool claim_extent(_Atomic uint64_t *claim, uint64_t mine)
{
    uint64_t held = atomic_load_explicit(claim, memory_order_relaxed);

    /* Whoever has just been faster is in the same round: the gate lets nobody ahead. */
    return held == mine || (held / MAX_LANES != mine / MAX_LANES &&
                               atomic_compare_exchange_strong_explicit(
                                   claim, &held, mine, memory_order_relaxed, memory_order_relaxed));
}

int round_gate_claim(struct round_gate *g, unsigned lane, uint64_t borders, const uint64_t *entries,
    unsigned count, struct err *e)
{
    const uint64_t mine = claim_of(lane, borders);
    uint64_t last = UINT64_MAX;

    for (unsigned i = 0; i < count; i++) {
        const uint64_t extent = v3_entry_pfn(entries[i]) / EXTENT_FRAMES;

        if (extent != last && !claim_extent(&g->claims[extent], mine))
            return err_set(e, ERR_PEER, EPROTO,
                "lane %u: frame %#" PRIx64 " comes on two lanes in one round", lane,
                v3_entry_pfn(entries[i]));
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
    struct round_gate *g, uint64_t number, const struct cancel *cancel, struct err *e)
{
    while (g->borders < number) {
        if (cancel_is_fired(cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        deadline_cond_wait(&g->opened, &g->lock, deadline_in(LOOK_NS));
    }
    return 0;
}

int round_gate_cross(struct round_gate *g, unsigned lane, uint64_t number,
    const struct cancel *cancel, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&g->lock);
    if (number != g->borders + 1) {
        rc = err_set(e, ERR_PEER, EPROTO,
            "lane %u: border %" PRIu64 " of the rounds, where %" PRIu64 " is next", lane, number,
            g->borders + 1);
    } else if (g->ended) {
        rc = ended_too_soon(lane, e);
    } else if (++g->waiting == g->lane_count) {
        g->waiting = 0;
        g->borders++;
        pthread_cond_broadcast(&g->opened);
    } else {
        rc = await_others(g, number, cancel, e);
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

int round_gate_end(struct round_gate *g, unsigned lane, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&g->lock);
    g->ended++;
    if (g->waiting)
        rc = ended_too_soon(lane, e);
    pthread_mutex_unlock(&g->lock);
    return rc;
}
