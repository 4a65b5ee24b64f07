/* SPDX-License-Identifier: MIT */
/*
 * The round loop of a live migration: send what is dirty while the guest runs, until decide() says
 * that the guest has to stand still, or that the migration gives up.
 *
 *   cpu
 *   send         a round; precopy_poll() meanwhile, which measures the speed and calls peek
 *   wait, peek   if the round was too short to show anything
 *   cpu, clean   decide()
 *     observe    wait, cpu, clean, decide(), as long as that says so
 *     throttle   cap
 *   send         the next round, ...
 *
 * The loop owns the measurements, the decisions and the pace. Bitmaps, sending and the guest are
 * the caller's, behind struct precopy_ops: the engine's are a guest's, those of forecast.c and of
 * perf/converge/ are simulated. All on the caller's thread; the clock is the caller's too.
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

/* How the next round is to be sent. */
struct round_plan {
    bool keep_repeats; /* without the pages found by both of the last two CLEANs */
    bool
        skip_redirtied; /* without those that the last PEEK found: the next CLEAN has them anyway */
};

/* What became of a round, so far (precopy_poll) or at its end. */
struct round_stats {
    uint64_t data_pages;   /* sent with contents */
    uint64_t zero_pages;   /* sent as a mark */
    uint64_t absent_pages; /* without memory */
    uint64_t wire_bytes;
    /* At its end only. */
    uint64_t kept_pages;     /* not sent: round_plan.keep_repeats */
    uint64_t deferred_pages; /* could not be read yet */
    uint64_t stuck_pages;    /* of these, the ones that a suspend would not put right */
};

/* What a CLEAN follows. */
enum clean_after {
    CLEAN_AFTER_ROUND,  /* all that was left was sent, but for what was kept: that and what this
                         * finds  are left now */
    CLEAN_FIRST_SAMPLE, /* nothing was sent since the last CLEAN: what this finds joins what is left
                         */
    CLEAN_NEXT_SAMPLE,  /* the same. For round_plan.keep_repeats it counts as one with the samples
                         * before it */
};

struct clean_stats {
    uint64_t dirty_pages; /* found */
    uint64_t left_pages;  /* left now, without the deferred ones */
    int64_t cleared_ns;   /* when the log began anew: as soon as the CLEAN itself was over */
};

struct precopy;

/* 0, or -errno with *e set, which ends the loop. */
struct precopy_ops {
    /* Send what is left, as planned; fill *stats when it succeeds. */
    int (*send)(void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e);
    /* Read and clear the log of dirty pages. */
    int (*clean)(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e);
    /* Read it without clearing. False if that did not work this time: the loop goes on without.
     * NULL: this log cannot. */
    bool (*peek)(void *arg, uint64_t *dirty_pages);
    /* Let the guest run until then. */
    int (*wait)(void *arg, int64_t until_ns, struct err *e);
    /* Slow the guest down to so many percent of one processor. Only for ON_STALL_THROTTLE. */
    int (*cap)(void *arg, unsigned percent, struct err *e);
    /* The processor time that the guest has used; fails if it does not run any more. */
    int (*cpu)(void *arg, uint64_t *cpu_ns, struct err *e);
    /* p->decision was made, after a round or (p->stats.observing) at the end of an observation. */
    void (*decided)(void *arg, const struct precopy *p);
    int64_t (*now)(void *arg);
};

struct precopy {
    /* The caller sets these, the rest is zero; stats may hold a given speed. */
    const struct precopy_ops *ops;
    void *arg;
    struct decide_limits limits;
    struct decide_costs costs;
    int64_t begun_ns;  /* when the migration began */
    int64_t logged_ns; /* since when the log is on, then when it was last cleared */

    /* For everybody to read. */
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
