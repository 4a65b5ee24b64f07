/* SPDX-License-Identifier: MIT */
#include "sched/decide.h"

#include "base/deadline.h"

#include <math.h>
#include <string.h>

/* A round that shortens the pages' part of the pause by less is not worth its cost... */
#define LEAST_GAIN 0.01
/* ...nor is one of which more than this would be needed to reach the goal if all left the same
 * share of what the one before left (in truth they leave more and more). What the second round
 * leaves is not known well enough for that. */
#define MOST_AHEAD 12
/* After so many rounds in a row that failed to shorten it, whatever was predicted, the next
 * prediction is not believed either. */
#define MOST_VAIN 6
/* Within the limit another round is made all the same where it leaves less than this share and
 * takes less than that of the time so far. */
#define CHEAP_LEFT_SHARE 0.5
#define CHEAP_TIME_SHARE 0.1
/* Pages are a small part of the pause when they take less than this share of the rest. */
#define FLOOR_SHARE 0.125
/* How far the parts that are not pages may differ from their estimate, as a share. */
#define FIXED_SPREAD 0.2
#define LEAST_SPREAD 0.05
#define MOST_SPREAD  0.6
/* A guest that does not converge is observed for at least this long, and for this share of the time
 * so far, because guests change over seconds; but not longer than this in all. */
#define OBSERVE_LEAST_NS (1500 * NS_PER_MS)
#define OBSERVE_SHARE    0.5
#define OBSERVE_MOST_NS  (10 * NS_PER_S)
/* Where that leaves no more to send, it costs nothing but time. */
#define OBSERVE_FULL_NS (5 * NS_PER_S)
/* How often a sample is taken. It is a CLEAN, for which the guest is paused: 2 % of its time at
 * most. */
#define SAMPLE_LEAST_NS    (100 * NS_PER_MS)
#define SAMPLE_COST_FACTOR 50
/* It is calm when a round would leave less than this share of what was left before. */
#define CALM_SHARE 0.8
/* It ends early when this much more is left. */
#define MOST_GROWTH 1.0
/* A working set that grows by less than this share meanwhile is full. */
#define FULL_GROWTH 0.15
/* A guest that became calm this often, but never for long enough, never will. */
#define MOST_OBSERVATIONS 3
/* As good as the least so far. */
#define MINIMUM_SLACK 0.05

/* A guest is slowed down so far that a round would leave this share of what fits into the pause...
 */
#define SLOWED_GOAL 0.8
/* ...and a round that leaves more than this share of what the one before left gained too little. */
#define LEAST_SLOW_GAIN 0.85
/* No step goes below this share of its speed, and one above that share is not worth taking. */
#define LEAST_STEP_SHARE 0.25
#define MOST_STEP_SHARE  0.8
/* In all not below a tenth of what it used, nor below what a scheduler can deal out evenly. */
#define LEAST_SHARE     0.1
#define LEAST_CAP       5
#define MOST_UNANSWERED 2
/* While it suspends it runs at full speed again and may dirty more pages. These may take up to this
 * share of the pause's room for pages; beyond that, slowing down does not help. */
#define MOST_LATE_SHARE 0.75
/* The scheduler needs some turns to make it slower, and that has to show. */
#define SLOWED_LEAST_NS (300 * NS_PER_MS)

static int64_t clamp_ns(double ns)
{
    return ns < (double)(INT64_MAX / 8) ? (int64_t)ns : INT64_MAX;
}

static int64_t add(int64_t a_ns, int64_t b_ns)
{
    int64_t sum_ns;

    return __builtin_add_overflow(a_ns, b_ns, &sum_ns) ? INT64_MAX : sum_ns;
}

/* Nanoseconds that pages take at that speed; INT64_MAX when that is unknown or absurd. */
static int64_t pages_ns(double pages, double per_s)
{
    if (pages <= 0)
        return 0;
    return per_s > 0 ? clamp_ns(pages / per_s * 1e9) : INT64_MAX;
}

int64_t prediction_last_round_ns(const struct prediction *p)
{
    return add(p->clean_ns, p->pages_ns);
}

static int64_t fixed_ns(const struct prediction *p)
{
    return add(
        add(add(p->suspend_ns, p->clean_ns), add(p->state_ns, p->receiver_ns)), p->network_ns);
}

static int64_t share_ns(int64_t ns, double share)
{
    return clamp_ns((double)ns * share);
}

