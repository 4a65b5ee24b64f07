#include "perf/converge/sim.h"

#include "base/deadline.h"
#include "sched/bucket.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIRE_PAGE_BYTES = 4125, /* contents, entry, record and TLS, spread over a batch */
    WIRE_ZERO_BYTES = 8,
    XEN_ROUNDS = 5,
    XEN_PAGES = 50,
    QEMU_FIRST_THROTTLE = 20,
    QEMU_THROTTLE_STEP = 10,
    QEMU_MOST_THROTTLE = 99,
    SLICE_PAGES = 64, /* sent between two looks at the guest */
    CLAIRVOYANT_ROUNDS = 30,
};

#define SPEED_LOOK_NS     (200 * NS_PER_MS)
#define PEEK_LEAST_NS     (50 * NS_PER_MS)
#define PEEK_LEAST_BYTES  (4.0 * (1 << 20))
#define PEEK_COST_FACTOR  50 /* so at most 2 % of the guest's time */
#define CLEAN_NS          300000.0
#define CLEAN_NS_PER_PAGE 6.0 /* 1.5 ms a GiB */
#define PEEK_NS           150000.0
#define PEEK_NS_PER_PAGE  1.2
#define ROUND_NS          (2 * NS_PER_MS)
#define QEMU_LOOK_NS      (100 * NS_PER_MS)
#define QEMU_SYNC_NS      NS_PER_S
#define KUBEVIRT_STALL_NS (40 * NS_PER_S)
#define FINISH_TRIPS      2 /* the result, and GO with its answer */

/* What each page is, one byte. */
enum {
    DIRTY = 1,
    TO_SEND = 2,
    SKIP = 4,
    WAS_DIRTY = 8,
    KEPT = 16,
    WRITTEN = 32,
    MARK = 64,
    LOOKED = 128
};

struct sim {
    const struct scenario *sc;
    struct sim_result *r;
    uint8_t *page;
    int64_t now_ns;
    double guest_ns; /* the guest's own progress through its trace */
    double speed;    /* of the guest: 1 is unthrottled */
    uint64_t step;   /* of the trace */
    uint64_t dirty;
    int64_t halve_ns;
    int64_t ready_ns; /* when the link has carried what it was given */
    int64_t clean_ns, peek_ns;
    int64_t still_ns; /* the guest stands still for so long, while time passes */
    int64_t suspend_ns, finish_ns;
    uint64_t bytes;
    uint64_t data_pages, zero_pages;
    int64_t last_clean_ns;
};

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

/* Time passes and the guest runs, once the PEEK is over for which it stands still. */
static void advance(struct sim *s, int64_t span_ns)
{
    const int64_t still_ns = s->still_ns < span_ns ? s->still_ns : span_ns;

    s->now_ns += span_ns;
    s->still_ns -= still_ns;
    s->guest_ns += (double)(span_ns - still_ns) * s->speed;
    replay(s);
}

/* Time passes and the guest stands still. */
static void stand_still(struct sim *s, int64_t span_ns)
{
    s->now_ns += span_ns;
}

/* It has one processor; of less than it needs it takes all. */
static void cap(struct sim *s, unsigned percent)
{
    s->speed = fmin(1, percent / 100.0 / s->sc->trace->busy_share);
}

static double cpu_percent(const struct sim *s)
{
    return 100 * s->sc->trace->busy_share * s->speed;
}

static double bits_per_ns(const struct sim *s)
{
    const struct link *l = &s->sc->link;

    return l->bits_per_s / 1e9 / (l->halves && s->now_ns >= s->halve_ns ? 2 : 1);
}

static int64_t wire_ns(const struct sim *s, uint64_t bytes)
{
    return (int64_t)((double)bytes * 8 / bits_per_ns(s));
}

/* The link is given that much: how long until it has carried it. */
static int64_t carry_ns(struct sim *s, uint64_t bytes)
{
    const int64_t until_ns = bucket_charge(
        &s->ready_ns, s->now_ns, s->sc->burst_ns, (double)wire_ns(s, bytes));

    return until_ns > s->now_ns ? until_ns - s->now_ns : 0;
}

/* One page in four has never been written to and is zero. */
static bool is_zero(const struct sim *s, uint32_t p)
{
    return !s->sc->measured.suspend_ns && !(s->page[p] & WRITTEN) &&
           (p * 2654435761u >> 16) % 4 == 0;
}

static uint32_t take_page(struct sim *s, uint32_t p)
{
    if (is_zero(s, p)) {
        s->zero_pages++;
        return WIRE_ZERO_BYTES;
    }
    s->data_pages++;
    return WIRE_PAGE_BYTES;
}

