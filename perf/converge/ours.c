/* SPDX-License-Identifier: MIT */
#include "perf/converge/ours.h"

#include "base/deadline.h"
#include "sched/precopy.h"

struct ours {
    struct sim *s;
    struct precopy precopy;
    uint64_t round_bytes, round_data_pages, round_zero_pages; /* before the current round */
    uint64_t kept_pages;
    int64_t polled_ns;
};

/* Pages that were dirty in this window and the one before are kept for the end. */
static void keep_repeats(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        if (s->page[p] & TO_SEND && s->page[p] & MARK)
            s->page[p] = (s->page[p] & ~TO_SEND) | KEPT;
}

/* All samples together count as the CLEAN before the next one. */
static void end_observation(struct sim *s)
{
    for (uint32_t p = 0; p < s->sc->pages; p++)
        s->page[p] = (s->page[p] & ~(WAS_DIRTY | SAMPLED)) | (s->page[p] & SAMPLED ? WAS_DIRTY : 0);
}

/* Until the PEEK is over that was begun. */
static void end_peek(struct sim *s)
{
    sim_advance(s, s->still_ns);
}

static struct round_stats stats_of(const struct ours *o)
{
    return (struct round_stats){
        .data_pages = o->s->data_pages - o->round_data_pages,
        .zero_pages = o->s->zero_pages - o->round_zero_pages,
        .wire_bytes = o->s->bytes - o->round_bytes,
        .kept_pages = o->kept_pages,
    };
}

/* The loop's thread is in its PEEK while lanes go on, and does not poll. */
static void poll(void *arg, struct sim *s)
{
    struct ours *o = arg;
    const struct round_stats so_far = stats_of(o);

    if (s->still_ns || s->now_ns - o->polled_ns < PRECOPY_POLL_NS)
        return;
    o->polled_ns = s->now_ns;
    precopy_poll(&o->precopy, &so_far);
}

static int ours_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct ours *o = arg;
    struct sim *s = o->s;
    const struct sim_poll polls = {poll, o};

    (void)e;
    if (o->precopy.stats.observing)
        end_observation(s);
    if (plan->keep_repeats)
        keep_repeats(s);
    o->kept_pages = sim_count(s, KEPT);
    o->round_bytes = s->bytes;
    o->round_data_pages = s->data_pages;
    o->round_zero_pages = s->zero_pages;
    o->polled_ns = s->now_ns;
    sim_advance(s, ROUND_NS);
    sim_send(s, plan->skip_redirtied, &polls);
    end_peek(s);
    *stats = stats_of(o);
    return 0;
}

static bool ours_peek(void *arg, uint64_t *dirty_pages)
{
    struct sim *s = ((struct ours *)arg)->s;

    sim_peek(s);
    *dirty_pages = s->dirty;
    return true;
}

/* What is dirty by now joins what is left. */
static uint64_t sample(struct sim *s)
{
    uint64_t left = 0;

    sim_stand_still(s, s->clean_ns);
    for (uint32_t p = 0; p < s->sc->pages; p++) {
        const uint8_t v = s->page[p];

        if (v & DIRTY)
            s->page[p] = (v & ~DIRTY) | TO_SEND | SAMPLED | (v & WAS_DIRTY ? MARK : 0);
        left += (s->page[p] & TO_SEND) != 0;
    }
    s->dirty = 0;
    s->last_clean_ns = s->now_ns;
    return left;
}

static int ours_clean(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct sim *s = ((struct ours *)arg)->s;

    (void)e;
    end_peek(s);
    stats->dirty_pages = s->dirty;
    stats->left_pages = after == CLEAN_AFTER_ROUND ? sim_clean(s) : sample(s);
    stats->cleared_ns = s->now_ns;
    sim_note_point(s, stats->left_pages);
    return 0;
}

static int ours_wait(void *arg, int64_t until_ns, struct err *e)
{
    struct sim *s = ((struct ours *)arg)->s;

    (void)e;
    if (until_ns > s->now_ns)
        sim_advance(s, until_ns - s->now_ns);
    return 0;
}

static int ours_cap(void *arg, unsigned percent, struct err *e)
{
    (void)e;
    sim_cap(((struct ours *)arg)->s, percent);
    return 0;
}

static int ours_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    (void)e;
    *cpu_ns = (uint64_t)((struct ours *)arg)->s->cpu_ns;
    return 0;
}

static void ours_decided(void *arg, const struct precopy *p)
{
    struct sim_result *r = ((struct ours *)arg)->s->r;

    if (!p->stats.observing) {
        r->rounds++;
        r->rounds_after_stall += r->stalled;
        r->stalled |= p->decision.stalled;
    }
    if (r->word_count < SIM_MOST_WORDS)
        decision_words(&p->stats, &p->limits, &p->decision, r->words[r->word_count++]);
}

/* The loop's thread's. */
static int64_t ours_now(void *arg)
{
    const struct sim *s = ((struct ours *)arg)->s;

    return s->now_ns + s->still_ns;
}

static const struct precopy_ops ours_ops = {
    .send = ours_send,
    .clean = ours_clean,
    .peek = ours_peek,
    .wait = ours_wait,
    .cap = ours_cap,
    .cpu = ours_cpu,
    .decided = ours_decided,
    .now = ours_now,
};

void run_xmigrate(struct sim *s, enum on_stall on_stall)
{
    struct ours o = {.s = s};
    struct precopy *p = &o.precopy;
    struct err e = ERR_INIT;

    sim_begin(s);
    *p = (struct precopy){
        .ops = &ours_ops,
        .arg = &o,
        .limits = s->sc->limits,
        .costs = s->sc->costs,
        .logged_ns = s->last_clean_ns,
    };
    p->limits.on_stall = on_stall;
    precopy_run(p, &e);
    s->r->slowed_percent = p->stats.slowed.cap_percent;
    s->speed = 1;
    s->r->predicted_ns = p->decision.now.whole_ns;
    s->r->said = p->decision.now;
    if (p->decision.action == ACT_SUSPEND)
        sim_finish(s);
    else
        sim_end_without(s, "gave-up");
}