struct decide_costs decide_costs_of(const struct likely *suspend, int64_t state_ns,
    const struct likely *receiver, int64_t network_ns)
{
    const int64_t rest_ns = add(state_ns, network_ns);

    return (struct decide_costs){
        .suspend_ns = suspend->ns,
        .state_ns = state_ns,
        .receiver_ns = receiver->ns,
        .network_ns = network_ns,
        .low_ns = add(add(suspend->low_ns, receiver->low_ns), share_ns(rest_ns, 1 - FIXED_SPREAD)),
        .high_ns = add(
            add(suspend->high_ns, receiver->high_ns), share_ns(rest_ns, 1 + FIXED_SPREAD)),
    };
}

/* The parts that are not pages, at least and at most. */
static void fixed_range(
    const struct prediction *p, const struct decide_costs *c, double *low, double *high)
{
    const double fixed = (double)fixed_ns(p), clean = (double)p->clean_ns;

    *low = fixed * (1 - FIXED_SPREAD);
    *high = fixed * (1 + FIXED_SPREAD);
    if (!c->high_ns)
        return;
    *low = (double)c->low_ns + clean * (1 - FIXED_SPREAD);
    *high = (double)c->high_ns + clean * (1 + FIXED_SPREAD);
}

/* A guest that is asked to suspend is no longer slowed down: meanwhile it writes as much as it
 * would in a longer span while it is. */
static int64_t late_span_ns(const struct stats *s, const struct decide_costs *c)
{
    return clamp_ns((double)c->suspend_ns / stats_slowed_share(s));
}

/* Of the pages that the guest writes to: the share that is not left anyway, because it is kept. */
static double new_share(const struct stats_round *r)
{
    if (!r->kept_pages || !r->dirty_pages || r->left_pages < r->kept_pages)
        return 1;
    return fmin(1, (double)(r->left_pages - r->kept_pages) / (double)r->dirty_pages);
}

/* Pages that become dirty while the guest is being suspended, beyond those left already. */
static double late_pages(const struct stats *s, const struct decide_costs *c, int64_t window_ns)
{
    const int64_t span_ns = late_span_ns(s, c);

    if (s->observing)
        return stats_sample_share(s, s->sample_new_pages, span_ns);

    const double dirty = stats_dirty_within(s, add(window_ns, span_ns)) -
                         stats_dirty_within(s, window_ns);

    return fmax(0, dirty) * new_share(&s->last);
}

/* How many pages it dirties in a round: while it is observed, at the speed of the last sample. */
static double round_dirties(const struct stats *s, int64_t round_ns)
{
    return s->observing ? stats_sample_within(s, round_ns) : stats_dirty_within(s, round_ns);
}

/* The pause with that many pages left after a window of that length. */
static struct prediction predict(
    const struct stats *s, const struct decide_costs *c, double left, int64_t window_ns)
{
    const double late = late_pages(s, c, window_ns);
    const double pages = left + late;
    const double spread = fmin(MOST_SPREAD, fmax(LEAST_SPREAD, s->send_spread));
    struct prediction p = {
        .pages = (uint64_t)fmin(pages, 1e18),
        .suspend_ns = c->suspend_ns,
        .clean_ns = s->clean_ns,
        .pages_ns = pages_ns(pages, stats_left_per_s(s)),
        .state_ns = c->state_ns,
        .receiver_ns = c->receiver_ns,
        .network_ns = c->network_ns,
    };
    const double least = (double)pages_ns(left, stats_left_per_s(s) * (1 + spread));
    const double most = (double)pages_ns(pages + late, stats_left_per_s(s) * (1 - spread));
    double fixed_low, fixed_high;

    fixed_range(&p, c, &fixed_low, &fixed_high);
    p.whole_ns = add(fixed_ns(&p), p.pages_ns);
    p.low_ns = clamp_ns(fixed_low + least);
    p.high_ns = clamp_ns(fixed_high + most);
    p.careful_ns = clamp_ns((double)fixed_ns(&p) * (1 + FIXED_SPREAD) + most);
    return p;
}

static int64_t next_round_ns(const struct stats *s)
{
    const int64_t copy_ns = pages_ns(stats_next_sent(s), stats_left_per_s(s));

    return add(copy_ns, add(s->clean_ns, DECIDE_ROUND_NS));
}

