/* SPDX-License-Identifier: MIT */
#include "sched/stats.h"

#include "base/deadline.h"

#include <math.h>
#include <string.h>

/* How much of the newest speeds counts: long enough to even out a lane's turns, short enough to
 * follow a link whose rate changes. */
#define SPEED_SPAN_NS (700 * NS_PER_MS)
/* When the newest differ from the older by more than this share, these alone are enough. */
#define SPEED_CHANGE   0.3
#define SPEED_LEAST_NS (250 * NS_PER_MS)
/* Longer than this is no measurement: the clock jumped, or the machine slept. */
#define LONGEST_SPEED_NS (10 * NS_PER_S)
/* A slow link needs this long for a measurement. */
#define LONGEST_PENDING_NS NS_PER_S
/* And this long for two batches of a lane, the first of which may have just missed the one before.
 */
#define LONGEST_BATCH_NS (2 * NS_PER_S)
/* Points of a curve lie at least this factor apart. */
#define POINT_STEP 1.4
/* A round that reduces what is left by less than this share was in vain. */
#define VAIN_GAIN 0.03
/* A stall is over when what is left has shrunk to this share. */
#define STALL_OVER_SHARE 0.5
/* To this precision a span is found. */
#define SPAN_EXACT_NS (NS_PER_MS / 50)
/* A step that should change what is dirty by less than this share cannot be judged. Otherwise this
 * much of the change has to show, or the guest ignored the cap. */
#define LEAST_EFFECT 0.05
#define ANSWER_SHARE 0.25

double pages_per_s(uint64_t pages, int64_t span_ns)
{
    return span_ns > 0 ? (double)pages * 1e9 / (double)span_ns : 0;
}

double cpu_used_percent(uint64_t cpu_ns, int64_t span_ns)
{
    return span_ns > 0 ? (double)cpu_ns * 100 / (double)span_ns : 0;
}

double stats_bytes_per_page(const struct stats *s)
{
    return s->sent_pages ? (double)s->wire_bytes / (double)s->sent_pages : 4096;
}

/* ---- speed ---- */

double stats_left_per_s(const struct stats *s)
{
    return s->send_pages_per_s / (1 - s->delta_share * (1 - 1.0 / STATS_DELTAS_PER_PAGE));
}

static void note_deltas(struct stats *s, uint64_t delta_pages, uint64_t left_pages)
{
    s->delta_share = left_pages ? fmin(1, (double)delta_pages / (double)left_pages) : 0;
}

/* Whether the link's rate has changed since that was measured. */
static bool has_changed(double pages_per_ns, const struct stats_speed *v)
{
    return fabs(v->pages / (double)v->span_ns - pages_per_ns) > SPEED_CHANGE * pages_per_ns;
}

/* The mean of the newest speeds and how far they lie from it. */
static void estimate_speed(struct stats *s)
{
    double pages = 0, off = 0;
    int64_t span_ns = 0;
    unsigned used = 0;

    for (; used < s->speed_count && span_ns < SPEED_SPAN_NS; used++) {
        const struct stats_speed *v =
            &s->speeds[(s->speed_next + STATS_SPEEDS - 1 - used) % STATS_SPEEDS];

        if (span_ns >= SPEED_LEAST_NS && has_changed(pages / (double)span_ns, v))
            break;
        pages += v->pages;
        span_ns += v->span_ns;
    }
    s->send_pages_per_s = pages / (double)span_ns * 1e9;
    for (unsigned i = 0; i < used; i++) {
        const struct stats_speed *v =
            &s->speeds[(s->speed_next + STATS_SPEEDS - 1 - i) % STATS_SPEEDS];
        const double rate = v->pages / (double)v->span_ns * 1e9;

        off += fabs(rate - s->send_pages_per_s) * (double)v->span_ns;
    }
    s->send_spread = off / (double)span_ns / s->send_pages_per_s;
}

