/* SPDX-License-Identifier: MIT */
#include "sched/codec_choice.h"

#include "base/limits.h"

#define RETRY_NS    1000000000ll
#define WARM_NS     50000000ll /* between the first trials, doubled each time */
#define NEAR        2.0        /* this much dearer at most, and warm it may win */
#define WINDOW_NS   50000000ll
#define SURE_NS     100000000ll /* a link that was free is full when it was so for that long */
#define PATIENCE_NS 100000000ll /* not full for that long at least, and it counts as free */
#define HOPELESS    1.3
/* A page costs the receiver about as much as the sender, a difference a part of that. */
#define DELTA_BONUS 1.5

enum {
    MIN_PAGES = 16,    /* fewer are mostly overhead */
    FULL_SHARE = 10,   /* a link that we wait for a tenth of the time is full */
    WARM_SAMPLES = 3,  /* those before show what cold caches cost */
    FORGET_SHARE = 4,  /* a new sample counts a quarter */
    FORGET_CLOCK = 32, /* for how busy the processors are, one in 32 */
    HOPELESS_RETRIES = 8,
    BETTER_PERCENT = 5 /* a change must promise this much */
};

void codec_choice_init(struct codec_choice *c, unsigned allowed)
{
    *c = (struct codec_choice){
        .allowed = allowed,
        .current = (unsigned)__builtin_ctz(allowed),
        .patience_ns = PATIENCE_NS,
    };
}

/* How much longer the lane takes than it uses a processor. */
static double slowdown(const struct codec_choice *c)
{
    return c->busy_ns > c->cpu_ns && c->cpu_ns > 0 ? c->busy_ns / c->cpu_ns : 1;
}

static double page_ns(const struct codec_choice *c, unsigned codec)
{
    const double link_ns = c->cost[codec].bytes * c->link_ns_per_byte;
    const double busy_ns = c->cost[codec].cpu_ns * slowdown(c);

    return busy_ns > link_ns ? busy_ns : link_ns;
}

/*
 * How long a codec's known cost is trusted. One whose bytes alone take the link much longer than a
 * page takes now cannot win unless the contents change, and trying it on a slow link is expensive:
 * that is done rarely.
 */
static int64_t holds_ns(const struct codec_choice *c, unsigned codec)
{
    const struct codec_cost *cost = &c->cost[codec];
    const double now_ns = page_ns(c, c->current);

    if (cost->bytes * c->link_ns_per_byte > now_ns * HOPELESS)
        return RETRY_NS * HOPELESS_RETRIES;
    if (cost->samples < WARM_SAMPLES && page_ns(c, codec) < now_ns * NEAR)
        return WARM_NS << cost->samples;
    return RETRY_NS;
}

/* One whose cost is unknown or out of date; CODECS: none. */
static unsigned find_stale(const struct codec_choice *c, int64_t now_ns)
{
    for (unsigned i = 0; i < CODECS; i++)
        if ((c->allowed >> i & 1) &&
            (!c->cost[i].samples ||
                (i != c->current && now_ns - c->cost[i].tried_ns > holds_ns(c, i))))
            return i;
    return CODECS;
}

unsigned codec_choose(struct codec_choice *c, int64_t now_ns)
{
    const unsigned stale = find_stale(c, now_ns);
    unsigned best = c->current;

    if (stale < CODECS)
        return stale;
    for (unsigned i = 0; i < CODECS; i++)
        if ((c->allowed >> i & 1) &&
            page_ns(c, i) * (100 + (i == c->current ? 0 : BETTER_PERCENT)) <
                page_ns(c, best) * (100 + (best == c->current ? 0 : BETTER_PERCENT)))
            best = i;
    c->current = best;
    return best;
}

bool codec_differences_pay(const struct codec_choice *c, unsigned codec, int64_t now_ns)
{
    const struct codec_cost *delta = &c->cost[CODECS];

    return !delta->samples || !c->cost[codec].samples || now_ns - delta->tried_ns > RETRY_NS ||
           page_ns(c, CODECS) < page_ns(c, codec) * DELTA_BONUS;
}

