#include "sched/seen.h"

#include "base/deadline.h"

#include <math.h>
#include <string.h>

/* The newest speeds that count: long enough to even out a lane's turns, short enough to follow a
 * link whose rate changes. */
#define SPEED_SPAN_NS (700 * NS_PER_MS)
/* But when it differs by more than this share, samples of so long are believed alone. */
#define SPEED_CHANGE   0.3
#define SPEED_LEAST_NS (250 * NS_PER_MS)
/* A look longer than that was not one look: the clock jumped, or the machine slept. */
#define LONGEST_LOOK_NS (10 * NS_PER_S)
/* A slow link needs so long for a sample. */
#define LONGEST_PENDING_NS NS_PER_S
/* And for two batches of a lane, of which the first may come just after a look. */
#define LONGEST_BATCH_NS (2 * NS_PER_S)
/* Points of a curve lie at least this factor apart. */
#define POINT_STEP 1.4
/* A round that leaves less by a smaller share than that was in vain. */
#define VAIN_GAIN 0.03
/* What is left has to shrink by so much before a stall counts as over. */
#define STALL_OVER_SHARE 0.5
/* A span is found this exactly. */
#define SPAN_EXACT_NS (NS_PER_MS / 50)
/* A step that should change what is dirty by less than that share of it cannot be judged; otherwise
 * so much of the change has to be there, or the guest did not heed it. */
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

double seen_bytes_per_page(const struct seen *s)
{
    return s->sent_pages ? (double)s->wire_bytes / (double)s->sent_pages : 4096;
}

/* ---- speed ---- */

/* Whether the link was another one when that was seen, as it seems now. */
static bool has_changed(double pages_per_ns, const struct seen_speed *v)
{
    return fabs(v->pages / (double)v->span_ns - pages_per_ns) > SPEED_CHANGE * pages_per_ns;
}

/* The mean of the newest samples and how far they lie from it. */
static void estimate_speed(struct seen *s)
{
    double pages = 0, off = 0;
    int64_t span_ns = 0;
    unsigned used = 0;

    for (; used < s->speed_count && span_ns < SPEED_SPAN_NS; used++) {
        const struct seen_speed *v =
            &s->speeds[(s->speed_next + SEEN_SPEEDS - 1 - used) % SEEN_SPEEDS];

        if (span_ns >= SPEED_LEAST_NS && has_changed(pages / (double)span_ns, v))
            break;
        pages += v->pages;
        span_ns += v->span_ns;
    }
    s->send_pages_per_s = pages / (double)span_ns * 1e9;
    for (unsigned i = 0; i < used; i++) {
        const struct seen_speed *v =
            &s->speeds[(s->speed_next + SEEN_SPEEDS - 1 - i) % SEEN_SPEEDS];
        const double rate = v->pages / (double)v->span_ns * 1e9;

        off += fabs(rate - s->send_pages_per_s) * (double)v->span_ns;
    }
    s->send_spread = off / (double)span_ns / s->send_pages_per_s;
}

static void push_speed(struct seen *s, struct seen_speed v)
{
    s->speeds[s->speed_next] = v;
    s->speed_next = (s->speed_next + 1) % SEEN_SPEEDS;
    if (s->speed_count < SEEN_SPEEDS)
        s->speed_count++;
    estimate_speed(s);
}

/* What is pending counts as it is, if it says anything. */
static void flush_pending(struct seen *s)
{
    const struct seen_speed v = s->pending;

    s->pending = (struct seen_speed){0};
    if (v.pages <= 0 || v.span_ns <= 0)
        return;
    if (v.pages >= SEEN_LEAST_PAGES || v.span_ns >= LONGEST_PENDING_NS ||
        v.pages / (double)v.span_ns * 1e9 > s->send_pages_per_s)
        push_speed(s, v);
}

/* Pages went at least that fast: better than nothing, and nothing beside a speed that was seen. */
static void note_least_speed(struct seen *s, uint64_t pages, int64_t span_ns)
{
    if (!s->speed_count && pages >= SEEN_LEAST_PAGES)
        s->send_pages_per_s = fmax(s->send_pages_per_s, pages_per_s(pages, span_ns));
}

