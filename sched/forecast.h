/* SPDX-License-Identifier: MIT */
/*
 * What a live migration would be like: the round loop (precopy.h) run in simulated time over what a
 * guest wrote while it was only observed, and over what its pages and the link cost. Pure.
 *
 * A round lasts as long as its pages take; meanwhile the guest writes to as many as it did in a
 * span of that length. Of the round's pages that it writes to again, half are assumed to be
 * redirtied before their turn, and so are not sent.
 */
#ifndef SCHED_FORECAST_H
#define SCHED_FORECAST_H

#include "sched/decide.h"
#include "sched/words.h"

struct forecast_of {
    const struct stats *observed; /* at least one window, in which nothing was sent */
    uint64_t pages;               /* that have memory */
    double zero_share;            /* of them, which are sent as a mark */
    double send_pages_per_s;      /* with contents */
    double send_spread;           /* how much that varies, as a share of it */
    double page_bytes;            /* on the wire, of one with contents */
    struct decide_limits limits;
    struct decide_costs costs;
};

struct forecast {
    struct decision last;             /* action: ACT_SUSPEND or ACT_GIVE_UP; now: the pause */
    bool met;                         /* the pause is within the limit */
    unsigned rounds;                  /* including the one in the pause */
    uint64_t bytes;                   /* on the wire */
    int64_t time_ns;                  /* in all; INT64_MAX when the speed is unknown */
    unsigned cap_percent;             /* what the guest would be slowed down to; 0: it would not */
    char words[DECISION_WORDS_BYTES]; /* of the last decision */
};

void forecast_run(const struct forecast_of *of, struct forecast *f);

#endif