double codec_page_bytes(const struct codec_choice *c, unsigned codec)
{
    return c->cost[codec].samples ? c->cost[codec].bytes : PAGE_BYTES;
}

static void begin_window(struct codec_choice *c, int64_t now_ns)
{
    c->window_ns = now_ns;
    c->window_wait_ns = 0;
    c->window_bytes = 0;
}

void codec_begin(struct codec_choice *c, int64_t now_ns)
{
    begin_window(c, now_ns);
    c->link_full_ns = now_ns;
    c->full_span_ns = 0;
}

static int64_t at_most_retry(int64_t ns)
{
    return ns < RETRY_NS ? ns : RETRY_NS;
}

static void note_full_link(struct codec_choice *c, int64_t span_ns, int64_t now_ns)
{
    c->full_span_ns += span_ns;
    if (c->link_ns_per_byte <= 0) {
        if (c->full_span_ns < SURE_NS)
            return;
        if (c->freed_ns && now_ns - c->freed_ns < RETRY_NS) /* declared free too soon */
            c->patience_ns = at_most_retry(2 * c->patience_ns);
    }
    if (c->patience_ns < c->full_span_ns)
        c->patience_ns = at_most_retry(c->full_span_ns);
    c->link_ns_per_byte = (double)span_ns / c->window_bytes;
    c->link_full_ns = now_ns;
}

static void note_free_link(struct codec_choice *c, int64_t now_ns)
{
    c->full_span_ns = 0;
    if (c->link_ns_per_byte > 0 && now_ns - c->link_full_ns > c->patience_ns) {
        c->link_ns_per_byte = 0;
        c->freed_ns = now_ns;
    }
}

static void judge_link(struct codec_choice *c, const struct codec_sample *s, int64_t now_ns)
{
    /* The receiver has only just begun. */
    if (!c->cost[c->current].samples) {
        begin_window(c, now_ns);
        return;
    }
    /* A trial: the link may have run dry meanwhile. */
    if (s->codec != c->current) {
        c->window_ns += s->busy_ns + s->wait_ns;
        return;
    }

    const int64_t span_ns = now_ns - c->window_ns;

    c->window_wait_ns += s->wait_ns;
    c->window_bytes += (double)s->bytes;
    if (span_ns < WINDOW_NS)
        return;
    if (c->window_wait_ns > span_ns / FULL_SHARE)
        note_full_link(c, span_ns, now_ns);
    else
        note_free_link(c, now_ns);
    begin_window(c, now_ns);
}

static double blend(double before, double now)
{
    return before + (now - before) / FORGET_SHARE;
}

static void learn_cost(
    struct codec_cost *cost, uint64_t pages, uint64_t all_bytes, int64_t all_cpu_ns, int64_t now_ns)
{
    if (pages < MIN_PAGES)
        return;

    const double cpu_ns = (double)all_cpu_ns / (double)pages;
    const double bytes = (double)all_bytes / (double)pages;
    const bool is_warm = cost->samples == WARM_SAMPLES;

    cost->cpu_ns = is_warm ? blend(cost->cpu_ns, cpu_ns) : cpu_ns;
    cost->bytes = is_warm ? blend(cost->bytes, bytes) : bytes;
    cost->samples += !is_warm;
    cost->tried_ns = now_ns;
}

void codec_learn(struct codec_choice *c, const struct codec_sample *s, int64_t now_ns)
{
    judge_link(c, s, now_ns);
    c->cpu_ns += (double)(s->cpu_ns + s->delta_cpu_ns) - c->cpu_ns / FORGET_CLOCK;
    c->busy_ns += (double)s->busy_ns - c->busy_ns / FORGET_CLOCK;
    learn_cost(&c->cost[s->codec], s->pages, s->bytes - s->delta_bytes, s->cpu_ns, now_ns);
    learn_cost(&c->cost[CODECS], s->delta_pages, s->delta_bytes, s->delta_cpu_ns, now_ns);
}