void seen_speed(struct seen *s, uint64_t pages, uint64_t absent_pages, int64_t span_ns)
{
    if (span_ns <= 0 || span_ns > LONGEST_LOOK_NS)
        return;
    if (absent_pages > pages) {
        note_least_speed(s, pages, span_ns);
        return;
    }
    s->pending.pages += (double)pages;
    s->pending.span_ns += span_ns;
    /* Pages come in batches, which take their time on a slow link. One on which nothing moved for
     * longer says nothing about how fast it is when something does. */
    if (s->pending.pages <= 0) {
        if (s->pending.span_ns >= LONGEST_BATCH_NS)
            s->pending.span_ns = 0;
        return;
    }
    if (s->pending.pages >= SEEN_LEAST_PAGES || s->pending.span_ns >= LONGEST_PENDING_NS)
        flush_pending(s);
}

/* ---- the curve ---- */

static void add_point(struct seen_point *points, unsigned *count, int64_t span_ns, double pages)
{
    if (*count) {
        const struct seen_point *before = &points[*count - 1];

        if ((double)span_ns < (double)before->span_ns * POINT_STEP || *count == SEEN_POINTS)
            return;
        /* What is dirty stays dirty until the CLEAN. */
        if (pages < before->pages)
            pages = before->pages;
    }
    points[(*count)++] = (struct seen_point){span_ns, pages};
}

void seen_peek(struct seen *s, int64_t span_ns, uint64_t dirty_pages)
{
    if (span_ns > 0)
        add_point(s->running, &s->running_count, span_ns, (double)dirty_pages);
}

/* The running points that lie well before the window's end become the curve, and the end itself.
 * Of longer spans the curve before is the best witness, as far as it had more. */
static void close_curve(
    struct seen *s, struct seen_point before, int64_t window_ns, double dirty_pages)
{
    const bool guessed = s->slowed.steps &&
                         s->slowed.rounds == 1; /* by a step that was just made */
    struct seen_point points[SEEN_POINTS];
    unsigned count = 0;

    for (unsigned i = 0; i < s->running_count && count < SEEN_POINTS - 1; i++)
        if ((double)s->running[i].span_ns * POINT_STEP <= (double)window_ns &&
            s->running[i].pages <= dirty_pages)
            points[count++] = s->running[i];
    /* Nobody looked meanwhile: the round before is the next best witness of the shape. */
    if (!count && before.span_ns && (double)before.span_ns * POINT_STEP <= (double)window_ns &&
        before.pages <= dirty_pages)
        points[count++] = before;
    points[count++] = (struct seen_point){window_ns, dirty_pages};
    for (unsigned i = 0; i < s->curve_count && count < SEEN_POINTS && !guessed; i++)
        if ((double)s->curve[i].span_ns >= (double)window_ns * POINT_STEP &&
            s->curve[i].pages >= dirty_pages)
            points[count++] = s->curve[i];
    memcpy(s->curve, points, count * sizeof(*points));
    s->curve_count = count;
}

/* Between two points a power of the span, through zero before the first; never steeper than in
 * proportion. */
static double between(struct seen_point a, struct seen_point b, double span_ns)
{
    if (a.pages <= 0 || b.pages <= 0)
        return b.pages * fmin(1, span_ns / (double)b.span_ns);

    double power = log(b.pages / a.pages) / log((double)b.span_ns / (double)a.span_ns);

    power = fmin(1, fmax(0, power));
    return b.pages * pow(span_ns / (double)b.span_ns, power);
}

double seen_dirty_within(const struct seen *s, int64_t span_ns)
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

static int64_t span_of(const struct seen *s, double pages, int64_t most_ns)
{
    int64_t low_ns = 0, high_ns = most_ns;

    while (high_ns - low_ns > SPAN_EXACT_NS) {
        const int64_t mid_ns = low_ns + (high_ns - low_ns) / 2;

        if (seen_dirty_within(s, mid_ns) < pages)
            low_ns = mid_ns;
        else
            high_ns = mid_ns;
    }
    return high_ns;
}

int64_t seen_span_of(const struct seen *s, double pages)
{
    return span_of(s, pages, s->last.window_ns);
}

/* ---- a guest that is slowed down ---- */

static int64_t stretch(int64_t span_ns, double share)
{
    return (int64_t)fmin((double)(INT64_MAX / 8), (double)span_ns / share);
}