static void push_speed(struct stats *s, struct stats_speed v)
{
    s->speeds[s->speed_next] = v;
    s->speed_next = (s->speed_next + 1) % STATS_SPEEDS;
    if (s->speed_count < STATS_SPEEDS)
        s->speed_count++;
    estimate_speed(s);
}

/* What is pending counts as it is, if it is worth anything. */
static void flush_pending(struct stats *s)
{
    const struct stats_speed v = s->pending;

    s->pending = (struct stats_speed){0};
    if (v.pages <= 0 || v.span_ns <= 0)
        return;
    if (v.pages >= STATS_LEAST_PAGES || v.span_ns >= LONGEST_PENDING_NS ||
        v.pages / (double)v.span_ns * 1e9 > s->send_pages_per_s)
        push_speed(s, v);
}

/* A lower bound: better than nothing, and ignored once a speed was measured. */
static void note_least_speed(struct stats *s, uint64_t pages, int64_t span_ns)
{
    if (!s->speed_count && pages >= STATS_LEAST_PAGES)
        s->send_pages_per_s = fmax(s->send_pages_per_s, pages_per_s(pages, span_ns));
}

void stats_add_speed(struct stats *s, uint64_t pages, uint64_t absent_pages, int64_t span_ns)
{
    if (s->speed_given || span_ns <= 0 || span_ns > LONGEST_SPEED_NS)
        return;
    if (absent_pages > pages) {
        note_least_speed(s, pages, span_ns);
        return;
    }
    s->pending.pages += (double)pages;
    s->pending.span_ns += span_ns;
    /* Pages come in batches, which take their time on a slow link. Where nothing moved for longer
     * than that, the time says nothing about how fast pages go when they do. */
    if (s->pending.pages <= 0) {
        if (s->pending.span_ns >= LONGEST_BATCH_NS)
            s->pending.span_ns = 0;
        return;
    }
    if (s->pending.pages >= STATS_LEAST_PAGES || s->pending.span_ns >= LONGEST_PENDING_NS)
        flush_pending(s);
}

/* ---- the curve ---- */

static void add_point(struct stats_point *points, unsigned *count, int64_t span_ns, double pages)
{
    if (*count) {
        const struct stats_point *before = &points[*count - 1];

        if ((double)span_ns < (double)before->span_ns * POINT_STEP || *count == STATS_POINTS)
            return;
        /* What is dirty stays dirty until the CLEAN. */
        if (pages < before->pages)
            pages = before->pages;
    }
    points[(*count)++] = (struct stats_point){span_ns, pages};
}

void stats_add_peek(struct stats *s, int64_t span_ns, uint64_t dirty_pages)
{
    if (span_ns > 0)
        add_point(s->running, &s->running_count, span_ns, (double)dirty_pages);
}

/* The current points that lie well before the window's end become the curve, and the end itself.
 * For longer spans the previous curve is the best guess, as far as it had more. */
static void close_curve(
    struct stats *s, struct stats_point before, int64_t window_ns, double dirty_pages)
{
    const bool guessed = s->slowed.steps && s->slowed.rounds == 1; /* by the step just made */
    struct stats_point points[STATS_POINTS];
    unsigned count = 0;

    for (unsigned i = 0; i < s->running_count && count < STATS_POINTS - 1; i++)
        if ((double)s->running[i].span_ns * POINT_STEP <= (double)window_ns &&
            s->running[i].pages <= dirty_pages)
            points[count++] = s->running[i];
    /* There was no PEEK: the round before is the next best guess of the shape. */
    if (!count && before.span_ns && (double)before.span_ns * POINT_STEP <= (double)window_ns &&
        before.pages <= dirty_pages)
        points[count++] = before;
    points[count++] = (struct stats_point){window_ns, dirty_pages};
    for (unsigned i = 0; i < s->curve_count && count < STATS_POINTS && !guessed; i++)
        if ((double)s->curve[i].span_ns >= (double)window_ns * POINT_STEP &&
            s->curve[i].pages >= dirty_pages)
            points[count++] = s->curve[i];
    memcpy(s->curve, points, count * sizeof(*points));
    s->curve_count = count;
}

