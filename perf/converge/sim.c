#include "perf/converge/sim.h"

#include "base/deadline.h"
#include "perf/converge/machine.h"
#include "sched/bucket.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define CLEAN_NS          300000.0
#define CLEAN_NS_PER_PAGE 6.0 /* 1.5 ms a GiB */
#define PEEK_NS           150000.0
#define PEEK_NS_PER_PAGE  1.2
#define FINISH_TRIPS      2 /* the result, and GO with its answer */

const char *policy_name(enum policy p)
{
    static const char *const names[] = {"xmigrate", "xmigrate-throttle", "xen", "qemu",
        "qemu-autoconverge", "kubevirt", "clairvoyant"};

    return names[p];
}

double sim_link_pages_per_s(const struct link *l)
{
    return l->bits_per_s / 8 / WIRE_PAGE_BYTES;
}

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

/* ---- */

/* What is drawn from the seed around what was told. */
static int64_t vary(uint64_t *rng, int64_t told_ns, double by)
{
    return (int64_t)((double)told_ns * (1 + by * (2 * trace_uniform(rng) - 1)));
}

static void draw_costs(struct sim *s)
{
    const struct scenario *sc = s->sc;
    const int64_t trips_ns = FINISH_TRIPS * sc->link.round_trip_ns;
    uint64_t rng = sc->seed ^ 0x5eedull;

    if (sc->measured.suspend_ns) {
        s->suspend_ns = sc->measured.suspend_ns;
        s->finish_ns = sc->measured.state_ns + sc->measured.receiver_ns;
        return;
    }
    s->suspend_ns = vary(&rng, sc->costs.suspend_ns, 0.4);
    s->finish_ns = vary(&rng, sc->costs.receiver_ns - trips_ns, 0.25) +
                   vary(&rng, sc->costs.state_ns, 0.3) + trips_ns;
}

int sim_run(const struct scenario *sc, enum policy p, struct sim_result *r)
{
    struct sim s = {.sc = sc,
        .r = r,
        .speed = 1,
        .step = sc->from_step,
        .guest_ns = (double)sc->from_step * sc->trace->step_ns};

    *r = (struct sim_result){.predicted_ns = -1};
    s.page = calloc(sc->pages, 1);
    if (!s.page)
        return -ENOMEM;
    s.clean_ns = (int64_t)(CLEAN_NS + CLEAN_NS_PER_PAGE * sc->pages);
    s.peek_ns = (int64_t)(PEEK_NS + PEEK_NS_PER_PAGE * sc->pages);
    draw_costs(&s);
    s.halve_ns = (int64_t)(sc->pages * 0.75 / sim_link_pages_per_s(&sc->link) * 0.5e9);
    if (p == POLICY_XMIGRATE)
        run_xmigrate(&s, ON_STALL_SUSPEND);
    else if (p == POLICY_THROTTLE)
        run_xmigrate(&s, ON_STALL_THROTTLE);
    else if (p == POLICY_XEN)
        run_xen(&s);
    else if (p == POLICY_CLAIRVOYANT)
        run_clairvoyant(&s);
    else
        run_qemu(&s, p);
    free(s.page);
    return 0;
}
