/* SPDX-License-Identifier: MIT */
#include "sched/precopy.h"

/* The guest is paused during a PEEK, for as long as a bitmap takes to copy: only once in this many
 * bytes sent, and for 2 % of its time at most. */
#define PEEK_LEAST_BYTES (4 << 20)
#define PEEK_COST_FACTOR 50
#define SPEED_EVERY_NS   (200 * NS_PER_MS)

static int64_t now(const struct precopy *p)
{
    return p->ops->now(p->arg);
}

/* ---- while a round runs ---- */

/* The first round is full of marks for zero pages, which would make the link look too fast. Without
 * them it would seem to stand still where nearly all is zero. So there a mark counts as an eighth
 * of a page, which is about what it costs. Later rounds are like those to come. */
static void measure_speed(struct precopy *p, const struct round_stats *r)
{
    const uint64_t zero_pages = p->stats.rounds ? r->zero_pages : r->zero_pages / 8;
    const uint64_t pages = r->data_pages - r->delta_pages + zero_pages +
                           r->delta_pages / STATS_DELTAS_PER_PAGE;
    const int64_t at_ns = now(p);

    stats_add_speed(&p->stats, pages - p->speed_pages, r->absent_pages - p->speed_absent_pages,
        at_ns - p->speed_ns);
    p->speed_ns = at_ns;
    p->speed_pages = pages;
    p->speed_absent_pages = r->absent_pages;
}

static bool peek_is_due(const struct precopy *p)
{
    return p->ops->peek && now(p) - p->peek_ns >= PEEK_COST_FACTOR * p->peek_cost_ns;
}

static void peek(struct precopy *p)
{
    const int64_t before_ns = now(p);
    uint64_t dirty_pages;
    const bool known = p->ops->peek(p->arg, &dirty_pages);

    p->peek_ns = now(p);
    if (!known)
        return;
    p->peek_cost_ns = p->peek_ns - before_ns;
    stats_add_peek(&p->stats, p->peek_ns - p->logged_ns, dirty_pages);
}

void precopy_poll(struct precopy *p, const struct round_stats *so_far)
{
    if (peek_is_due(p) && so_far->wire_bytes - p->peek_bytes >= PEEK_LEAST_BYTES) {
        peek(p);
        p->peek_bytes = so_far->wire_bytes;
    }
    if (now(p) - p->speed_ns >= SPEED_EVERY_NS)
        measure_speed(p, so_far);
}

/* ---- a round ---- */

/* The guest has to be running still; and how much of a processor does it use? */
static int measure_cpu(struct precopy *p, struct err *e)
{
    const uint64_t before_ns = p->cpu_ns;
    const int64_t at_ns = now(p), span_ns = at_ns - p->cpu_at_ns;
    const int rc = p->ops->cpu(p->arg, &p->cpu_ns, e);

    if (!rc && p->cpu_read && span_ns > 0 && p->cpu_ns >= before_ns)
        p->cpu_percent = cpu_used_percent(p->cpu_ns - before_ns, span_ns);
    p->cpu_read = true;
    p->cpu_at_ns = at_ns;
    return rc;
}

/* A guest that was just slowed down has to run for a while before that shows. */
static int fill_round(struct precopy *p, int64_t until_ns, struct err *e)
{
    int rc = 0;

    while (!rc && now(p) < until_ns) {
        rc = p->ops->wait(p->arg, deadline_earlier(until_ns, now(p) + PRECOPY_POLL_NS), e);
        if (!rc && peek_is_due(p))
            peek(p);
    }
    return rc;
}

static int send_round(struct precopy *p, const struct round_plan *plan, struct err *e)
{
    const int64_t begun_ns = now(p);

    p->peek_ns = p->speed_ns = begun_ns;
    p->peek_bytes = p->speed_pages = p->speed_absent_pages = 0;
    p->round = (struct round_stats){0};

    const int rc = p->ops->send(p->arg, plan, &p->round, e);

    if (rc)
        return rc;
    measure_speed(p, &p->round);
    return fill_round(p, begun_ns + p->decision.least_round_ns, e);
}

struct window {
    int64_t window_ns, clean_ns;
    struct clean_stats found;
};

static int clean(struct precopy *p, enum clean_after after, struct window *w, struct err *e)
{
    const int64_t before_ns = now(p), from_ns = p->logged_ns;
    w->found = (struct clean_stats){0};

    const int rc = p->ops->clean(p->arg, after, &w->found, e);

    if (rc)
        return rc;
    p->logged_ns = w->found.cleared_ns;
    w->window_ns = p->logged_ns - from_ns;
    w->clean_ns = p->logged_ns - before_ns;
    return 0;
}

