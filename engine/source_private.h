/* SPDX-License-Identifier: MIT */
/*
 * What source.c and pause.c share: the story of one guest at the source. Everything belongs to the
 * story's thread.
 */
#ifndef ENGINE_SOURCE_PRIVATE_H
#define ENGINE_SOURCE_PRIVATE_H

#include "dirtylog/pending.h"
#include "engine/aux/out.h"
#include "engine/drain.h"
#include "engine/guest/save.h"
#include "engine/out/out.h"
#include "engine/prepare.h"
#include "engine/report.h"
#include "sched/precopy.h"

struct source_params; /* engine/source.h */

struct source {
    const struct source_params *p; /* the caller's, until source_run() returns */
    struct total_report *total;    /* as above */
    int64_t start_ns;

    struct xen xen;
    struct guest *guest;
    struct pending pending;
    struct drain *drain;
    struct out *out;
    struct aux_out *aux;     /* NULL: the guest has none, or this out leaves it behind */
    uint64_t aux_left_bytes; /* when the log was last cleared */
    bool qemu_logs;

    /* The current round, or the last one. */
    struct round_report round;
    struct round_counts counts;
    int64_t round_start_ns;
    uint64_t round_start_bytes;
    bool live_round;     /* of the round loop, which is told how it goes */
    bool is_untold;      /* the last round, while the guest stands still, was not reported yet */
    int64_t progress_ns; /* when progress was last reported */

    struct preparation preparation;
    struct precopy precopy; /* the round loop; its decision is the last one made */
    struct precopy_ops ops; /* its; without peek if the log cannot */
};

/* --- source_progress.c --- */

void source_report_round(struct source *s);
/* If that is due. */
void source_report_progress(struct source *s, const struct round_counts *counts);

/* --- source.c --- */

/* One pass over those frames; fills s->round but for what the next CLEAN will say. plan: of the
 * round loop; NULL: none of its rounds. */
int source_send_part(struct source *s, const struct pending_part *part,
    const struct round_plan *plan, bool suspended, struct err *e);
/* The same of all that are set. */
int source_send_bitmap(struct source *s, const uint64_t *bitmap, const struct round_plan *plan,
    bool suspended, struct err *e);

/* --- pause.c: from the suspend on --- */

int source_suspend_guest(struct source *s, const char *reason, struct err *e);
int source_send_last_round(struct source *s, struct err *e);
/* Send everything once more, for a receiver that compares. */
int source_send_verify_round(struct source *s, struct err *e);
int source_send_state(struct source *s, struct err *e);
/* The receiver's toolstack opens the disks as soon as it has the image, so what this host still has
 * of them in memory goes first. Requests in hand are awaited beside that, and whether the guest is
 * still what the receiver was told is looked at while it finishes: they have time until the guest
 * is given away, which is after this process has said that it is done. */
int source_hand_over(struct source *s, struct err *e);

#endif
