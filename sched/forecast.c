#include "sched/forecast.h"

#include "base/deadline.h"

#include <math.h>

/* Where no limit is set on rounds, and each shortens the pause by a little. */
enum { MOST_ROUNDS = 1000 };

/* What a page costs on the wire that is only marked. */
#define MARK_BYTES 8.0
/* Of the pages of a round that are written to again: so many before their turn. */
#define BEFORE_THEIR_TURN 0.5

struct run {
    const struct forecast_of *of;
    struct stats seen;
    struct decision decision;
    double speed;    /* of the guest: 1 is unthrottled */
    double left;     /* pages of the next round */
    double contents; /* of a page of the next round: the share that is not a mark */
    int64_t at_ns;
};

static double dirty_within(const struct run *r, int64_t span_ns)
{
    const double span = (double)span_ns * r->speed;

    return fmin((double)r->of->pages,
        stats_dirty_within(r->of->observed, span < 1e18 ? (int64_t)span : INT64_MAX / 8));
}

static int64_t send_ns(const struct run *r, double pages)
{
    const double ns = pages * r->contents / r->of->send_pages_per_s * 1e9;

    return ns < (double)(INT64_MAX / 8) ? (int64_t)ns : INT64_MAX / 8;
}

/* How many of the round's pages are sent. */
static double sent_pages(const struct run *r)
{
    double sent = r->left;

    if (r->decision.keep_repeats)
        return 0;
    /* What is not sent makes the round shorter, and less is written to: twice is close enough. */
    for (int i = 0; i < 2; i++)
        sent = r->left - BEFORE_THEIR_TURN * fmin(r->left, dirty_within(r, send_ns(r, sent)));
    return sent;
}

static void decide_next(struct run *r)
{
    r->decision = decide(&r->seen, &r->of->limits, &r->of->costs);
    stats_note_stall(&r->seen, r->decision.stalled);
}

static void look(struct run *r, int64_t window_ns)
{
    for (int64_t at_ns = window_ns / 16; at_ns && at_ns < window_ns; at_ns *= 2)
        stats_add_peek(&r->seen, at_ns, (uint64_t)dirty_within(r, at_ns));
}

static void run_round(struct run *r)
{
    const double sent = sent_pages(r);
    const int64_t busy_ns = send_ns(r, sent) + DECIDE_ROUND_NS;
    const int64_t least_ns = r->decision.least_round_ns;
    const int64_t window_ns = busy_ns > least_ns ? busy_ns : least_ns;
    const double dirty = dirty_within(r, window_ns);
    const double wire = sent * (r->contents * r->of->page_bytes + (1 - r->contents) * MARK_BYTES);
    /* What was kept is still there, and the guest writes to it again. */
    const double kept = r->decision.keep_repeats ? r->left : 0;

    look(r, window_ns);
    r->at_ns += window_ns + r->of->observed->clean_ns;
    stats_add_round(&r->seen, &(struct stats_round){
                                  .elapsed_ns = r->at_ns,
                                  .window_ns = window_ns,
                                  .clean_ns = r->of->observed->clean_ns,
                                  .sent_pages = (uint64_t)sent,
                                  .wire_bytes = (uint64_t)wire,
                                  .dirty_pages = (uint64_t)dirty,
                                  .left_pages = (uint64_t)fmax(dirty, kept),
                                  .kept_pages = (uint64_t)kept,
                                  .cpu_percent = r->of->observed->last.cpu_percent * r->speed,
                              });
    r->left = fmax(dirty, kept);
    r->contents = 1;
}

/* It is not calmer than it was while it was watched for this. */
static void watch(struct run *r)
{
    const int64_t clean_ns = r->of->observed->clean_ns;
    const int64_t from_ns = r->at_ns;

    while (r->decision.action == ACT_OBSERVE) {
        const int64_t window_ns = r->decision.sample_ns + clean_ns;

        r->at_ns += window_ns;
        r->left = fmax(r->left, dirty_within(r, r->at_ns - from_ns));
        stats_add_sample(&r->seen, &(struct stats_sample){
                                       .elapsed_ns = r->at_ns,
                                       .window_ns = window_ns,
                                       .clean_ns = clean_ns,
                                       .dirty_pages = (uint64_t)dirty_within(r, window_ns),
                                       .left_pages = (uint64_t)r->left,
                                   });
        decide_next(r);
    }
}

static void slow_down(struct run *r)
{
    stats_slow_down(&r->seen, r->decision.cap_percent);
    r->speed *= r->seen.slowed.last_share;
}

static bool goes_on(const struct run *r)
{
    return r->decision.action == ACT_ROUND || r->decision.action == ACT_THROTTLE;
}

void forecast_run(const struct forecast_of *of, struct forecast *f)
{
    struct run r = {
        .of = of,
        .seen = {.send_pages_per_s = of->send_pages_per_s, .send_spread = of->send_spread},
        .decision = {.action = ACT_ROUND},
        .speed = 1,
        .left = (double)of->pages,
        .contents = 1 - of->zero_share,
    };

    while (goes_on(&r) && r.seen.rounds < MOST_ROUNDS) {
        run_round(&r);
        decide_next(&r);
        watch(&r);
        if (r.decision.action == ACT_THROTTLE)
            slow_down(&r);
    }

    const struct prediction *now = &r.decision.now;
    const bool pause = r.decision.action == ACT_SUSPEND;

    *f = (struct forecast){
        .last = r.decision,
        .met = pause && now->whole_ns <= of->limits.max_downtime_ns,
        .rounds = r.seen.rounds + pause,
        .bytes = r.seen.wire_bytes + (pause ? (uint64_t)((double)now->pages * of->page_bytes) : 0),
        .time_ns = !pause                       ? r.at_ns
                   : now->whole_ns == INT64_MAX ? INT64_MAX
                                                : r.at_ns + now->whole_ns,
        .cap_percent = r.seen.slowed.steps ? r.seen.slowed.cap_percent : 0,
    };
    decision_words(&r.seen, &of->limits, &r.decision, f->words);
}
