/* SPDX-License-Identifier: MIT */
#include "perf/converge/machine.h"

#include "base/deadline.h"
#include "sched/bucket.h"

#include <math.h>

/* ---- the guest and the link ---- */

static void replay(struct sim *s)
{
    const struct trace *t = s->sc->trace;
    const uint64_t until = (uint64_t)(s->guest_ns / t->step_ns);
    uint64_t at = s->step % t->length;

    for (; s->step < until; s->step++) {
        const uint32_t p = t->pages[at];

        if (++at == t->length)
            at = 0;
        if (p == TRACE_NO_WRITE)
            continue;
        s->dirty += !(s->page[p] & DIRTY);
        s->page[p] |= DIRTY | WRITTEN;
    }
}

void sim_advance(struct sim *s, int64_t span_ns)
{
    const int64_t still_ns = s->still_ns < span_ns ? s->still_ns : span_ns;

    s->now_ns += span_ns;
    s->still_ns -= still_ns;
    s->guest_ns += (double)(span_ns - still_ns) * s->speed;
    s->cpu_ns += (double)(span_ns - still_ns) * s->speed * s->sc->trace->busy_share;
    replay(s);
}

void sim_stand_still(struct sim *s, int64_t span_ns)
{
    s->now_ns += span_ns;
}

void sim_cap(struct sim *s, unsigned percent)
{
    s->speed = fmin(1, percent / 100.0 / s->sc->trace->busy_share);
}

static double bits_per_ns(const struct sim *s)
{
    const struct link *l = &s->sc->link;

    return l->bits_per_s / 1e9 / (l->halves && s->now_ns >= s->halve_ns ? 2 : 1);
}

int64_t sim_wire_ns(const struct sim *s, uint64_t bytes)
{
    return (int64_t)((double)bytes * 8 / bits_per_ns(s));
}

int64_t sim_carry_ns(struct sim *s, uint64_t bytes)
{
    const int64_t until_ns = bucket_charge(
        &s->ready_ns, s->now_ns, s->sc->burst_ns, (double)sim_wire_ns(s, bytes));

    return until_ns > s->now_ns ? until_ns - s->now_ns : 0;
}

bool sim_is_zero(const struct sim *s, uint32_t p)
{
    return !s->sc->measured.suspend_ns && !(s->page[p] & WRITTEN) &&
           (p * 2654435761u >> 16) % 4 == 0;
}

uint32_t sim_take_page(struct sim *s, uint32_t p)
{
    if (sim_is_zero(s, p)) {
        s->zero_pages++;
        return WIRE_ZERO_BYTES;
    }
    s->data_pages++;
    return WIRE_PAGE_BYTES;
}

void sim_note_point(struct sim *s, uint64_t left)
{
    struct sim_result *r = s->r;

    if (r->point_count < SIM_MOST_POINTS)
        r->points[r->point_count++] = (struct sim_point){s->now_ns, left};
}

/* ---- rounds ---- */

void sim_begin(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] |= TO_SEND;
    /* It has run before. */
    sim_stand_still(s, s->clean_ns);
    s->last_clean_ns = s->now_ns;
}

void sim_peek(struct sim *s)
{
    s->still_ns += s->peek_ns;
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] = s->page[p] & DIRTY ? s->page[p] | SKIP : s->page[p] & ~SKIP;
}

uint64_t sim_count(const struct sim *s, uint8_t any)
{
    uint64_t n = 0;

    for (uint32_t p = 0; p < s->sc->pages; p++)
        n += (s->page[p] & any) != 0;
    return n;
}

void sim_send(struct sim *s, bool skip, const struct sim_poll *poll)
{
    uint64_t slice_bytes = 0;
    unsigned slice = 0;

    for (uint32_t p = 0; p < s->sc->pages; p++) {
        const uint8_t v = s->page[p];

        if (!(v & TO_SEND))
            continue;
        s->page[p] &= ~TO_SEND;
        if (skip && v & SKIP)
            continue;
        slice_bytes += sim_take_page(s, p);
        if (++slice < SLICE_PAGES)
            continue;
        s->bytes += slice_bytes;
        sim_advance(s, sim_carry_ns(s, slice_bytes));
        slice = 0;
        slice_bytes = 0;
        if (poll)
            poll->poll(poll->arg, s);
    }
    s->bytes += slice_bytes;
    sim_advance(s, sim_carry_ns(s, slice_bytes));
}

uint64_t sim_clean(struct sim *s)
{
    uint64_t left = 0;

    sim_stand_still(s, s->clean_ns);
    for (uint32_t p = 0; p < s->sc->pages; p++) {
        uint8_t v = s->page[p] & ~(SKIP | MARK);

        if (v & DIRTY) {
            v = v & WAS_DIRTY ? v | MARK : v;
            v |= TO_SEND | WAS_DIRTY;
        } else {
            v &= ~WAS_DIRTY;
            if (v & KEPT)
                v |= TO_SEND;
        }
        v &= ~(DIRTY | KEPT);
        left += (v & TO_SEND) != 0;
        s->page[p] = v;
    }
    s->dirty = 0;
    s->last_clean_ns = s->now_ns;
    return left;
}

/* ---- the pause ---- */

void sim_finish(struct sim *s)
{
    const int64_t asked_ns = s->now_ns;
    uint64_t last_bytes = 0;

    sim_advance(s, s->suspend_ns);
    sim_stand_still(s, s->clean_ns);
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & (DIRTY | TO_SEND | KEPT))
            last_bytes += sim_take_page(s, p);
    s->bytes += last_bytes;
    sim_stand_still(s, sim_carry_ns(s, last_bytes) + s->finish_ns);
    s->r->rounds++;
    s->r->downtime_ns = s->now_ns - asked_ns;
    s->r->bytes = s->bytes;
    s->r->total_ns = s->now_ns;
    s->r->outcome = s->r->downtime_ns <= s->sc->limits.max_downtime_ns ? "met" : "missed";
    sim_note_point(s, 0);
}

void sim_end_without(struct sim *s, const char *outcome)
{
    s->r->outcome = outcome;
    s->r->bytes = s->bytes;
    s->r->total_ns = s->now_ns;
}
