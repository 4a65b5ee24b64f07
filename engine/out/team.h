/* SPDX-License-Identifier: MIT */
/*
 * The lanes of an out: threads that the story commands through one struct lane_team, whose lock
 * guards everything in it that changes. A round is a new generation; each lane counts busy_lanes
 * down when it is through.
 */
#ifndef ENGINE_OUT_TEAM_H
#define ENGINE_OUT_TEAM_H

#include "base/cancel.h"
#include "base/limits.h"
#include "base/log.h"
#include "dirtylog/extents.h"
#include "engine/out/lane_counts.h"
#include "engine/out/out.h"
#include "transport/sent_pages.h"

#include <pthread.h>
#include <stdatomic.h>

enum lane_order { LANE_ROUND, LANE_QUIT };

struct lane_team {
    /* The same for all lanes; not changed while any runs. */
    unsigned lane_count;     /* that are wanted */
    uint32_t codecs;         /* allowed: bits of enum codec */
    struct sent_pages *sent; /* NULL: nothing goes as a difference */
    const struct cancel *cancel;
    const struct log *log;

    /* The story's. */
    unsigned started_lanes;
    struct lane_counts *counts[MAX_LANES]; /* of those, in their order */

    pthread_mutex_t lock;
    pthread_cond_t ordered;  /* lanes wait for a new generation */
    pthread_cond_t changed;  /* the story waits for busy_lanes, failure or outcome */
    unsigned generation;     /* lock */
    enum lane_order order;   /* lock: what to do in this generation */
    struct round_job job;    /* lock; not changed while lanes are busy */
    struct frame_share left; /* of the job's bitmap; begun while no lane is busy */
    unsigned busy_lanes;     /* lock */
    struct err failure;      /* lock: the first of any lane */
    atomic_bool stop;        /* checked between batches */
};

/* The caller has set what all lanes share; everything else is zero. */
int lane_team_init(struct lane_team *t, struct err *e);
void lane_team_destroy(struct lane_team *t);

/* Start the thread of the next lane; counts are the lane's. */
int lane_team_start(struct lane_team *t, pthread_t *thread, void *(*run)(void *lane), void *lane,
    struct lane_counts *counts, struct err *e);

/* One round: returns when all lanes are through. wake(), unless it is NULL, is called once if one
 * has failed, or somebody else has set t->stop, so that the others end. Whether it went well is in
 * t->failure. */
void lane_team_run_round(struct lane_team *t, const struct round_job *job, void (*wake)(void *arg),
    void *arg, struct round_counts *counts);

/* Have all lanes end; the caller joins them. */
void lane_team_quit(struct lane_team *t);

/* A lane's: 0, or -errno if it is to stop, without a message if another lane has the cause. */
int lane_team_check(const struct lane_team *t, struct err *e);
/* A lane's: wait for an order of another generation than that. */
enum lane_order lane_team_await(struct lane_team *t, unsigned *generation, struct round_job *job);
/* A lane's thread: rounds by that function, until it is told to quit. */
void lane_team_serve(struct lane_team *t,
    void (*round)(void *lane, const struct round_job *job, struct err *e), void *lane);
/* The round's next frames, at most so many, that are due: how many, 0 when there are none left, or
 * -errno, without a message if another lane has the cause. Those that are not due are counted;
 * prime as for round_job_filter(). */
int lane_team_next(struct lane_team *t, struct frame_walk *walk, const struct round_job *job,
    struct lane_counts *counts, struct round_prime *prime, uint64_t *pfns, unsigned most,
    struct err *e);
/* A lane is through with its order; a failure stops the others. */
void lane_team_report(struct lane_team *t, const struct err *outcome);

#endif
