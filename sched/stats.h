/* SPDX-License-Identifier: MIT */
/*
 * What a migration has measured so far and what follows from it: how fast pages are sent, how fast
 * the guest dirties them, what a CLEAN costs. Plain numbers, fed by the round loop (precopy.h) and
 * read by decide().
 *
 * Speed is counted in pages sent, whatever compression or zero marks made of them, because pages
 * are what is left. Only a page that goes as a difference counts for less, and speed for more in
 * proportion where some of what is left will: otherwise the first that do would not be expected.
 * How a guest dirties memory is a curve: the distinct pages that it writes to within a span of
 * time.
 *
 *   pages │            ·──────·   flat: the writable working set is full
 *         │      ·───'
 *         │   ·'                  steep: nearly every write finds a clean page
 *         └──────────────────── span since the CLEAN
 *
 * PEEKs during a round give points of it, the CLEAN at the round's end the last one. The outcome of
 * the next round can be read off the curve, because its length is known: the time that the pages
 * left take to send.
 *
 * A guest that does not converge may be observed for a while: nothing is sent, and samples follow
 * one another, each a CLEAN whose pages join what is left. Samples are not rounds and do not change
 * the curve; they show how fast the guest writes just now.
 *
 * Values that make no sense (the clock jumped, nothing moved on the link) are dropped, so that one
 * bad measurement does not cause a bad decision.
 */
#ifndef SCHED_STATS_H
#define SCHED_STATS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    STATS_SPEEDS = 16,
    STATS_POINTS = 24,
    /* Below this overhead dominates: such a measurement can only raise the estimate. */
    STATS_LEAST_PAGES = 256,
    /* So many differences to what was sent before take about as long as a page. */
    STATS_DELTAS_PER_PAGE = 16,
};

struct stats_speed {
    double pages;
    int64_t span_ns;
};

struct stats_point {
    int64_t span_ns;
    double pages;
};

/* One live round and the CLEAN after it. */
struct stats_round {
    int64_t elapsed_ns;   /* since the migration began, when the CLEAN returned */
    int64_t window_ns;    /* from the previous CLEAN to this one: how long the guest wrote */
    int64_t clean_ns;     /* duration of this CLEAN; the guest is paused for it */
    uint64_t sent_pages;  /* in this round, as data or marks */
    uint64_t wire_bytes;  /* in this round */
    uint64_t dirty_pages; /* found by the CLEAN */
    uint64_t left_pages;  /* to send if the guest were suspended now: dirty, deferred or kept */
    uint64_t delta_pages; /* of these, about so many would go as differences */
    uint64_t kept_pages;  /* of these, kept out of the round */
    double cpu_percent;   /* of one processor, used by the guest in the window; 0: unknown */
};

/* One CLEAN of a guest that is observed: nothing was sent before it, and its pages join what is
 * left. */
struct stats_sample {
    int64_t elapsed_ns; /* these as in stats_round */
    int64_t window_ns;
    int64_t clean_ns;
    uint64_t dirty_pages;
    uint64_t left_pages;
    uint64_t delta_pages;
};

/* A guest that is slowed down by a cap on its processor time. */
struct stats_slowed {
    unsigned steps;  /* 0: it never was, and the rest is meaningless */
    unsigned rounds; /* since the last step */
    unsigned cap_percent;
    double whole_percent; /* what it used before the first step */
    double last_share;    /* the share of its speed that the last step was meant to leave */
    bool judged;          /* the last step was, by the CLEAN after it */
    unsigned unanswered;  /* steps in a row after which it wrote about as much as before */
};

struct stats {
    unsigned rounds;
    struct stats_round last;
    uint64_t before_left_pages; /* left_pages of the round before; 0: there was none */
    uint64_t wire_bytes;
    uint64_t sent_pages;
    uint64_t least_left_pages; /* of all rounds so far */
    unsigned vain_rounds;      /* in a row that left about as much as the one before */
    unsigned stalled_rounds;   /* since decide() first found that rounds do not help */
    uint64_t stall_left_pages; /* what was left then */

    bool observing; /* there were samples since the last round, the newest: */
    struct stats_sample sample;
    uint64_t sample_new_pages;    /* of those it found, not left before */
    int64_t observed_from_ns;     /* when this observation began, */
    uint64_t observed_from_pages; /* and what was left then */
    unsigned observations;        /* in the whole migration, */
    int64_t observed_ns;          /* and their total length */

    double send_pages_per_s; /* as they are; 0: unknown */
    double delta_share;      /* of what is left: would go as differences */
    double send_spread;      /* how much it varies, as a share of it */
    bool speed_given;        /* both by the caller, and not to be measured (a forecast) */
    double dirty_pages_per_s;
    double skipped_share; /* of the last round's pages: redirtied before their turn, not sent */
    int64_t clean_ns;
    struct stats_slowed slowed;

    /* The newest speeds, and what is not long enough to be one yet. */
    struct stats_speed speeds[STATS_SPEEDS], pending;
    unsigned speed_count, speed_next;
    /* The curve of the current window (PEEKs), and that of the last complete one. */
    struct stats_point running[STATS_POINTS], curve[STATS_POINTS];
    unsigned running_count, curve_count;
};

/* During a round: pages sent in the latest span. Marks for zero pages cost less than pages: count
 * them for less in the first round, which has most of them. absent_pages: frames that turned out to
 * have no memory. Where these are the majority, much of the span was spent on them, and the speed
 * only counts until there is a better one: a small guest's first round may be one such span. */
void stats_add_speed(struct stats *s, uint64_t pages, uint64_t absent_pages, int64_t span_ns);

/* During a round: that many pages are dirty, span_ns after the last CLEAN. */
void stats_add_peek(struct stats *s, int64_t span_ns, uint64_t dirty_pages);

/* A live round is over and its CLEAN is done. */
void stats_add_round(struct stats *s, const struct stats_round *r);

/* The guest is observed and a CLEAN is done. */
void stats_add_sample(struct stats *s, const struct stats_sample *l);

/* What decide() made of that round or sample: rounds do not help (any more), or they do. */
void stats_note_stall(struct stats *s, bool stalled);

/* From now on the guest is capped, to less than it used in the last window. Until the next CLEAN
 * it is assumed to write as before, slower in proportion; that CLEAN shows whether it does. */
void stats_slow_down(struct stats *s, unsigned cap_percent);

/* The share of its speed that the guest has left: 1 when it was never slowed, or ignores the cap.
 */
double stats_slowed_share(const struct stats *s);

/* Pages that the guest would write to within that span, and the span (at most the last window) in
 * which it would write to that many. */
double stats_dirty_within(const struct stats *s, int64_t span_ns);
int64_t stats_span_of(const struct stats *s, double pages);

/* While the guest is observed: pages of the last sample, scaled from its window to that span. */
double stats_sample_share(const struct stats *s, uint64_t pages, int64_t span_ns);

/* And how many it would write to within that span: along the curve, but slowed down or sped up so
 * that it passes through the last sample. */
double stats_sample_within(const struct stats *s, int64_t span_ns);

/* How many of the pages left a round would send. */
double stats_next_sent(const struct stats *s);

/* Of what is left, so many pages would go in a second. 0: unknown. */
double stats_left_per_s(const struct stats *s);

/* Bytes on the wire for a page; 4096 before any was sent. */
double stats_bytes_per_page(const struct stats *s);

/* Pages per second over a span; 0 when it has no length. */
double pages_per_s(uint64_t pages, int64_t span_ns);
/* Processor time used in a span, in percent of one processor; 0 when it has no length. */
double cpu_used_percent(uint64_t cpu_ns, int64_t span_ns);

#endif