static void note_point(struct sim *s, uint64_t left)
{
    struct sim_result *r = s->r;

    if (r->point_count < SIM_MOST_POINTS)
        r->points[r->point_count++] = (struct sim_point){s->now_ns, left};
}

/* ---- a round of ours ---- */

struct watcher {
    /* At every PEEK: so many of the round are not sent yet. */
    void (*peek)(void *arg, struct sim *s, uint64_t unsent);
    void *arg;
};

/* Lanes go on sending meanwhile. */
static void peek(struct sim *s)
{
    s->still_ns += s->peek_ns;
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] = s->page[p] & DIRTY ? s->page[p] | SKIP : s->page[p] & ~SKIP;
}

static int64_t peek_interval_ns(const struct sim *s)
{
    const int64_t cost_ns = PEEK_COST_FACTOR * s->peek_ns;

    return cost_ns > PEEK_LEAST_NS ? cost_ns : PEEK_LEAST_NS;
}

static uint64_t count(const struct sim *s, uint8_t any)
{
    uint64_t n = 0;

    for (uint32_t p = 0; p < s->sc->pages; p++)
        n += (s->page[p] & any) != 0;
    return n;
}

static void see_speed(struct sim *s, struct stats *seen, int64_t *since_ns, uint64_t *before)
{
    const uint64_t pages = s->data_pages + (seen->rounds ? s->zero_pages : 0);

    stats_add_speed(seen, pages - *before, 0, s->now_ns - *since_ns);
    *since_ns = s->now_ns;
    *before = pages;
}

/* Send what is TO_SEND, ascending; pages that are dirty again before their turn are not sent. */
static void send_round(struct sim *s, struct stats *seen, bool skip, const struct watcher *w)
{
    uint64_t unsent = w ? count(s, TO_SEND) : 0, slice_bytes = 0, peek_bytes = s->bytes;
    uint64_t counted = s->data_pages + (seen && seen->rounds ? s->zero_pages : 0);
    int64_t peek_ns = s->now_ns, look_ns = s->now_ns;
    unsigned slice = 0;

    for (uint32_t p = 0; p < s->sc->pages; p++) {
        const uint8_t v = s->page[p];

        if (!(v & TO_SEND))
            continue;
        s->page[p] &= ~TO_SEND;
        unsent--;
        if (skip && v & SKIP)
            continue;
        slice_bytes += take_page(s, p);
        if (++slice < SLICE_PAGES)
            continue;
        s->bytes += slice_bytes;
        advance(s, carry_ns(s, slice_bytes));
        slice = 0;
        slice_bytes = 0;
        if (seen && s->now_ns - look_ns >= SPEED_LOOK_NS)
            see_speed(s, seen, &look_ns, &counted);
        if (skip && s->now_ns - peek_ns >= peek_interval_ns(s) &&
            (double)(s->bytes - peek_bytes) >= PEEK_LEAST_BYTES) {
            peek(s);
            if (seen)
                stats_add_peek(seen, s->now_ns - s->last_clean_ns, s->dirty);
            if (w)
                w->peek(w->arg, s, unsent);
            peek_ns = s->now_ns;
            peek_bytes = s->bytes;
        }
    }
    s->bytes += slice_bytes;
    advance(s, carry_ns(s, slice_bytes));
    if (seen)
        see_speed(s, seen, &look_ns, &counted);
}

/* Read and clear the log: what is dirty becomes TO_SEND, beside what was kept. */
static uint64_t clean(struct sim *s)
{
    uint64_t left = 0;

    stand_still(s, s->clean_ns);
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

/* Pages that were dirty in this window and the one before are kept for the end. */
static void keep_repeats(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & TO_SEND && s->page[p] & MARK)
            s->page[p] = (s->page[p] & ~TO_SEND) | KEPT;
}

static void begin(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] |= TO_SEND;
    /* It has run before. */
    stand_still(s, s->clean_ns);
    s->last_clean_ns = s->now_ns;
}

/* ---- the pause ---- */

static void finish(struct sim *s)
{
    const int64_t asked_ns = s->now_ns;
    uint64_t last_bytes = 0;

    advance(s, s->suspend_ns);
    stand_still(s, s->clean_ns);
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & (DIRTY | TO_SEND | KEPT))
            last_bytes += take_page(s, p);
    s->bytes += last_bytes;
    stand_still(s, carry_ns(s, last_bytes) + s->finish_ns);
    s->r->rounds++;
    s->r->downtime_ns = s->now_ns - asked_ns;
    s->r->bytes = s->bytes;
    s->r->total_ns = s->now_ns;
    s->r->outcome = s->r->downtime_ns <= s->sc->limits.max_downtime_ns ? "met" : "missed";
    note_point(s, 0);
}

static void end_without(struct sim *s, const char *outcome)
{
    s->r->outcome = outcome;
    s->r->bytes = s->bytes;
    s->r->total_ns = s->now_ns;
}