void seen_slow_down(struct seen *s, unsigned cap_percent)
{
    struct seen_slowed *w = &s->slowed;
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

double seen_slowed_share(const struct seen *s)
{
    const struct seen_slowed *w = &s->slowed;

    return w->steps && !w->unanswered ? w->cap_percent / w->whole_percent : 1;
}

/* The first CLEAN after a step, before the curve is replaced by what it found: what would it have
 * found without the step, what if the guest is as much slower as it was to be? */
static void judge_step(struct seen *s, const struct seen_round *r)
{
    struct seen_slowed *w = &s->slowed;

    if (!w->steps || w->judged || r->window_ns <= 0)
        return;

    const double without = seen_dirty_within(s, stretch(r->window_ns, w->last_share));
    const double with = seen_dirty_within(s, r->window_ns);

    w->judged = true;
    /* Where both are a full working set, nothing can be seen. */
    if (without - with < LEAST_EFFECT * without)
        return;
    if (without - (double)r->dirty_pages < ANSWER_SHARE * (without - with))
        w->unanswered++;
    else
        w->unanswered = 0;
}

/* ---- rounds ---- */

/* A call that was late once need not be late again, but it may. */
static void see_clean(struct seen *s, int64_t clean_ns)
{
    if (clean_ns >= 0)
        s->clean_ns = s->rounds == 1 || clean_ns > s->clean_ns ? clean_ns
                                                               : (s->clean_ns + clean_ns) / 2;
}

/* How much of it would have been sent in vain. (The first round passes over frames without memory,
 * too.) */
static void see_skipped(struct seen *s, const struct seen_round *r)
{
    const double pages = (double)s->last.left_pages - (double)r->kept_pages;

    if (s->rounds && pages > 0)
        s->skipped_share = fmin(1, fmax(0, 1 - (double)r->sent_pages / pages));
}

double seen_next_sent(const struct seen *s)
{
    const double left = (double)s->last.left_pages, before = (double)s->before_left_pages;

    /* While it is watched all of it has become dirty before, and in other rounds. */
    if (s->watching || before <= 0)
        return left;
    /* A shorter round leaves the guest less time to write before a page's turn. */
    return left * (1 - s->skipped_share * fmin(1, left / before));
}

void seen_round(struct seen *s, const struct seen_round *r)
{
    const struct seen_point before = {s->last.window_ns, (double)s->last.dirty_pages};

    flush_pending(s);
    judge_step(s, r);
    see_skipped(s, r);
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
    s->watching = false;
    s->sent_pages += r->sent_pages;
    s->wire_bytes += r->wire_bytes;
    see_clean(s, r->clean_ns);
    if (r->window_ns > 0) {
        s->dirty_pages_per_s = pages_per_s(r->dirty_pages, r->window_ns);
        close_curve(s, before, r->window_ns, (double)r->dirty_pages);
    }
    s->running_count = 0;
}

void seen_look(struct seen *s, const struct seen_look *l)
{
    const uint64_t before = s->last.left_pages;

    if (!s->watching) {
        s->watch_from_ns = s->last.elapsed_ns;
        s->watch_from_pages = before;
        s->watches++;
    }
    s->watching = true;
    s->look = *l;
    s->look_new_pages = l->left_pages > before ? l->left_pages - before : 0;
    s->last.elapsed_ns = l->elapsed_ns;
    s->last.left_pages = l->left_pages;
    if (l->window_ns > 0)
        s->watched_ns += l->window_ns;
    see_clean(s, l->clean_ns);
}

double seen_look_share(const struct seen *s, uint64_t pages, int64_t span_ns)
{
    return s->look.window_ns > 0 ? (double)pages * (double)span_ns / (double)s->look.window_ns : 0;
}

double seen_look_within(const struct seen *s, int64_t span_ns)
{
    const double dirty = (double)s->look.dirty_pages;

    if (s->look.window_ns <= 0)
        return dirty;

    /* A look may be longer than the last round's window: that does not make the guest slower. */
    const int64_t most_ns = s->last.window_ns > s->look.window_ns ? s->last.window_ns
                                                                  : s->look.window_ns;
    const double speed = (double)span_of(s, dirty, most_ns) / (double)s->look.window_ns;
    const double same_ns = fmin((double)(INT64_MAX / 8), (double)span_ns * speed);

    return fmax(dirty, seen_dirty_within(s, (int64_t)same_ns));
}

void seen_stall(struct seen *s, bool stalled)
{
    if (s->watching) {
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
