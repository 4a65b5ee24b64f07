/* SPDX-License-Identifier: MIT */
/*
 * One lane at the source: a thread that, for each round, takes extents of the round's bitmap as
 * long as there are any and maps, translates, encodes and sends them on its own connection. It
 * owns its Xen handles, batch and encoder; the channel is the caller's.
 *
 * The story commands all lanes through one struct lane_team, whose lock guards everything in it
 * that changes. A round is a new generation; each lane counts busy_lanes down when it is through.
 * With the last round it also ends its connection: the guest stands still, and no order is waited
 * for.
 */
#ifndef ENGINE_OUT_LANE_H
#define ENGINE_OUT_LANE_H

#include "base/cancel.h"
#include "dirtylog/extents.h"
#include "engine/batch.h"
#include "engine/out/out.h"
#include "engine/report.h"
#include "sched/codec_choice.h"
#include "transport/channel.h"
#include "transport/pages.h"
#include "transport/record.h"

#include <pthread.h>
#include <stdatomic.h>

enum lane_order { LANE_ROUND, LANE_QUIT };

struct lane_team {
    /* The same for all lanes; not changed while any runs. */
    unsigned lane_count;
    uint32_t codecs; /* allowed: a bit mask of enum page_codec */
    const struct cancel *cancel;
    const struct log *log;

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

/* Give all lanes that were started an order; the team must not be busy. job: for LANE_ROUND. */
void lane_team_order(struct lane_team *t, enum lane_order order, const struct round_job *job,
    unsigned started_lanes);

struct lane {
    struct lane_team *team;
    const struct guest *guest;
    unsigned index;
    struct channel *ch;

    /* The lane's thread's own. */
    pthread_t thread;
    struct xen xen;
    struct batch *batch;
    struct page_encoder *encoder;
    struct codec_choice choice;
    bool shrank;          /* the last record, by its codec */
    unsigned coded_pages; /* the most that a compressed record of this lane has */
    uint64_t barriers;    /* sent, one at the end of each round */
    int64_t page_ns;      /* per page of the last batch, from loading to sent */
    /* Read by the story when the lane is not busy. */
    struct lane_totals totals;
    struct lane_profile profile;

    /* This round; written by the lane, read by anybody. */
    atomic_uint_fast64_t done_pages, skipped_pages, absent_pages, data_pages, zero_pages;
    /* This round; read by the story when the lane is not busy. */
    uint64_t deferred_pages, stuck_pages;
    struct page_fault fault;
};

/* Open what the lane owns and start its thread. Nothing is left when it fails. */
int lane_start(struct lane *l, struct frame_notes *notes, struct err *e);

/* After LANE_QUIT (the caller orders it) or a failed team: join and free. */
void lane_join(struct lane *l);

#endif
