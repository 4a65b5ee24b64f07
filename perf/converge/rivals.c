/* SPDX-License-Identifier: MIT */
#include "perf/converge/rivals.h"

#include "base/deadline.h"

#include <math.h>

enum {
    XEN_ROUNDS = 5,
    XEN_PAGES = 50,
    QEMU_FIRST_THROTTLE = 20,
    QEMU_THROTTLE_STEP = 10,
    QEMU_MOST_THROTTLE = 99,
    CLAIRVOYANT_ROUNDS = 30,
};

#define PEEK_LEAST_NS     (50 * NS_PER_MS)
#define PEEK_LEAST_BYTES  (4.0 * (1 << 20))
#define PEEK_COST_FACTOR  50 /* so at most 2 % of the guest's time */
#define QEMU_LOOK_NS      (100 * NS_PER_MS)
#define QEMU_SYNC_NS      NS_PER_S
#define KUBEVIRT_STALL_NS (40 * NS_PER_S)

void run_xen(struct sim *s)
{
    uint64_t left;

    sim_begin(s);
    do {
        sim_advance(s, ROUND_NS);
        sim_send(s, false, NULL);
        left = sim_clean(s);
        sim_note_point(s, left);
    } while (++s->r->rounds < XEN_ROUNDS && left >= XEN_PAGES);
    sim_finish(s);
}

/* Our rounds, and after each of them and at each PEEK: what if the guest were suspended now? */
struct best {
    bool found, met;
    int64_t downtime_ns, total_ns;
    uint64_t bytes;
    unsigned rounds;
};

static void consider(struct best *b, struct sim *s)
{
    const struct trace *t = s->sc->trace;
    const uint64_t until = (uint64_t)((s->guest_ns + (double)s->suspend_ns * s->speed) /
                                      t->step_ns);
    uint64_t last_bytes = 0, undo = s->step;

    for (uint64_t i = s->step; i < until; i++) {
        const uint32_t p = t->pages[i % t->length];

        if (p != TRACE_NO_WRITE)
            s->page[p] |= MARK;
    }
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & (DIRTY | TO_SEND | KEPT | MARK))
            last_bytes += s->page[p] & MARK || !sim_is_zero(s, p) ? WIRE_PAGE_BYTES
                                                                  : WIRE_ZERO_BYTES;
    for (; undo < until; undo++) {
        const uint32_t p = t->pages[undo % t->length];

        if (p != TRACE_NO_WRITE)
            s->page[p] &= ~MARK;
    }

    const int64_t downtime_ns = s->suspend_ns + s->clean_ns + sim_wire_ns(s, last_bytes) +
                                s->finish_ns;
    const bool met = downtime_ns <= s->sc->limits.max_downtime_ns;
    const uint64_t bytes = s->bytes + last_bytes;
    const bool better = !b->found || (met && !b->met) || (met && bytes < b->bytes) ||
                        (!met && !b->met && downtime_ns < b->downtime_ns);

    if (better)
        *b = (struct best){true, met, downtime_ns, s->now_ns + downtime_ns, bytes, s->r->rounds};
}

static int64_t peek_interval_ns(const struct sim *s)
{
    const int64_t cost_ns = PEEK_COST_FACTOR * s->peek_ns;

    return cost_ns > PEEK_LEAST_NS ? cost_ns : PEEK_LEAST_NS;
}

struct clairvoyant {
    struct best best;
    int64_t peek_ns; /* when the last PEEK was, */
    uint64_t bytes;  /* and what was sent by then */
};

static void begin_peeks(struct clairvoyant *c, const struct sim *s)
{
    c->peek_ns = s->now_ns;
    c->bytes = s->bytes;
}

static void peek_and_consider(void *arg, struct sim *s)
{
    struct clairvoyant *c = arg;

    if (s->now_ns - c->peek_ns < peek_interval_ns(s) ||
        (double)(s->bytes - c->bytes) < PEEK_LEAST_BYTES)
        return;
    sim_peek(s);
    consider(&c->best, s);
    begin_peeks(c, s);
}

void run_clairvoyant(struct sim *s)
{
    struct clairvoyant c = {.best = {0}};
    const struct best *const best = &c.best;
    const struct sim_poll poll = {peek_and_consider, &c};

    sim_begin(s);
    consider(&c.best, s);
    while (s->now_ns < s->sc->horizon_ns && s->r->rounds < CLAIRVOYANT_ROUNDS &&
           !(best->met && s->bytes > best->bytes)) {
        sim_advance(s, ROUND_NS);
        begin_peeks(&c, s);
        sim_send(s, true, &poll);
        s->r->rounds++;
        sim_note_point(s, sim_clean(s));
        consider(&c.best, s);
        if (!s->dirty && !sim_count(s, TO_SEND))
            sim_advance(s, NS_PER_S / 10);
    }
    s->r->outcome = best->met ? "met" : "missed";
    s->r->downtime_ns = best->downtime_ns;
    s->r->predicted_ns = best->downtime_ns;
    s->r->total_ns = best->total_ns;
    s->r->bytes = best->bytes;
    s->r->rounds = best->rounds + 1;
}