/* Which limit another round would break, or REASON_SHORTER. */
static enum reason find_limit(
    const struct stats *s, const struct decide_limits *l, const struct prediction *next)
{
    const double round_pages = (double)s->last.left_pages;
    const double pages = round_pages + (double)next->pages;
    const int64_t end_ns = add(add(s->last.elapsed_ns, next_round_ns(s)), next->whole_ns);

    if (l->max_rounds && s->rounds >= l->max_rounds)
        return REASON_ROUNDS;
    if (l->max_time_ns && end_ns > l->max_time_ns)
        return REASON_TIME;
    if (l->max_bytes &&
        (double)s->wire_bytes + pages * stats_bytes_per_page(s) > (double)l->max_bytes)
        return REASON_BYTES;
    return REASON_SHORTER;
}

static struct decision stop(struct decision d, const struct decide_limits *l, enum reason why)
{
    d.reason = why;
    d.action = l->on_stall == ON_STALL_ABORT ? ACT_GIVE_UP : ACT_SUSPEND;
    return d;
}

/* ---- slowing the guest down ---- */

/* How many pages fit into the pause. */
static double room_pages(
    const struct stats *s, const struct decide_limits *l, const struct decide_costs *c)
{
    const struct prediction nothing = predict(s, c, 0, 0);
    const int64_t left_ns = l->max_downtime_ns - fixed_ns(&nothing);
    const double room = left_ns > 0 ? (double)left_ns / 1e9 * stats_left_per_s(s) : 0;
    const double late = stats_dirty_within(s, late_span_ns(s, c));

    return room - fmin(late, MOST_LATE_SHARE * room);
}

/* The share of its present speed at which the guest dirties fewer than that many pages while these
 * are sent: rounds then shorten the pause down to them. */
static double share_for(const struct stats *s, double room)
{
    const double round_ns = room / stats_left_per_s(s) * 1e9;
    const double share = (double)stats_span_of(s, SLOWED_GOAL * room) / round_ns;

    return fmin(MOST_STEP_SHARE, fmax(LEAST_STEP_SHARE, share));
}

/* What to cap it at next; 0 when that would not help. */
static unsigned next_cap(
    const struct stats *s, const struct decide_limits *l, const struct decide_costs *c)
{
    const struct stats_slowed *w = &s->slowed;
    const double used = s->last.cpu_percent, room = room_pages(s, l, c);
    const double whole = w->steps ? w->whole_percent : used;
    const double least = ceil(fmax(LEAST_CAP, LEAST_SHARE * whole));
    const double most = MOST_STEP_SHARE * (w->steps ? fmin(used, w->cap_percent) : used);

    if (room < 1 || w->unanswered >= MOST_UNANSWERED || least > most || most > UINT16_MAX)
        return 0;
    return (unsigned)fmax(least, floor(used * share_for(s, room)));
}

static struct decision slow_down(const struct stats *s, const struct decide_limits *l,
    const struct decide_costs *c, struct decision d)
{
    const unsigned cap = next_cap(s, l, c);
    struct stats slowed = *s;

    if (!cap)
        return stop(d, l, REASON_SLOWEST);
    stats_slow_down(&slowed, cap);
    d.next = predict(&slowed, c, stats_dirty_within(&slowed, next_round_ns(s)), next_round_ns(s));
    d.action = ACT_THROTTLE;
    d.reason = REASON_SLOWER;
    d.cap_percent = cap;
    d.keep_repeats = false;
    d.least_round_ns = SLOWED_LEAST_NS;
    return d;
}

/* A guest does not stay slowed down for rounds that gain little, or less than the last one was
 * predicted to. */
static bool worth_another_slow_round(
    const struct stats *s, const struct decision *d, const struct decide_limits *l)
{
    if (s->slowed.rounds > 1 &&
        (double)s->last.left_pages > LEAST_SLOW_GAIN * (double)s->before_left_pages)
        return false;
    return d->next.whole_ns <= l->max_downtime_ns ||
           (double)d->next.pages_ns <= SLOWED_GOAL * (double)d->now.pages_ns;
}

/* ---- observing a guest that rounds do not catch up with ---- */

static int64_t sample_ns(const struct stats *s)
{
    return clamp_ns(fmax((double)SAMPLE_LEAST_NS, SAMPLE_COST_FACTOR * (double)s->clean_ns));
}

/* How long, if it begins at from_ns and the guest was observed for observed_ns before. */
static int64_t observe_ns(int64_t least_ns, int64_t from_ns, int64_t observed_ns)
{
    const double span_ns = fmax((double)least_ns, OBSERVE_SHARE * (double)from_ns);

    return clamp_ns(fmin((double)(OBSERVE_MOST_NS - observed_ns), span_ns));
}