/* Between two points a power of the span, through zero before the first; never steeper than
 * linear. */
static double between(struct stats_point a, struct stats_point b, double span_ns)
{
    if (a.pages <= 0 || b.pages <= 0)
        return b.pages * fmin(1, span_ns / (double)b.span_ns);

    double power = log(b.pages / a.pages) / log((double)b.span_ns / (double)a.span_ns);

    power = fmin(1, fmax(0, power));
    return b.pages * pow(span_ns / (double)b.span_ns, power);
}

double stats_dirty_within(const struct stats *s, int64_t span_ns)
{
    const unsigned n = s->curve_count;
    unsigned i = 0;

    if (!n || span_ns <= 0)
        return 0;
    while (i < n - 1 && s->curve[i].span_ns < span_ns)
        i++;
    if (i == 0)
        return s->curve[0].pages * (double)span_ns / (double)s->curve[0].span_ns;
    return between(s->curve[i - 1], s->curve[i], (double)span_ns);
}

static int64_t span_of(const struct stats *s, double pages, int64_t most_ns)
{
    int64_t low_ns = 0, high_ns = most_ns;

    while (high_ns - low_ns > SPAN_EXACT_NS) {
        const int64_t mid_ns = low_ns + (high_ns - low_ns) / 2;

        if (stats_dirty_within(s, mid_ns) < pages)
            low_ns = mid_ns;
        else
            high_ns = mid_ns;
    }
    return high_ns;
}

int64_t stats_span_of(const struct stats *s, double pages)
{
    return span_of(s, pages, s->last.window_ns);
}

/* ---- a guest that is slowed down ---- */

static int64_t stretch(int64_t span_ns, double share)
{
    return (int64_t)fmin((double)(INT64_MAX / 8), (double)span_ns / share);
}

void stats_slow_down(struct stats *s, unsigned cap_percent)
{
    struct stats_slowed *w = &s->slowed;
    const double share = cap_percent / s->last.cpu_percent;

    if (!w->steps)
        w->whole_percent = s->last.cpu_percent;
    w->steps++;
    w->rounds = 0;
    w->cap_percent = cap_percent;
    w->last_share = share;
    w->judged = false;
    for (unsigned i = 0; i < s->curve_count; i++)
        s->curve[i].span_ns = stretch(s->curve[i].span_ns, share);
    s->last.window_ns = stretch(s->last.window_ns, share);
    s->stalled_rounds = 0;
    s->vain_rounds = 0;
}

double stats_slowed_share(const struct stats *s)
{
    const struct stats_slowed *w = &s->slowed;

    return w->steps && !w->unanswered ? w->cap_percent / w->whole_percent : 1;
}

/* The first CLEAN after a step, before it replaces the curve: what would it have found without the
 * step, and what if the guest is as much slower as it was meant to be? */
static void judge_step(struct stats *s, const struct stats_round *r)
{
    struct stats_slowed *w = &s->slowed;

    if (!w->steps || w->judged || r->window_ns <= 0)
        return;

    const double without = stats_dirty_within(s, stretch(r->window_ns, w->last_share));
    const double with = stats_dirty_within(s, r->window_ns);

    w->judged = true;
    /* Where both are a full working set there is nothing to see. */
    if (without - with < LEAST_EFFECT * without)
        return;
    if (without - (double)r->dirty_pages < ANSWER_SHARE * (without - with))
        w->unanswered++;
    else
        w->unanswered = 0;
}

/* ---- rounds ---- */

/* A slow call counts at once, a faster one only by half: it may be slow again. */
static void add_clean(struct stats *s, int64_t clean_ns)
{
    if (clean_ns >= 0)
        s->clean_ns = s->rounds == 1 || clean_ns > s->clean_ns ? clean_ns
                                                               : (s->clean_ns + clean_ns) / 2;
}

/* How much of it would have been sent in vain. (Not of the first round, which also passes over
 * frames without memory.) */