/* QEMU walks one bitmap round and round and syncs it with the log when little is left. */
struct qemu {
    uint32_t at;
    uint64_t left;
    int64_t look_ns, sync_ns;
    uint64_t look_bytes, sync_bytes;
    double bytes_per_ns;
    unsigned throttle, over;
    int64_t stall_ns[512];
    uint64_t stall_left[512];
    unsigned stalls;
    uint64_t accept; /* kubevirt, stalled: so many pages are good enough */
};

static void qemu_sync(struct sim *s, struct qemu *q, enum policy policy)
{
    const uint64_t sent = s->bytes - q->sync_bytes;
    const uint64_t dirtied = s->dirty * 4096;

    q->left = sim_clean(s);
    sim_note_point(s, q->left);
    if (s->now_ns - q->sync_ns < QEMU_SYNC_NS)
        return;
    if (policy == POLICY_AUTOCONVERGE) {
        q->over = dirtied > sent / 2 ? q->over + 1 : 0;
        if (q->over >= 2) {
            q->over = 0;
            q->throttle = !q->throttle ? QEMU_FIRST_THROTTLE : q->throttle + QEMU_THROTTLE_STEP;
            if (q->throttle > QEMU_MOST_THROTTLE)
                q->throttle = QEMU_MOST_THROTTLE;
            sim_cap(s, 100 - q->throttle);
        }
    }
    q->sync_ns = s->now_ns;
    q->sync_bytes = s->bytes;
}

/* Stalled: not less than the least of what was left more than 40 s ago. Then the least since is
 * good enough. */
static void kubevirt_look(const struct sim *s, struct qemu *q)
{
    uint64_t least_old = UINT64_MAX, least = UINT64_MAX;

    if (q->stalls < 512) {
        q->stall_ns[q->stalls] = s->now_ns;
        q->stall_left[q->stalls++] = q->left;
    }
    for (unsigned i = 0; i < q->stalls; i++) {
        if (s->now_ns - q->stall_ns[i] > KUBEVIRT_STALL_NS && q->stall_left[i] < least_old)
            least_old = q->stall_left[i];
        if (q->stall_left[i] < least)
            least = q->stall_left[i];
    }
    if (least_old != UINT64_MAX && (double)q->left >= 0.98 * (double)least_old)
        q->accept = (uint64_t)((double)least * 1.04);
}

static uint32_t qemu_next(const struct sim *s, uint32_t at)
{
    while (!(s->page[at] & TO_SEND))
        if (++at == s->sc->pages)
            at = 0;
    return at;
}

void run_qemu(struct sim *s, enum policy policy)
{
    struct qemu q = {.left = s->sc->pages};
    const struct decide_costs *c = &s->sc->costs;
    /* Its limit counts pages only: whoever sets it leaves room for the rest, if there is any. */
    const int64_t target_ns = s->sc->limits.max_downtime_ns;
    const double limit_ns = fmax((double)target_ns / 10,
        (double)(target_ns - c->suspend_ns - c->state_ns - c->receiver_ns - c->network_ns));
    uint64_t slice_bytes = 0;
    unsigned slice = 0;

    sim_begin(s);
    while (s->now_ns < s->sc->horizon_ns) {
        const bool small = q.bytes_per_ns > 0 && (double)q.left * 4096 <= q.bytes_per_ns * limit_ns;

        if (small || !q.left || (q.accept && q.left <= q.accept)) {
            qemu_sync(s, &q, policy);
            s->r->rounds++;
            if (policy == POLICY_KUBEVIRT)
                kubevirt_look(s, &q);
            s->r->predicted_ns = q.bytes_per_ns > 0
                                     ? (int64_t)((double)q.left * 4096 / q.bytes_per_ns)
                                     : 0;
            if ((double)q.left * 4096 <= q.bytes_per_ns * limit_ns ||
                (q.accept && q.left <= q.accept)) {
                sim_finish(s);
                return;
            }
            if (!q.left) {
                sim_advance(s, NS_PER_MS);
                continue;
            }
        }
        q.at = qemu_next(s, q.at);
        s->page[q.at] &= ~TO_SEND;
        q.left--;
        slice_bytes += sim_take_page(s, q.at);
        if (++slice < SLICE_PAGES && q.left)
            continue;
        s->bytes += slice_bytes;
        sim_advance(s, sim_carry_ns(s, slice_bytes));
        slice = 0;
        slice_bytes = 0;
        if (s->now_ns - q.look_ns >= QEMU_LOOK_NS) {
            q.bytes_per_ns = (double)(s->bytes - q.look_bytes) / (double)(s->now_ns - q.look_ns);
            q.look_ns = s->now_ns;
            q.look_bytes = s->bytes;
        }
    }
    sim_end_without(s, "timeout");
}
