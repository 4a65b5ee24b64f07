/* SPDX-License-Identifier: MIT */
#include "sched/forecast.h"

#include "sched/precopy.h"

#include <errno.h>
#include <math.h>

/* Where rounds are not limited, and each shortens the pause by a little. */
enum { MOST_ROUNDS = 1000 };

/* What a page costs on the wire that is only marked. */
#define MARK_BYTES 8.0
/* Of the pages of a round that are written to again: how many before their turn. */
#define BEFORE_THEIR_TURN 0.5
/* The curve takes no points that lie closer together. */
#define POLL_STEP 1.4
/* Where no speed is known, a round takes for ever, and the clock stops somewhere. */
#define FOR_EVER_NS (INT64_MAX / 8)
#define END_NS      (INT64_MAX / 2)

struct run {
    const struct forecast_of *of;
    struct precopy precopy;
    double speed;    /* of the guest: 1 is unthrottled */
    double left;     /* pages of the next round */
    double kept;     /* of these, not in the last round */
    double contents; /* of a page of the next round: the share that is not a mark */
    int64_t at_ns;
    int64_t observed_from_ns;
    double cpu_ns; /* that the guest has used */
};

static int64_t clamp_ns(double ns)
{
    return ns < (double)FOR_EVER_NS ? (int64_t)ns : FOR_EVER_NS;
}

/* Time passes, and the guest runs. */
static void advance_to(struct run *r, int64_t at_ns)
{
    const double percent = r->of->observed->last.cpu_percent * r->speed;

    r->cpu_ns += (double)(at_ns - r->at_ns) * percent / 100;
    r->at_ns = at_ns;
}

static double dirty_within(const struct run *r, int64_t span_ns)
{
    return fmin((double)r->of->pages,
        stats_dirty_within(r->of->observed, clamp_ns((double)span_ns * r->speed)));
}

static int64_t send_ns(const struct run *r, double pages)
{
    return clamp_ns(pages * r->contents / r->of->send_pages_per_s * 1e9);
}

/* How many of the round's pages are sent. */
static double sent_pages(const struct run *r, const struct round_plan *plan)
{
    double sent = r->left;

    if (plan->keep_repeats)
        return 0;
    /* What is not sent makes the round shorter, and less is written to: twice is close enough. */
    for (int i = 0; i < 2 && plan->skip_redirtied; i++)
        sent = r->left - BEFORE_THEIR_TURN * fmin(r->left, dirty_within(r, send_ns(r, sent)));
    return sent;
}

/* ---- what sched/precopy.h asks for ---- */

static struct round_stats stats_of(const struct run *r, double sent)
{
    return (struct round_stats){
        .data_pages = (uint64_t)(sent * r->contents),
        .zero_pages = (uint64_t)sent - (uint64_t)(sent * r->contents),
        .wire_bytes = (uint64_t)(sent * (r->contents * r->of->page_bytes +
                                            (1 - r->contents) * MARK_BYTES)),
        .kept_pages = (uint64_t)r->kept,
    };
}

static int forecast_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct run *r = arg;
    const double sent = sent_pages(r, plan);
    const int64_t from_ns = r->at_ns;
    const int64_t busy_ns = deadline_earlier(send_ns(r, sent), END_NS - from_ns);

    if (r->precopy.stats.rounds == MOST_ROUNDS)
        return err_set(e, ERR_GUEST, ELOOP, "no end within %d rounds", MOST_ROUNDS);
    r->kept = plan->keep_repeats ? r->left : 0;
    for (double ns = PRECOPY_POLL_NS; ns < (double)busy_ns; ns *= POLL_STEP) {
        const struct round_stats so_far = stats_of(r, sent * ns / (double)busy_ns);

        advance_to(r, from_ns + (int64_t)ns);
        precopy_poll(&r->precopy, &so_far);
    }
    advance_to(r, from_ns + busy_ns + DECIDE_ROUND_NS);
    *stats = stats_of(r, sent);
    r->contents = 1;
    return 0;
}

static bool forecast_peek(void *arg, uint64_t *dirty_pages)
{
    const struct run *r = arg;

    *dirty_pages = (uint64_t)dirty_within(r, r->at_ns - r->precopy.logged_ns);
    return true;
}

/* The guest is not calmer than it was while it was observed for this. */
static int forecast_clean(
    void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct run *r = arg;
    const int64_t from_ns = r->precopy.logged_ns;

    (void)e;
    advance_to(r, r->at_ns + r->of->observed->clean_ns);
    if (after == CLEAN_FIRST_SAMPLE)
        r->observed_from_ns = from_ns;

    const double dirty = dirty_within(r, r->at_ns - from_ns);

    /* What was kept is still there, and the guest writes to it again. */
    if (after == CLEAN_AFTER_ROUND)
        r->left = fmax(dirty, r->kept);
    else
        r->left = fmax(r->left, dirty_within(r, r->at_ns - r->observed_from_ns));
    *stats = (struct clean_stats){
        .dirty_pages = (uint64_t)dirty, .left_pages = (uint64_t)r->left, .cleared_ns = r->at_ns};
    return 0;
}

static int forecast_wait(void *arg, int64_t until_ns, struct err *e)
{
    (void)e;
    advance_to(arg, until_ns);
    return 0;
}

static int forecast_cap(void *arg, unsigned percent, struct err *e)
{
    struct run *r = arg;

    (void)percent, (void)e;
    r->speed *= r->precopy.stats.slowed.last_share;
    return 0;
}

static int forecast_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    (void)e;
    *cpu_ns = (uint64_t)((const struct run *)arg)->cpu_ns;
    return 0;
}

static void forecast_decided(void *arg, const struct precopy *p)
{
    (void)arg, (void)p;
}

static int64_t forecast_now(void *arg)
{
    return ((const struct run *)arg)->at_ns;
}

static const struct precopy_ops forecast_ops = {
    .send = forecast_send,
    .clean = forecast_clean,
    .peek = forecast_peek,
    .wait = forecast_wait,
    .cap = forecast_cap,
    .cpu = forecast_cpu,
    .decided = forecast_decided,
    .now = forecast_now,
};

/* ---- */

void forecast_run(const struct forecast_of *of, struct forecast *f)
{
    struct run r = {
        .of = of,
        .precopy =
            {
                .ops = &forecast_ops,
                .arg = &r,
                .limits = of->limits,
                .costs = of->costs,
                .stats = {.send_pages_per_s = of->send_pages_per_s,
                    .send_spread = of->send_spread,
                    .speed_given = true},
            },
        .speed = 1,
        .left = (double)of->pages,
        .contents = 1 - of->zero_share,
    };
    const struct precopy *p = &r.precopy;
    const struct prediction *now = &p->decision.now;
    struct err endless = ERR_INIT;

    precopy_run(&r.precopy, &endless);

    const bool pause = p->decision.action == ACT_SUSPEND;

    *f = (struct forecast){
        .last = p->decision,
        .met = pause && now->whole_ns <= of->limits.max_downtime_ns,
        .rounds = p->stats.rounds + pause,
        .bytes = p->stats.wire_bytes +
                 (pause ? (uint64_t)((double)now->pages * of->page_bytes) : 0),
        .time_ns = !pause                        ? r.at_ns
                   : now->whole_ns > FOR_EVER_NS ? INT64_MAX
                                                 : r.at_ns + now->whole_ns,
        .cap_percent = p->stats.slowed.steps ? p->stats.slowed.cap_percent : 0,
    };
    decision_words(&p->stats, &of->limits, &p->decision, f->words);
}
