/* SPDX-License-Identifier: MIT */
/*
 * What to do after a round: a pure function of what was measured (stats.h), of what the
 * administrator allows, and of what the parts of the pause cost that are not pages.
 *
 * The guest's pause consists of the suspend itself, the FINAL CLEAN, the pages that are left (those
 * dirty now and those dirtied until the guest stands still), its state, and the receiver's finish.
 * It is predicted twice: for a suspend now, and for a suspend after one more round.
 *
 *   within --max-downtime                     suspend, or a short round that leaves much less
 *   not, but a round shortens it enough       another round
 *   not, and rounds do not help: all that     wait a little for a better moment, then do what
 *   is left is the working set                --on-stall says: suspend, or give up
 *   --max-rounds, --max-time, --max-bytes     the same, at once, if going on would exceed it
 *
 * A round is enough if a dozen like it would reach the goal.
 *
 * The better moment is a guest that pauses or turns to something else. First the guest is observed
 * without sending anything, provided that this leaves not much more to send: until a round would
 * leave clearly less than was left before, or for half as long as the migration has lasted so
 * far (longer, if the guest writes to nothing new). If it did not become calm, a few rounds follow,
 * because something may have changed by their end. Pages that it wrote to both before and during
 * the observation are kept out of the first of these rounds, if there was little else.
 *
 * --on-stall throttle: before a suspend with too long a pause, the guest is slowed down step by
 * step by a cap on its processor time. How far follows from the curve of its writes: so far that
 * rounds shorten the pause again until it is short enough. This ends with a suspend: when the pause
 * is short enough, when the guest is as slow as it may become, or when it ignores the cap.
 */
#ifndef SCHED_DECIDE_H
#define SCHED_DECIDE_H

#include "sched/stats.h"

#include <stdbool.h>
#include <stdint.h>

enum on_stall { ON_STALL_SUSPEND, ON_STALL_ABORT, ON_STALL_THROTTLE, ON_STALLS };

struct decide_limits {
    int64_t max_downtime_ns;
    int64_t max_time_ns; /* of the whole migration; 0: none */
    unsigned max_rounds; /* 0: none */
    uint64_t max_bytes;  /* on the wire; 0: none */
    enum on_stall on_stall;
};

/* What is thought of something that is not known yet: what it takes, and what it takes at least and
 * at most. */
struct likely {
    int64_t ns, low_ns, high_ns;
};

/* The parts of the pause that do not depend on pages, as measured or estimated. */
struct decide_costs {
    int64_t suspend_ns;
    int64_t state_ns;
    int64_t receiver_ns;
    int64_t network_ns; /* round trips: of the last bytes, and of the hand-off */
    /* All of them together at least and at most; both 0: not far from their sum. */
    int64_t low_ns, high_ns;
};

struct prediction {
    uint64_t pages; /* of the last round */
    int64_t suspend_ns, clean_ns, pages_ns, state_ns, receiver_ns, network_ns;
    int64_t whole_ns;        /* their sum; INT64_MAX when no speed is known and pages are left */
    int64_t low_ns, high_ns; /* it should lie between these */
    /* high_ns, with less allowed for the parts that no further round can shorten: what decides
     * whether another one is worth it. */
    int64_t careful_ns;
};

/* The FINAL CLEAN and the pages: what the last round takes. */
int64_t prediction_last_round_ns(const struct prediction *p);

enum action {
    ACT_ROUND,
    ACT_OBSERVE,  /* send nothing for sample_ns, then CLEAN */
    ACT_THROTTLE, /* slow the guest down to cap_percent, then another round */
    ACT_SUSPEND,
    ACT_GIVE_UP,
};

enum reason {
    REASON_SHORTER,  /* another round makes the pause shorter */
    REASON_PATIENCE, /* rounds do not help enough, but the guest may become calm */
    REASON_SLOWER,   /* with a slower guest rounds would shorten the pause */
    REASON_DOWNTIME, /* the predicted pause is within the limit */
    REASON_MINIMUM,  /* it is not, and no round would shorten it enough */
    REASON_SLOWEST,  /* it is not, and slowing the guest down (further) would not help */
    REASON_FLOOR,    /* it is not, but pages are a small part of it */
    REASON_ROUNDS,   /* a limit was reached */
    REASON_TIME,
    REASON_BYTES,
};

struct decision {
    enum action action;
    enum reason reason;
    bool stalled;            /* rounds do not help any more */
    unsigned stall_left;     /* REASON_PATIENCE: at most this many more rounds */
    bool keep_repeats;       /* next round: leave out pages that the guest keeps rewriting */
    unsigned cap_percent;    /* ACT_THROTTLE: of one processor, for all of the guest's together */
    int64_t least_round_ns;  /* next round: a shorter one would show nothing new */
    int64_t sample_ns;       /* ACT_OBSERVE: until it is looked at again, */
    int64_t observe_left_ns; /* and until that ends at the latest */
    struct prediction now, next;
};

/* How many more rounds a guest gets once it does not converge. */
enum { DECIDE_PATIENCE = 3 };

/* With a lower --max-rounds the guest would be suspended before it could be slowed down. */
enum { DECIDE_THROTTLE_ROUNDS = DECIDE_PATIENCE + 1 };

/* Their sums, and both ends of what they may come to. */
struct decide_costs decide_costs_of(const struct likely *suspend, int64_t state_ns,
    const struct likely *receiver, int64_t network_ns);

struct decision decide(
    const struct stats *s, const struct decide_limits *l, const struct decide_costs *c);

/* Is the guest thought to be suspended after one more round? */
static inline bool decision_ends_with_round(const struct decision *d, const struct decide_limits *l)
{
    return d->next.whole_ns <= l->max_downtime_ns;
}

/* What a round is assumed to cost besides its pages and the CLEAN. */
#define DECIDE_ROUND_NS INT64_C(2000000)

/* As events spell them. */
const char *action_name(enum action a);
const char *reason_name(enum reason r);
const char *on_stall_name(enum on_stall o);
/* False if it is none. */
bool on_stall_parse(const char *text, enum on_stall *o);

#endif
