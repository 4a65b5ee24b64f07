/* SPDX-License-Identifier: MIT */
/*
 * The round loop of a live migration: send what is dirty while the guest runs, until decide() says
 * that the guest has to be suspended, or that the migration gives up.
 *
 *   cpu
 *   send          a round; meanwhile precopy_poll() measures the speed and calls peek
 *   wait, peek    if the round is too short to show anything
 *   cpu, clean    and decide()
 *   wait, cpu, clean, decide() ...    ACT_OBSERVE: until decide() says something else
 *   cap           ACT_THROTTLE
 *   may_suspend   ACT_SUSPEND: can that be now? If not:
 *   send          the next round ...
 *
 * The loop owns the measurements, the decisions and the timing. Bitmaps, sending and the guest
 * belong to the caller, behind struct precopy_ops: those of the engine are a real guest's, those of
 * forecast.c and perf/converge/ are simulated, and so is their clock. One thread, the caller's.
 */
#ifndef SCHED_PRECOPY_H
#define SCHED_PRECOPY_H

#include "base/deadline.h"
#include "base/err.h"
#include "sched/decide.h"

#include <stdbool.h>
#include <stdint.h>

/* How often send calls precopy_poll(), about. */
#define PRECOPY_POLL_NS (50 * NS_PER_MS)

/* What to leave out of a round. */
struct round_plan {
    /* Pages that both of the last two CLEANs found: they would only be sent in vain. */
    bool keep_repeats;
    /* Pages that the last PEEK of the round found: the next CLEAN has them anyway. */
    bool skip_redirtied;
};

/* A round so far (precopy_poll) or at its end. */
struct round_stats {
    uint64_t data_pages;   /* sent with contents */
    uint64_t zero_pages;   /* sent as a mark */
    uint64_t delta_pages;  /* of data_pages: sent as differences */
    uint64_t absent_pages; /* without memory */
    uint64_t wire_bytes;
    /* At its end only. */
    uint64_t kept_pages;     /* not sent: round_plan.keep_repeats */
    uint64_t deferred_pages; /* could not be read yet */
    uint64_t stuck_pages;    /* of these, the ones that a suspend would not put right */
};

enum clean_after {
    /* A round, which sent all that was left but for what it kept. Left are what this CLEAN finds
     * and what was kept. */
    CLEAN_AFTER_ROUND,
    /* Nothing was sent since the last CLEAN: what this one finds joins what is left. */
    CLEAN_FIRST_SAMPLE,
    /* The same. For round_plan.keep_repeats it counts as one CLEAN with the samples before. */
    CLEAN_NEXT_SAMPLE,
};

struct clean_stats {
    uint64_t dirty_pages; /* found */
    uint64_t left_pages;  /* without the deferred ones */
    uint64_t delta_pages; /* of these, about so many would go as differences */
    int64_t cleared_ns;   /* when the log was clear again, before any work on bitmaps */
};

struct precopy;

/* 0, or -errno with *e set, which ends the loop. */
struct precopy_ops {
    /* Send what is left, as planned; fill *stats when it succeeds. */
    int (*send)(void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e);
    /* Read and clear the log of dirty pages. */
    int (*clean)(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e);
    /* Read it without clearing. False: it failed, and the loop goes on without. NULL: cannot. */
    bool (*peek)(void *arg, uint64_t *dirty_pages);
    /* Before each decision: change those of the limits that are others now. NULL: they never do. */
    void (*limits)(void *arg, struct decide_limits *limits);
    /* Let the guest run until then. */
    int (*wait)(void *arg, int64_t until_ns, struct err *e);
    /* Slow the guest down to that many percent of one processor. Only for ON_STALL_THROTTLE. */
    int (*cap)(void *arg, unsigned percent, struct err *e);
    /* The guest is to be suspended: *may is whether that can be now. If not, this has let the guest
     * run for a while, and a round follows. NULL: it always can. */
    int (*may_suspend)(void *arg, bool *may, struct err *e);
    /* The processor time that the guest has used so far. Fails when it no longer runs. */
    int (*cpu)(void *arg, uint64_t *cpu_ns, struct err *e);
    /* p->decision is new: after a round, or (p->stats.observing) at the end of an observation. */
    void (*decided)(void *arg, const struct precopy *p);
    int64_t (*now)(void *arg);
};

struct precopy {
    /* Set by the caller; the rest is zero, but stats may hold a given speed. */
    const struct precopy_ops *ops;
    void *arg;
    struct decide_limits limits;
    struct decide_costs costs;
    int64_t begun_ns;  /* when the migration began */
    int64_t logged_ns; /* when logging began, then when the log was last cleared */

    /* May be read at any time. */
    struct stats stats;
    struct decision decision;
    struct round_stats round; /* the last one */

    /* The loop's own. */
    bool cpu_read;      /* the guest's processor time was, */
    int64_t cpu_at_ns;  /* when, */
    uint64_t cpu_ns;    /* what it was, */
    double cpu_percent; /* and how much of one processor it had used since the time before */
    int64_t peek_ns, peek_cost_ns;
    uint64_t peek_bytes;                      /* of this round, sent by then */
    int64_t speed_ns;                         /* when the speed was last measured, */
    uint64_t speed_pages, speed_absent_pages; /* and how many of this round were done by then */
};

/* Returns 0 when p->decision is ACT_SUSPEND or ACT_GIVE_UP. */
int precopy_run(struct precopy *p, struct err *e);

/* From send, on its thread. */
void precopy_poll(struct precopy *p, const struct round_stats *so_far);

#endif