/* What is left may double meanwhile and has to be sent afterwards: no limit may break for that. */
static bool limits_let_observe(
    const struct stats *s, const struct decide_limits *l, const struct decision *d, int64_t span_ns)
{
    const int64_t after_ns = add(next_round_ns(s), d->now.whole_ns);
    const double bytes = 4 * (double)s->last.left_pages * stats_bytes_per_page(s);

    if (l->max_time_ns &&
        add(add(s->last.elapsed_ns, span_ns), add(after_ns, after_ns)) > l->max_time_ns)
        return false;
    return !l->max_bytes || (double)s->wire_bytes + bytes <= (double)l->max_bytes;
}

/* Whether to observe the guest for a while, now that rounds have just ceased to help. Where the
 * working set is full that costs nothing. Where it is not, more is left afterwards, but the rounds
 * that follow make up for it. */
static bool worth_observing(
    const struct stats *s, const struct decide_limits *l, const struct decision *d)
{
    const int64_t span_ns = observe_ns(OBSERVE_LEAST_NS, s->last.elapsed_ns, s->observed_ns);

    return !s->stalled_rounds && s->observations < MOST_OBSERVATIONS && s->send_pages_per_s > 0 &&
           span_ns >= sample_ns(s) && limits_let_observe(s, l, d, span_ns) &&
           stats_dirty_within(s, span_ns) <= (1 + MOST_GROWTH) * (double)s->last.left_pages;
}

static bool grew_by_less(const struct stats *s, double share)
{
    return (double)s->last.left_pages <= (1 + share) * (double)s->observed_from_pages;
}

/* Going on as in the last sample, it would write to little else within that span. */
static bool is_full(const struct stats *s, int64_t span_ns)
{
    return s->sample.window_ns > 0 && stats_sample_share(s, s->sample_new_pages, span_ns) <=
                                          FULL_GROWTH * (double)s->last.left_pages;
}

/* It is being observed and not calm yet. */
static struct decision go_on_observing(
    const struct stats *s, const struct decide_limits *l, struct decision d)
{
    const int64_t spent_ns = s->last.elapsed_ns - s->observed_from_ns;
    const int64_t least_ns = is_full(s, OBSERVE_FULL_NS) ? OBSERVE_FULL_NS : OBSERVE_LEAST_NS;
    const int64_t whole_ns = observe_ns(least_ns, s->observed_from_ns, s->observed_ns - spent_ns);

    d.sample_ns = sample_ns(s);
    if (spent_ns + d.sample_ns <= whole_ns && limits_let_observe(s, l, &d, d.sample_ns) &&
        grew_by_less(s, MOST_GROWTH)) {
        d.action = ACT_OBSERVE;
        d.observe_left_ns = whole_ns - spent_ns;
        return d;
    }
    d.keep_repeats = grew_by_less(s, FULL_GROWTH);
    d.stall_left++; /* observing used up none of its rounds */
    return d;
}

/* As little is left as ever was. (A guest that writes all over its memory leaves more after each
 * longer sample.) */
static bool at_minimum(const struct stats *s)
{
    return (double)s->last.left_pages <= (1 + MINIMUM_SLACK) * (double)s->least_left_pages;
}

/* How many more rounds. Where more is left than before the guest was observed, they have to make up
 * for that, and each costs more. */
static unsigned patience_left(const struct stats *s)
{
    const bool grew = s->observations && !grew_by_less(s, FULL_GROWTH);
    const unsigned patience = grew ? DECIDE_PATIENCE - 1 : DECIDE_PATIENCE;

    return s->stalled_rounds < patience ? patience - s->stalled_rounds : 0;
}

/* Rounds do not help. */
static struct decision handle_stall(const struct stats *s, const struct decide_limits *l,
    const struct decide_costs *c, struct decision d)
{
    const bool throttle = l->on_stall == ON_STALL_THROTTLE;

    d.stalled = true;
    /* It had its chances before the first step. */
    if (throttle && s->slowed.steps)
        return slow_down(s, l, c, d);
    d.stall_left = patience_left(s);
    d.reason = REASON_PATIENCE;
    if (s->observing)
        return go_on_observing(s, l, d);
    if (!d.stall_left || (d.stall_left == 1 && at_minimum(s)))
        return throttle ? slow_down(s, l, c, d) : stop(d, l, REASON_MINIMUM);
    if (worth_observing(s, l, &d)) {
        d.action = ACT_OBSERVE;
        d.sample_ns = sample_ns(s);
        d.observe_left_ns = observe_ns(OBSERVE_LEAST_NS, s->last.elapsed_ns, s->observed_ns);
    }
    return d;
}