/* ---- policies ---- */

/* Nothing is sent, and what is dirty by then joins what is left. */
static void look(struct sim *s, struct stats *seen, int64_t look_ns)
{
    struct stats_sample l = {.clean_ns = s->clean_ns};
    const int64_t from_ns = s->last_clean_ns;

    advance(s, look_ns);
    stand_still(s, s->clean_ns);
    l.dirty_pages = s->dirty;
    for (uint32_t p = 0; p < s->sc->pages; p++) {
        const uint8_t v = s->page[p];

        if (v & DIRTY)
            s->page[p] = (v & ~DIRTY) | TO_SEND | LOOKED | (v & WAS_DIRTY ? MARK : 0);
        l.left_pages += (s->page[p] & TO_SEND) != 0;
    }
    s->dirty = 0;
    s->last_clean_ns = s->now_ns;
    l.window_ns = s->now_ns - from_ns;
    l.elapsed_ns = s->now_ns;
    stats_add_sample(seen, &l);
    note_point(s, l.left_pages);
}

/* All its looks together count as the CLEAN before the next one. */
static void end_watch(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] = (s->page[p] & ~(WAS_DIRTY | LOOKED)) | (s->page[p] & LOOKED ? WAS_DIRTY : 0);
}

/* Until there is something else to do. */
static struct decision watch(
    struct sim *s, struct stats *seen, const struct decide_limits *l, struct decision d)
{
    while (d.action == ACT_OBSERVE) {
        look(s, seen, d.sample_ns);
        d = decide(seen, l, &s->sc->costs);
        stats_note_stall(seen, d.stalled);
    }
    end_watch(s);
    return d;
}

static void note_words(struct sim_result *r, const struct stats *seen,
    const struct decide_limits *l, const struct decision *d)
{
    if (r->word_count < SIM_MOST_WORDS)
        decision_words(seen, l, d, r->words[r->word_count++]);
}

static void run_xmigrate(struct sim *s, enum on_stall on_stall)
{
    const struct scenario *sc = s->sc;
    struct decide_limits limits = sc->limits;
    struct stats seen = {0};
    struct sim_result *r = s->r;
    struct decision d = {.action = ACT_ROUND};

    limits.on_stall = on_stall;
    begin(s);
    while (d.action == ACT_ROUND || d.action == ACT_THROTTLE) {
        const int64_t start_ns = s->now_ns, window_start_ns = s->last_clean_ns;
        const uint64_t bytes_before = s->bytes;
        const uint64_t pages_before = s->data_pages + s->zero_pages;

        advance(s, ROUND_NS);
        send_round(s, &seen, true, NULL);
        while (s->now_ns - start_ns < d.least_round_ns) {
            advance(s, peek_interval_ns(s));
            peek(s);
            stats_add_peek(&seen, s->now_ns - s->last_clean_ns, s->dirty);
        }

        struct stats_round round = {.clean_ns = s->clean_ns,
            .sent_pages = s->data_pages + s->zero_pages - pages_before,
            .wire_bytes = s->bytes - bytes_before,
            .dirty_pages = s->dirty,
            .kept_pages = d.keep_repeats ? count(s, KEPT) : 0,
            .cpu_percent = cpu_percent(s)};

        round.left_pages = clean(s);
        round.window_ns = s->last_clean_ns - window_start_ns;
        round.elapsed_ns = s->now_ns;
        stats_add_round(&seen, &round);
        r->rounds++;
        note_point(s, round.left_pages);
        d = decide(&seen, &limits, &sc->costs);
        note_words(r, &seen, &limits, &d);
        r->rounds_after_stall += r->stalled;
        r->stalled |= d.stalled;
        stats_note_stall(&seen, d.stalled);
        if (d.action == ACT_OBSERVE) {
            d = watch(s, &seen, &limits, d);
            note_words(r, &seen, &limits, &d);
        }
        if (d.keep_repeats)
            keep_repeats(s);
        if (d.action == ACT_THROTTLE) {
            stats_slow_down(&seen, d.cap_percent);
            cap(s, d.cap_percent);
        }
    }
    r->slowed_percent = seen.slowed.cap_percent;
    s->speed = 1;
    r->predicted_ns = d.now.whole_ns;
    if (d.action == ACT_SUSPEND)
        finish(s);
    else
        end_without(s, "gave-up");
}

static void run_xen(struct sim *s)
{
    uint64_t left;

    begin(s);
    do {
        advance(s, ROUND_NS);
        send_round(s, NULL, false, NULL);
        left = clean(s);
        note_point(s, left);
    } while (++s->r->rounds < XEN_ROUNDS && left >= XEN_PAGES);
    finish(s);
}

