/*
 * What to do after a round: a pure function of what was seen, of what the administrator allows
 * and of what the parts of the pause cost that are not pages.
 *
 * The guest's pause is the suspend itself, the FINAL CLEAN, the pages that are left (those found
 * dirty now, and those dirtied until the guest stands still), its state, and the receiver's
 * finish. It is predicted twice: if the guest were suspended now, and after one more round.
 *
 *   within --max-downtime                     suspend
 *   not, but a round shortens it enough       another round
 *   not, and rounds do not help: the          wait a little for a better moment, then what
 *   working set is what is left               --on-stall says: suspend, or give up
 *   --max-rounds, --max-time, --max-bytes     the same, at once: whoever goes on would break it
 *
 * Enough is what a dozen such rounds would lead to the goal with.
 *
 * What it waits for is a guest that pauses for breath, or does something else. It is watched first,
 * with nothing sent, where that leaves not much more: until a round would leave clearly less than
 * was left before, or for as long as all that went before; longer, if it writes to nothing new. If
 * it did not become calm, some rounds follow, because something may have changed by their end. What
 * it wrote to both before and while it was watched is left out of the first of them, if there was
 * little else.
 *
 * --on-stall throttle: before it is suspended with too long a pause, the guest is slowed down by a
 * cap on its processor time, step by step. How far, is read off what is known of its writing: so
 * far that rounds shorten the pause again until it is short enough. It ends, and the guest is
 * suspended, when that is so; or when it is as slow as it may become, or does not heed the cap.
 */
#ifndef SCHED_DECIDE_H
#define SCHED_DECIDE_H

#include "sched/seen.h"

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

/* The parts of the pause that do not depend on pages, as measured or estimated. */
struct decide_costs {
    int64_t suspend_ns;
    int64_t state_ns;
    int64_t receiver_ns;
};

struct prediction {
    uint64_t pages; /* of the last round */
    int64_t suspend_ns, clean_ns, pages_ns, state_ns, receiver_ns;
    int64_t whole_ns;        /* their sum; INT64_MAX when no speed is known and pages are left */
    int64_t low_ns, high_ns; /* it is thought to lie between these */
};

/* The FINAL CLEAN and the pages: what the last round takes. */
int64_t prediction_last_round_ns(const struct prediction *p);

enum action {
    ACT_ROUND,
    ACT_WATCH,    /* send nothing for look_ns, then look what the guest has written meanwhile */
    ACT_THROTTLE, /* slow the guest down to cap_percent, then another round */
    ACT_SUSPEND,
    ACT_GIVE_UP,
};

enum reason {
    REASON_SHORTER,  /* another round: it makes the pause shorter */
    REASON_WATCH,    /* watch or another round: none helps enough, but the guest may become calm */
    REASON_SLOWER,   /* throttle: a slower guest would let rounds shorten the pause */
    REASON_DOWNTIME, /* the predicted pause is within the limit */
    REASON_MINIMUM,  /* it is not, and no further round would shorten it enough */
    REASON_SLOWEST,  /* it is not, and slowing the guest down (further) would not help */
    REASON_FLOOR,    /* it is not, but pages are a small part of it */
    REASON_ROUNDS,   /* a limit was reached */
    REASON_TIME,
    REASON_BYTES,
};

struct decision {
    enum action action;
    enum reason reason;
    bool stalled;           /* rounds do not help any more */
    unsigned stall_left;    /* REASON_WATCH: so many more rounds at most */
    bool leave_repeats;     /* next round: leave out pages that the guest writes to all the time */
    unsigned cap_percent;   /* ACT_THROTTLE: of one processor, for all of the guest's together */
    int64_t least_round_ns; /* next round: let it last so long, or it shows nothing new */
    int64_t look_ns;        /* ACT_WATCH */
    struct prediction now, next;
};

/* How many more rounds a guest is given that does not converge, before it is dealt with. */
enum { DECIDE_PATIENCE = 3 };

/* With fewer rounds allowed, the guest would be suspended before it could be slowed down. */
enum { DECIDE_THROTTLE_ROUNDS = DECIDE_PATIENCE + 1 };

struct decision decide(
    const struct seen *s, const struct decide_limits *l, const struct decide_costs *c);

/* What a round is thought to cost beside its pages and the CLEAN. */
#define DECIDE_ROUND_NS INT64_C(2000000)

/* As events spell them. */
const char *action_name(enum action a);
const char *reason_name(enum reason r);
const char *on_stall_name(enum on_stall o);
/* False if it is none. */
bool on_stall_parse(const char *text, enum on_stall *o);

#endif
