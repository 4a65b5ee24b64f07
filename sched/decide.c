#include "sched/decide.h"

#include "base/deadline.h"

#include <math.h>
#include <string.h>

/* A round that shortens what the pages of the pause take by less is not worth what it costs... */
#define LEAST_GAIN 0.01
/* ...nor is one of which more would be needed to get to the goal, if all left the same share of
 * what the one before left: they leave more and more. (What the second round leaves is not known
 * well enough for that.) */
#define MOST_AHEAD 12
/* So many rounds in a row that did not shorten it, whatever was said of them, and the next one is
 * not believed either. */
#define MOST_VAIN 6
/* Pages are a small part of the pause when they take less than this share of the rest. */
#define FLOOR_SHARE 0.125
/* How far the parts that are not pages may lie from what is thought, as a share. */
#define FIXED_SPREAD 0.2
#define LEAST_SPREAD 0.05
#define MOST_SPREAD  0.6
/* A guest that does not converge is watched for at least so long, and so much of all that went
 * before, because what changes in it changes over seconds; but in all not longer than that. */
#define WATCH_LEAST_NS (1500 * NS_PER_MS)
#define WATCH_SHARE    1.0
#define WATCH_MOST_NS  (10 * NS_PER_S)
/* Where no more is left by that, it costs nothing but time. */
#define WATCH_FULL_NS (5 * NS_PER_S)
/* It is looked at so often; and a CLEAN, for which it stands still, takes at most 2 % of its time.
 */
#define LOOK_LEAST_NS    (100 * NS_PER_MS)
#define LOOK_COST_FACTOR 50
/* It is calm when a round would leave less than this share of what was left before the watch. */
#define CALM_SHARE 0.8
/* Not for longer than until so much more is left. */
#define MOST_GROWTH 1.0
/* A working set is full that grows by less than this share meanwhile. */
#define FULL_GROWTH 0.15
/* A guest that was calm so often, and not for long enough, will not be. */
#define MOST_WATCHES 3
/* As good as the least that was seen. */
#define MINIMUM_SLACK 0.05

/* A guest is slowed down so far that a round would leave so much of what the pause may take... */
#define SLOWED_GOAL 0.8
/* ...and a round that leaves more than that of the one before gained too little. */
#define LEAST_SLOW_GAIN 0.85
/* ...but by no step to less than this share of its speed, and by none that is not worth it. */
#define LEAST_STEP_SHARE 0.25
#define MOST_STEP_SHARE  0.8
/* In all to a tenth of what it used, or the least that a scheduler can deal out evenly. */
#define LEAST_SHARE     0.1
#define LEAST_CAP       5
#define MOST_UNANSWERED 2
/* While it suspends it runs at full speed again, and may write to pages that are not dirty yet.
 * They may take that much of the pause's room for pages: for more, slowing down is not enough. */
#define MOST_LATE_SHARE 0.75
/* The scheduler needs some turns to make it slower, and it has to be seen. */
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
    return add(add(p->suspend_ns, p->clean_ns), add(p->state_ns, p->receiver_ns));
}

/* A guest that is asked to suspend is not slowed down any more: in that time it writes as much as
 * it does in a longer one while it is. */
static int64_t late_span_ns(const struct seen *s, const struct decide_costs *c)
{
    return clamp_ns((double)c->suspend_ns / seen_slowed_share(s));
}

/* Of what the guest writes to: the share that is not kept, and so left, anyway. */
static double new_share(const struct seen_round *r)
{
    if (!r->kept_pages || !r->dirty_pages || r->left_pages < r->kept_pages)
        return 1;
    return fmin(1, (double)(r->left_pages - r->kept_pages) / (double)r->dirty_pages);
}

/* The guest goes on writing while it is being suspended: pages that are not left already. */
static double late_pages(const struct seen *s, const struct decide_costs *c, int64_t window_ns)
{
    const int64_t span_ns = late_span_ns(s, c);

    if (s->watching)
        return seen_look_share(s, s->look_new_pages, span_ns);

    const double dirty = seen_dirty_within(s, add(window_ns, span_ns)) -
                         seen_dirty_within(s, window_ns);

    return fmax(0, dirty) * new_share(&s->last);
}

