/* SPDX-License-Identifier: MIT */
/*
 * One lane at the source: a thread that, for each round, takes extents of the round's bitmap as
 * long as there are any and maps, translates, encodes and sends them on its own connection. It
 * owns its Xen handles, batch and encoder; the channel is the caller's.
 *
 * The story commands all lanes through one struct lane_team (team.h). With the last round a lane
 * also ends its connection: the guest stands still, and no order is waited for.
 */
#ifndef ENGINE_OUT_LANE_H
#define ENGINE_OUT_LANE_H

#include "engine/aux/out.h"
#include "engine/batch.h"
#include "engine/out/team.h"
#include "engine/report.h"
#include "sched/codec_choice.h"
#include "transport/channel.h"
#include "transport/pages.h"
#include "transport/record.h"

#include <pthread.h>
#include <stdatomic.h>

struct lane {
    struct lane_team *team;
    const struct guest *guest;
    struct channel *ch;

    /* The lane's thread's own. */
    pthread_t thread;
    struct xen xen;
    struct batch *batch;
    struct page_encoder *encoder;
    struct aux_buffer *aux; /* the story's until the first round; NULL: nothing is announced */
    struct codec_choice choice;
    bool shrank;          /* the last record, by its codec */
    unsigned primed;      /* pages sent only to be kept, while it was not known if that helps */
    unsigned coded_pages; /* the most that a compressed record of this lane has */
    uint64_t barriers;    /* sent, one at the end of each round */
    int64_t page_ns;      /* per page of the last batch, from loading to sent */
    /* Read by the story when the lane is not busy. */
    struct lane_totals totals;
    struct lane_profile profile;

    struct lane_counts counts; /* this round */
};

/* What they have sent, at any time; and where their time went, when none is busy. */
uint64_t lanes_sent_bytes(const struct lane *lanes, unsigned count);
void lanes_fill_profile(const struct lane *lanes, unsigned count, struct total_report *total);

/* Open what the lane owns and start its thread. Nothing is left when it fails. */
int lane_start(struct lane *l, struct frame_notes *notes, struct err *e);

/* After lane_team_quit(): join and free. */
void lane_join(struct lane *l);

#endif