/* Our rounds, and after each of them and at each PEEK: what if the guest were suspended now? */
struct best {
    bool found, met;
    int64_t downtime_ns, total_ns;
    uint64_t bytes;
    unsigned rounds;
};

static void consider(void *arg, struct sim *s, uint64_t unsent)
{
    struct best *b = arg;
    const struct trace *t = s->sc->trace;
    const uint64_t until = (uint64_t)((s->guest_ns + (double)s->suspend_ns * s->speed) /
                                      t->step_ns);
    uint64_t last_bytes = 0, undo = s->step;

    (void)unsent;
    for (uint64_t i = s->step; i < until; i++) {
        const uint32_t p = t->pages[i % t->length];

        if (p != TRACE_NO_WRITE)
            s->page[p] |= MARK;
    }
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & (DIRTY | TO_SEND | KEPT | MARK))
            last_bytes += s->page[p] & MARK || !is_zero(s, p) ? WIRE_PAGE_BYTES : WIRE_ZERO_BYTES;
    for (; undo < until; undo++) {
        const uint32_t p = t->pages[undo % t->length];

        if (p != TRACE_NO_WRITE)
            s->page[p] &= ~MARK;
    }

    const int64_t downtime_ns = s->suspend_ns + s->clean_ns + wire_ns(s, last_bytes) + s->finish_ns;
    const bool met = downtime_ns <= s->sc->limits.max_downtime_ns;
    const uint64_t bytes = s->bytes + last_bytes;
    const bool better = !b->found || (met && !b->met) || (met && bytes < b->bytes) ||
                        (!met && !b->met && downtime_ns < b->downtime_ns);

    if (better)
        *b = (struct best){true, met, downtime_ns, s->now_ns + downtime_ns, bytes, s->r->rounds};
}

static void run_clairvoyant(struct sim *s)
{
    struct best best = {0};
    const struct watcher w = {consider, &best};

    begin(s);
    consider(&best, s, s->sc->pages);
    while (s->now_ns < s->sc->horizon_ns && s->r->rounds < CLAIRVOYANT_ROUNDS &&
           !(best.met && s->bytes > best.bytes)) {
        advance(s, ROUND_NS);
        send_round(s, NULL, true, &w);
        s->r->rounds++;
        note_point(s, clean(s));
        consider(&best, s, 0);
        if (!s->dirty && !count(s, TO_SEND))
            advance(s, NS_PER_S / 10);
    }
    s->r->outcome = best.met ? "met" : "missed";
    s->r->downtime_ns = best.downtime_ns;
    s->r->predicted_ns = best.downtime_ns;
    s->r->total_ns = best.total_ns;
    s->r->bytes = best.bytes;
    s->r->rounds = best.rounds + 1;
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

    q->left = clean(s);
    note_point(s, q->left);
    if (s->now_ns - q->sync_ns < QEMU_SYNC_NS)
        return;
    if (policy == POLICY_AUTOCONVERGE) {
        q->over = dirtied > sent / 2 ? q->over + 1 : 0;
        if (q->over >= 2) {
            q->over = 0;
            q->throttle = !q->throttle ? QEMU_FIRST_THROTTLE : q->throttle + QEMU_THROTTLE_STEP;
            if (q->throttle > QEMU_MOST_THROTTLE)
                q->throttle = QEMU_MOST_THROTTLE;
            cap(s, 100 - q->throttle);
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

static void run_qemu(struct sim *s, enum policy policy)
{
    struct qemu q = {.left = s->sc->pages};
    const struct decide_costs *c = &s->sc->costs;
    /* Its limit counts pages only: whoever sets it leaves room for the rest. */
    const double limit_ns = (double)(s->sc->limits.max_downtime_ns - c->suspend_ns - c->state_ns -
                                     c->receiver_ns);
    uint64_t slice_bytes = 0;
    unsigned slice = 0;

    begin(s);
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
                finish(s);
                return;
            }
            if (!q.left) {
                advance(s, NS_PER_MS);
                continue;
            }
        }
        q.at = qemu_next(s, q.at);
        s->page[q.at] &= ~TO_SEND;
        q.left--;
        slice_bytes += take_page(s, q.at);
        if (++slice < SLICE_PAGES && q.left)
            continue;
        s->bytes += slice_bytes;
        advance(s, carry_ns(s, slice_bytes));
        slice = 0;
        slice_bytes = 0;
        if (s->now_ns - q.look_ns >= QEMU_LOOK_NS) {
            q.bytes_per_ns = (double)(s->bytes - q.look_bytes) / (double)(s->now_ns - q.look_ns);
            q.look_ns = s->now_ns;
            q.look_bytes = s->bytes;
        }
    }
    end_without(s, "timeout");
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