/* To so many pages it writes in a round: while it is watched, at the speed of the last look. */
static double round_dirties(const struct seen *s, int64_t round_ns)
{
    return s->watching ? seen_look_within(s, round_ns) : seen_dirty_within(s, round_ns);
}

/* The pause with so many pages left after a window of that length. */
static struct prediction predict(
    const struct seen *s, const struct decide_costs *c, double left, int64_t window_ns)
{
    const double late = late_pages(s, c, window_ns);
    const double pages = left + late;
    const double spread = fmin(MOST_SPREAD, fmax(LEAST_SPREAD, s->send_spread));
    struct prediction p = {
        .pages = (uint64_t)fmin(pages, 1e18),
        .suspend_ns = c->suspend_ns,
        .clean_ns = s->clean_ns,
        .pages_ns = pages_ns(pages, s->send_pages_per_s),
        .state_ns = c->state_ns,
        .receiver_ns = c->receiver_ns,
    };
    const double fixed = (double)fixed_ns(&p);

    p.whole_ns = add(fixed_ns(&p), p.pages_ns);
    p.low_ns = clamp_ns(
        fixed * (1 - FIXED_SPREAD) + (double)pages_ns(left, s->send_pages_per_s * (1 + spread)));
    p.high_ns = clamp_ns(fixed * (1 + FIXED_SPREAD) +
                         (double)pages_ns(pages + late, s->send_pages_per_s * (1 - spread)));
    return p;
}

static int64_t next_round_ns(const struct seen *s)
{
    const int64_t copy_ns = pages_ns(seen_next_sent(s), s->send_pages_per_s);

    return add(copy_ns, add(s->clean_ns, DECIDE_ROUND_NS));
}