static int end_round(struct precopy *p, struct err *e)
{
    struct window w;
    const int rc = clean(p, CLEAN_AFTER_ROUND, &w, e);

    if (rc)
        return rc;
    stats_add_round(&p->stats, &(struct stats_round){
                                   .elapsed_ns = p->logged_ns - p->begun_ns,
                                   .window_ns = w.window_ns,
                                   .clean_ns = w.clean_ns,
                                   .sent_pages = p->round.data_pages + p->round.zero_pages,
                                   .wire_bytes = p->round.wire_bytes,
                                   .dirty_pages = w.found.dirty_pages,
                                   .left_pages = w.found.left_pages + p->round.deferred_pages,
                                   .delta_pages = w.found.delta_pages,
                                   .kept_pages = p->round.kept_pages,
                                   .cpu_percent = p->cpu_percent,
                               });
    return 0;
}

static void make_decision(struct precopy *p)
{
    if (p->ops->limits)
        p->ops->limits(p->arg, &p->limits);
    p->decision = decide(&p->stats, &p->limits, &p->costs);
    stats_note_stall(&p->stats, p->decision.stalled);
}

static int run_round(struct precopy *p, const struct round_plan *plan, struct err *e)
{
    int rc = send_round(p, plan, e);

    if (!rc)
        rc = measure_cpu(p, e);
    if (!rc)
        rc = end_round(p, e);
    if (rc)
        return rc;
    make_decision(p);
    p->ops->decided(p->arg, p);
    return 0;
}

/* ---- between rounds ---- */

static int take_sample(struct precopy *p, struct err *e)
{
    const enum clean_after after = p->stats.observing ? CLEAN_NEXT_SAMPLE : CLEAN_FIRST_SAMPLE;
    struct window w;
    const int rc = clean(p, after, &w, e);

    if (rc)
        return rc;
    stats_add_sample(&p->stats, &(struct stats_sample){
                                    .elapsed_ns = p->logged_ns - p->begun_ns,
                                    .window_ns = w.window_ns,
                                    .clean_ns = w.clean_ns,
                                    .dirty_pages = w.found.dirty_pages,
                                    .left_pages = w.found.left_pages + p->round.deferred_pages,
                                    .delta_pages = w.found.delta_pages,
                                });
    return 0;
}

/* Rounds do not help: let the guest run, and see whether it turns to something else. */
static int observe(struct precopy *p, struct err *e)
{
    int rc = 0;

    while (!rc && p->decision.action == ACT_OBSERVE) {
        rc = p->ops->wait(p->arg, p->logged_ns + p->decision.sample_ns, e);
        if (!rc)
            rc = measure_cpu(p, e);
        if (!rc)
            rc = take_sample(p, e);
        if (!rc)
            make_decision(p);
    }
    if (!rc)
        p->ops->decided(p->arg, p);
    return rc;
}

static int slow_down(struct precopy *p, struct err *e)
{
    stats_slow_down(&p->stats, p->decision.cap_percent);
    return p->ops->cap(p->arg, p->decision.cap_percent, e);
}

static int is_over(const struct precopy *p, bool *over, struct err *e)
{
    const enum action action = p->decision.action;

    *over = action == ACT_SUSPEND || action == ACT_GIVE_UP;
    return action == ACT_SUSPEND && p->ops->may_suspend ? p->ops->may_suspend(p->arg, over, e) : 0;
}

/* A round after one with stuck pages leaves nothing out: they all have to be tried again. */
static struct round_plan plan_round(const struct precopy *p)
{
    const bool stuck = p->round.stuck_pages > 0;

    return (struct round_plan){
        .keep_repeats = p->decision.keep_repeats && !stuck,
        .skip_redirtied = !stuck,
    };
}

static int advance(struct precopy *p, struct err *e)
{
    const struct round_plan plan = plan_round(p);
    int rc = run_round(p, &plan, e);

    if (!rc && p->decision.action == ACT_OBSERVE)
        rc = observe(p, e);
    if (!rc && p->decision.action == ACT_THROTTLE)
        rc = slow_down(p, e);
    return rc;
}

int precopy_run(struct precopy *p, struct err *e)
{
    bool over = false;
    int rc = measure_cpu(p, e);

    while (!rc && !over) {
        rc = advance(p, e);
        if (!rc)
            rc = is_over(p, &over, e);
    }
    return rc;
}
