/*
 * What a migration has shown so far, and what is estimated from it: how fast pages go, how the
 * guest dirties them, what a CLEAN costs. Plain numbers, fed by whoever runs the rounds (the
 * engine, or a simulation in perf/), read by decide.h.
 *
 * The unit of speed is pages really sent, whatever compression or zero marks made of them:
 * pages are what is left. How a guest dirties memory is a curve, the distinct pages that it
 * writes to within a span of time:
 *
 *   pages │            ·──────·   flat: the writable working set is full
 *         │      ·───'
 *         │   ·'                  steep: every write finds a clean page
 *         └──────────────────── span since the CLEAN
 *
 * PEEKs while a round runs give its points, the CLEAN at the round's end the last one. With it
 * the next round's outcome is read off: it takes as long as what is left takes to send.
 *
 * A guest that does not converge may be watched for a while: nothing is sent, and looks follow one
 * another, each a CLEAN whose pages join what is left. They are no rounds, and leave the curve as
 * it is; they show how fast the guest writes just now.
 *
 * Numbers that make no sense (a clock that jumped, a link on which nothing moved) are left out, so
 * that one bad look does not become a bad decision.
 */
#ifndef SCHED_SEEN_H
#define SCHED_SEEN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SEEN_SPEEDS = 16,
    SEEN_POINTS = 24,
    /* Fewer are mostly overhead: they can only show that pages go faster than was thought. */
    SEEN_LEAST_PAGES = 256,
};

struct seen_speed {
    double pages;
    int64_t span_ns;
};

struct seen_point {
    int64_t span_ns;
    double pages;
};

/* One live round and the CLEAN after it. */
struct seen_round {
    int64_t elapsed_ns;   /* since the migration began, as the CLEAN returned */
    int64_t window_ns;    /* from the CLEAN before to this one: how long the guest wrote */
    int64_t clean_ns;     /* what this one took; the guest stood still */
    uint64_t sent_pages;  /* in this round, as data or marks */
    uint64_t wire_bytes;  /* in this round */
    uint64_t dirty_pages; /* found by the CLEAN */
    uint64_t left_pages;  /* to be sent if the guest were suspended now: dirty, deferred or kept */
    uint64_t kept_pages;  /* of these, kept out of the round */
    double cpu_percent;   /* of one processor, used by the guest in the window; 0: not known */
};

/* A look at a guest that is only watched: nothing was sent before this CLEAN, and what it found
 * joins what is left. */
struct seen_look {
    int64_t elapsed_ns; /* these as in seen_round */
    int64_t window_ns;
    int64_t clean_ns;
    uint64_t dirty_pages;
    uint64_t left_pages;
};

/* A guest that was slowed down by a cap on its processor time. */
struct seen_slowed {
    unsigned steps;  /* 0: it never was, and the rest says nothing */
    unsigned rounds; /* since the last one */
    unsigned cap_percent;
    double whole_percent; /* what it used before the first step */
    double last_share;    /* of its speed then that the last step was to leave */
    bool judged;          /* the last step was, by the CLEAN after it */
    unsigned unanswered;  /* steps in a row after which it wrote about as much as before */
};

struct seen {
    unsigned rounds;
    struct seen_round last;
    uint64_t before_left_pages; /* left_pages of the round before; 0: there was none */
    uint64_t wire_bytes;
    uint64_t sent_pages;
    uint64_t least_left_pages; /* of all rounds so far */
    unsigned vain_rounds;      /* in a row, that left about as much as the one before */
    unsigned stalled_rounds;   /* since decide() first saw that rounds do not help */
    uint64_t stall_left_pages; /* what was left then */
    bool watching;             /* there were looks since the last round; this was the newest: */
    struct seen_look look;
    uint64_t look_new_pages;   /* of those that it found, not left before */
    int64_t watch_from_ns;     /* when the first of them began, */
    uint64_t watch_from_pages; /* and what was left then */
    unsigned watches;          /* in all of the migration, */
    int64_t watched_ns;        /* and how long */

    double send_pages_per_s; /* 0: nothing known */
    double send_spread;      /* how much it varies, as a share of it */
    double dirty_pages_per_s;
    double skipped_share; /* of the last round's pages: dirty again before their turn, not sent */
    int64_t clean_ns;
    struct seen_slowed slowed;

    /* The newest speeds, and what is not long enough to be one yet. */
    struct seen_speed speeds[SEEN_SPEEDS], pending;
    unsigned speed_count, speed_next;
    /* The curve of the window that runs (PEEKs), and of the last whole one. */
    struct seen_point running[SEEN_POINTS], curve[SEEN_POINTS];
    unsigned running_count, curve_count;
};

/* While a round runs: pages sent in that span, the newest one. Marks for zero pages cost less than
 * pages: count them for less in the first round, which has most of them. absent_pages: frames that
 * turned out to have no memory. Where they are most of it, much of the time was theirs, and it only
 * counts until something better is seen: a small guest's first round may be one such look. */
void seen_speed(struct seen *s, uint64_t pages, uint64_t absent_pages, int64_t span_ns);

/* While a round runs: so many pages are dirty, that long after the last CLEAN. */
void seen_peek(struct seen *s, int64_t span_ns, uint64_t dirty_pages);

/* A live round is over and its CLEAN was read. */
void seen_round(struct seen *s, const struct seen_round *r);

/* The guest was watched for a while, and the CLEAN was read. */
void seen_look(struct seen *s, const struct seen_look *l);

/* The decision after that round or look was that rounds do not help (any more), or that they do. */
void seen_stall(struct seen *s, bool stalled);

/* From now on the guest is capped at so much, which is less than it used in the last window. Until
 * the next CLEAN it is thought to write as before, only slower in proportion; that one shows it. */
void seen_slow_down(struct seen *s, unsigned cap_percent);

/* What is left of the guest's speed: 1 when it was never slowed, or does not heed it. */
double seen_slowed_share(const struct seen *s);

/* Pages that the guest would write to within that span, and the span (at most the last window) in
 * which it would write to so many. */
double seen_dirty_within(const struct seen *s, int64_t span_ns);
int64_t seen_span_of(const struct seen *s, double pages);

/* While the guest is watched: of so many pages of the last look, what a span has at that speed. */
double seen_look_share(const struct seen *s, uint64_t pages, int64_t span_ns);

/* And how many it would write to within that span: as it did before, but so much slower or faster
 * that it would have written to as many in the look. */
double seen_look_within(const struct seen *s, int64_t span_ns);

/* Of what is left, how many pages a round would send. */
double seen_next_sent(const struct seen *s);

/* Bytes on the wire for a page; 4096 before any was sent. */
double seen_bytes_per_page(const struct seen *s);

/* Pages per second over a span; 0 when it has no length. */
double pages_per_s(uint64_t pages, int64_t span_ns);
/* Processor time used in a span, in percent of one processor; 0 when it has no length. */
double cpu_used_percent(uint64_t cpu_ns, int64_t span_ns);

#endif