/* Which limit another round would break, or REASON_SHORTER. */
static enum reason find_limit(
    const struct seen *s, const struct decide_limits *l, const struct prediction *next)
{
    const double round_pages = (double)s->last.left_pages;
    const double pages = round_pages + (double)next->pages;
    const int64_t end_ns = add(add(s->last.elapsed_ns, next_round_ns(s)), next->whole_ns);

    if (l->max_rounds && s->rounds >= l->max_rounds)
        return REASON_ROUNDS;
    if (l->max_time_ns && end_ns > l->max_time_ns)
        return REASON_TIME;
    if (l->max_bytes &&
        (double)s->wire_bytes + pages * seen_bytes_per_page(s) > (double)l->max_bytes)
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

/* How many pages the pause has room for. */
static double room_pages(
    const struct seen *s, const struct decide_limits *l, const struct decide_costs *c)
{
    const struct prediction nothing = predict(s, c, 0, 0);
    const int64_t left_ns = l->max_downtime_ns - fixed_ns(&nothing);
    const double room = left_ns > 0 ? (double)left_ns / 1e9 * s->send_pages_per_s : 0;
    const double late = seen_dirty_within(s, late_span_ns(s, c));

    return room - fmin(late, MOST_LATE_SHARE * room);
}

/* The share of its present speed at which the guest, while so many pages are sent, writes to fewer:
 * rounds then shorten the pause down to that. */
static double share_for(const struct seen *s, double room)
{
    const double round_ns = room / s->send_pages_per_s * 1e9;
    const double share = (double)seen_span_of(s, SLOWED_GOAL * room) / round_ns;

    return fmin(MOST_STEP_SHARE, fmax(LEAST_STEP_SHARE, share));
}

/* What to cap it at next; 0 when that would not help. */
static unsigned next_cap(
    const struct seen *s, const struct decide_limits *l, const struct decide_costs *c)
{
    const struct seen_slowed *w = &s->slowed;
    const double used = s->last.cpu_percent, room = room_pages(s, l, c);
    const double whole = w->steps ? w->whole_percent : used;
    const double least = ceil(fmax(LEAST_CAP, LEAST_SHARE * whole));
    const double most = MOST_STEP_SHARE * (w->steps ? fmin(used, w->cap_percent) : used);

    if (room < 1 || w->unanswered >= MOST_UNANSWERED || least > most || most > UINT16_MAX)
        return 0;
    return (unsigned)fmax(least, floor(used * share_for(s, room)));
}

static struct decision slow_down(const struct seen *s, const struct decide_limits *l,
    const struct decide_costs *c, struct decision d)
{
    const unsigned cap = next_cap(s, l, c);
    struct seen slowed = *s;

    if (!cap)
        return stop(d, l, REASON_SLOWEST);
    seen_slow_down(&slowed, cap);
    d.next = predict(&slowed, c, seen_dirty_within(&slowed, next_round_ns(s)), next_round_ns(s));
    d.action = ACT_THROTTLE;
    d.reason = REASON_SLOWER;
    d.cap_percent = cap;
    d.leave_repeats = false;
    d.least_round_ns = SLOWED_LEAST_NS;
    return d;
}

/* A guest that is slowed down is not kept so for rounds that gain little, or less than was thought
 * of the last one. */
static bool worth_another_slow_round(
    const struct seen *s, const struct decision *d, const struct decide_limits *l)
{
    if (s->slowed.rounds > 1 &&
        (double)s->last.left_pages > LEAST_SLOW_GAIN * (double)s->before_left_pages)
        return false;
    return d->next.whole_ns <= l->max_downtime_ns ||
           (double)d->next.pages_ns <= SLOWED_GOAL * (double)d->now.pages_ns;
}

/* ---- watching a guest that rounds do not catch up with ---- */

static int64_t look_ns(const struct seen *s)
{
    return clamp_ns(fmax((double)LOOK_LEAST_NS, LOOK_COST_FACTOR * (double)s->clean_ns));
}

/* How long, when it begins then and the guest was watched for so long before. */
static int64_t watch_ns(int64_t least_ns, int64_t from_ns, int64_t watched_ns)
{
    const double span_ns = fmax((double)least_ns, WATCH_SHARE * (double)from_ns);

    return clamp_ns(fmin((double)(WATCH_MOST_NS - watched_ns), span_ns));
}

/* What is left may double meanwhile, and has to be sent afterwards: not at the price of a limit. */
static bool limits_let_watch(
    const struct seen *s, const struct decide_limits *l, const struct decision *d, int64_t span_ns)
{
    const int64_t after_ns = add(next_round_ns(s), d->now.whole_ns);
    const double bytes = 4 * (double)s->last.left_pages * seen_bytes_per_page(s);

    if (l->max_time_ns &&
        add(add(s->last.elapsed_ns, span_ns), add(after_ns, after_ns)) > l->max_time_ns)
        return false;
    return !l->max_bytes || (double)s->wire_bytes + bytes <= (double)l->max_bytes;
}

/* Whether to watch the guest for a while, when rounds have just ceased to help. Where the working
 * set is full that costs nothing. Where it is not, more is left afterwards, but the rounds that
 * follow make up for it. */
static bool worth_watching(
    const struct seen *s, const struct decide_limits *l, const struct decision *d)
{
    const int64_t span_ns = watch_ns(WATCH_LEAST_NS, s->last.elapsed_ns, s->watched_ns);

    return !s->stalled_rounds && s->watches < MOST_WATCHES && s->send_pages_per_s > 0 &&
           span_ns >= look_ns(s) && limits_let_watch(s, l, d, span_ns) &&
           seen_dirty_within(s, span_ns) <= (1 + MOST_GROWTH) * (double)s->last.left_pages;
}

static bool grew_by_less(const struct seen *s, double share)
{
    return (double)s->last.left_pages <= (1 + share) * (double)s->watch_from_pages;
}

/* If it goes on as in the last look, it will have written to little else after that span. */
static bool is_full(const struct seen *s, int64_t span_ns)
{
    return s->look.window_ns > 0 && seen_look_share(s, s->look_new_pages, span_ns) <=
                                        FULL_GROWTH * (double)s->last.left_pages;
}

/* It is watched, and not calm yet. */
static struct decision go_on_watching(
    const struct seen *s, const struct decide_limits *l, struct decision d)
{
    const int64_t spent_ns = s->last.elapsed_ns - s->watch_from_ns;
    const int64_t least_ns = is_full(s, WATCH_FULL_NS) ? WATCH_FULL_NS : WATCH_LEAST_NS;
    const int64_t whole_ns = watch_ns(least_ns, s->watch_from_ns, s->watched_ns - spent_ns);

    d.look_ns = look_ns(s);
    if (spent_ns + d.look_ns <= whole_ns && limits_let_watch(s, l, &d, d.look_ns) &&
        grew_by_less(s, MOST_GROWTH)) {
        d.action = ACT_WATCH;
        return d;
    }
    d.leave_repeats = grew_by_less(s, FULL_GROWTH);
    d.stall_left++; /* the watch took none of its rounds */
    return d;
}

/* What is left is as little as it has been: of a guest that writes all over its memory more is left
 * after each longer look. */
static bool at_minimum(const struct seen *s)
{
    return (double)s->last.left_pages <= (1 + MINIMUM_SLACK) * (double)s->least_left_pages;
}

/* How many more rounds. Where more is left than before the watch, they have it to make up for, and
 * each costs more than one did. */
static unsigned patience_left(const struct seen *s)
{
    const bool grew = s->watches && !grew_by_less(s, FULL_GROWTH);
    const unsigned patience = grew ? DECIDE_PATIENCE - 1 : DECIDE_PATIENCE;

    return s->stalled_rounds < patience ? patience - s->stalled_rounds : 0;
}

/* Rounds do not help. */
static struct decision handle_stall(const struct seen *s, const struct decide_limits *l,
    const struct decide_costs *c, struct decision d)
{
    const bool throttle = l->on_stall == ON_STALL_THROTTLE;

    d.stalled = true;
    /* It was looked at often enough before the first step. */
    if (throttle && s->slowed.steps)
        return slow_down(s, l, c, d);
    d.stall_left = patience_left(s);
    d.reason = REASON_WATCH;
    if (s->watching)
        return go_on_watching(s, l, d);
    if (!d.stall_left || (d.stall_left == 1 && at_minimum(s)))
        return throttle ? slow_down(s, l, c, d) : stop(d, l, REASON_MINIMUM);
    if (worth_watching(s, l, &d)) {
        d.action = ACT_WATCH;
        d.look_ns = look_ns(s);
    }
    return d;
}

/* What the pages may take at the end of rounds: what the limit has room for, or, where it has none,
 * a small part of the rest. */
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
    const struct seen *s, const struct decide_limits *l, const struct decision *d)
{
    const double now_ns = (double)d->now.pages_ns, next_ns = (double)d->next.pages_ns;

    if (s->watching)
        return (double)d->next.pages <= CALM_SHARE * (double)s->watch_from_pages;
    return next_ns <= (1 - LEAST_GAIN) * now_ns && s->vain_rounds < MOST_VAIN &&
           (s->rounds < 2 || leads_to_goal(l, d));
}

struct decision decide(
    const struct seen *s, const struct decide_limits *l, const struct decide_costs *c)
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

    /* Close to the limit it may turn out longer than it: better a little shorter, if it can be. */
    if (within && (d.now.high_ns <= l->max_downtime_ns || !shorter || limit != REASON_SHORTER)) {
        d.action = ACT_SUSPEND;
        d.reason = REASON_DOWNTIME;
        return d;
    }
    if (!within && (double)d.now.pages_ns < FLOOR_SHARE * (double)fixed_ns(&d.now))
        return stop(d, l, REASON_FLOOR);
    if (limit != REASON_SHORTER)
        return stop(d, l, limit);
    /* Out of patience a round must lead to the goal, not only towards it. */
    if (!shorter || (!s->watching && s->stalled_rounds && !patience_left(s) &&
                        d.next.whole_ns > l->max_downtime_ns))
        return handle_stall(s, l, c, d);
    /* Rounds help, but not enough: slower, if that can be. */
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