static void add_skipped(struct stats *s, const struct stats_round *r)
{
    const double pages = (double)s->last.left_pages - (double)r->kept_pages;

    if (s->rounds && pages > 0)
        s->skipped_share = fmin(1, fmax(0, 1 - (double)r->sent_pages / pages));
}

double stats_next_sent(const struct stats *s)
{
    const double left = (double)s->last.left_pages, before = (double)s->before_left_pages;

    /* While the guest is observed, all of it was dirtied earlier, in other rounds. */
    if (s->observing || before <= 0)
        return left;
    /* A shorter round leaves the guest less time to redirty a page before its turn. */
    return left * (1 - s->skipped_share * fmin(1, left / before));
}

void stats_add_round(struct stats *s, const struct stats_round *r)
{
    const struct stats_point before = {s->last.window_ns, (double)s->last.dirty_pages};

    flush_pending(s);
    judge_step(s, r);
    add_skipped(s, r);
    s->slowed.rounds++;
    if (!s->rounds || r->left_pages < s->least_left_pages)
        s->least_left_pages = r->left_pages;
    s->before_left_pages = s->rounds ? s->last.left_pages : 0;
    if (s->rounds && (double)r->left_pages > (1 - VAIN_GAIN) * (double)s->last.left_pages)
        s->vain_rounds++;
    else
        s->vain_rounds = 0;
    s->rounds++;
    s->last = *r;
    note_deltas(s, r->delta_pages, r->left_pages);
    s->observing = false;
    s->sent_pages += r->sent_pages;
    s->wire_bytes += r->wire_bytes;
    add_clean(s, r->clean_ns);
    if (r->window_ns > 0) {
        s->dirty_pages_per_s = pages_per_s(r->dirty_pages, r->window_ns);
        close_curve(s, before, r->window_ns, (double)r->dirty_pages);
    }
    s->running_count = 0;
}

void stats_add_sample(struct stats *s, const struct stats_sample *l)
{
    const uint64_t before = s->last.left_pages;

    if (!s->observing) {
        s->observed_from_ns = s->last.elapsed_ns;
        s->observed_from_pages = before;
        s->observations++;
    }
    s->observing = true;
    s->sample = *l;
    s->sample_new_pages = l->left_pages > before ? l->left_pages - before : 0;
    s->last.elapsed_ns = l->elapsed_ns;
    s->last.left_pages = l->left_pages;
    note_deltas(s, l->delta_pages, l->left_pages);
    if (l->window_ns > 0)
        s->observed_ns += l->window_ns;
    add_clean(s, l->clean_ns);
}

double stats_sample_share(const struct stats *s, uint64_t pages, int64_t span_ns)
{
    return s->sample.window_ns > 0 ? (double)pages * (double)span_ns / (double)s->sample.window_ns
                                   : 0;
}

double stats_sample_within(const struct stats *s, int64_t span_ns)
{
    const double dirty = (double)s->sample.dirty_pages;

    if (s->sample.window_ns <= 0)
        return dirty;

    /* A sample's window may exceed the last round's: that does not make the guest slower. */
    const int64_t most_ns = s->last.window_ns > s->sample.window_ns ? s->last.window_ns
                                                                    : s->sample.window_ns;
    const double speed = (double)span_of(s, dirty, most_ns) / (double)s->sample.window_ns;
    const double same_ns = fmin((double)(INT64_MAX / 8), (double)span_ns * speed);

    return fmax(dirty, stats_dirty_within(s, (int64_t)same_ns));
}

void stats_note_stall(struct stats *s, bool stalled)
{
    if (s->observing) {
        /* It has become calm. */
        if (!stalled)
            s->stalled_rounds = 0;
        return;
    }
    if (!s->stalled_rounds && !stalled)
        return;
    if (!s->stalled_rounds)
        s->stall_left_pages = s->last.left_pages;
    s->stalled_rounds++;
    if (!stalled && (double)s->last.left_pages < (double)s->stall_left_pages * STALL_OVER_SHARE)
        s->stalled_rounds = 0;
}