/* How long the pages may take in the end: what the limit leaves for them, or, if that is nothing, a
 * small part of the rest. */
static double goal_ns(const struct decide_limits *l, const struct prediction *now)
{
    const double fixed = (double)fixed_ns(now);

    return fmax((double)l->max_downtime_ns - fixed, FLOOR_SHARE * fixed);
}

/* Whether MOST_AHEAD such rounds lead to the goal. */
static bool leads_to_goal(const struct decide_limits *l, const struct decision *d)
{
    const double now_ns = (double)d->now.pages_ns, goal = goal_ns(l, &d->now);

    return now_ns <= goal ||
           (double)d->next.pages_ns <= now_ns * pow(goal / now_ns, 1.0 / MOST_AHEAD);
}

static bool is_shorter(
    const struct stats *s, const struct decide_limits *l, const struct decision *d)
{
    const double now_ns = (double)d->now.pages_ns, next_ns = (double)d->next.pages_ns;

    if (s->observing)
        return (double)d->next.pages <= CALM_SHARE * (double)s->observed_from_pages;
    return next_ns <= (1 - LEAST_GAIN) * now_ns && s->vain_rounds < MOST_VAIN &&
           (s->rounds < 2 || leads_to_goal(l, d));
}

/* Pages are no small part of the pause, and a short round gets rid of most. */
static bool is_cheap(const struct stats *s, const struct decision *d, int64_t round_ns)
{
    return !s->observing && !s->vain_rounds && !s->stalled_rounds && !s->slowed.steps &&
           (double)d->now.pages_ns > FLOOR_SHARE * (double)fixed_ns(&d->now) &&
           (double)d->next.pages_ns < CHEAP_LEFT_SHARE * (double)d->now.pages_ns &&
           (double)round_ns < CHEAP_TIME_SHARE * (double)s->last.elapsed_ns;
}

struct decision decide(
    const struct stats *s, const struct decide_limits *l, const struct decide_costs *c)
{
    const int64_t round_ns = next_round_ns(s);
    struct decision d = {
        .action = ACT_ROUND,
        .now = predict(s, c, (double)s->last.left_pages, s->last.window_ns),
        .next = predict(s, c, round_dirties(s, round_ns), round_ns),
    };

    const bool shorter = is_shorter(s, l, &d);
    const bool within = d.now.whole_ns <= l->max_downtime_ns;
    const enum reason limit = find_limit(s, l, &d.next);

    /* Close to the limit the pause may turn out longer: better shorten it further, if possible. */
    const bool sure = d.now.careful_ns <= l->max_downtime_ns && !is_cheap(s, &d, round_ns);

    if (within && (sure || !shorter || limit != REASON_SHORTER)) {
        d.action = ACT_SUSPEND;
        d.reason = REASON_DOWNTIME;
        return d;
    }
    if (!within && (double)d.now.pages_ns < FLOOR_SHARE * (double)fixed_ns(&d.now))
        return stop(d, l, REASON_FLOOR);
    if (limit != REASON_SHORTER)
        return stop(d, l, limit);
    /* Out of patience: a round must reach the goal, not only get closer. */
    if (!shorter || (!s->observing && s->stalled_rounds && !patience_left(s) &&
                        d.next.whole_ns > l->max_downtime_ns))
        return handle_stall(s, l, c, d);
    /* Rounds help, but not enough: slow it down further, if possible. */
    if (s->slowed.steps && !worth_another_slow_round(s, &d, l) && next_cap(s, l, c))
        return slow_down(s, l, c, d);
    d.reason = REASON_SHORTER;
    return d;
}

/* ---- names ---- */

const char *action_name(enum action a)
{
    static const char *const names[] = {"round", "watch", "throttle", "suspend", "give-up"};

    return names[a];
}

const char *reason_name(enum reason r)
{
    static const char *const names[] = {"shorter", "watch", "slower", "downtime", "minimum",
        "slowest", "floor", "rounds", "time", "bytes"};

    return names[r];
}

static const char *const on_stall_names[] = {"suspend", "abort", "throttle"};

const char *on_stall_name(enum on_stall o)
{
    return on_stall_names[o];
}

bool on_stall_parse(const char *text, enum on_stall *o)
{
    for (unsigned i = 0; i < sizeof(on_stall_names) / sizeof(on_stall_names[0]); i++)
        if (!strcmp(text, on_stall_names[i])) {
            *o = (enum on_stall)i;
            return true;
        }
    return false;
}
