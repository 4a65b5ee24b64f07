/* SPDX-License-Identifier: MIT */
/*
 * Would what the guest writes to go as differences? In the first round nothing is sent twice, so
 * now and then a lane looks again at some pages that it has kept, while it is not known.
 */
#ifndef ENGINE_OUT_LANE_TRIAL_H
#define ENGINE_OUT_LANE_TRIAL_H

#include "engine/batch.h"
#include "transport/pages.h"

/* A lane's, for one round. */
struct lane_trial {
    int64_t due_ns, pause_ns;
};

struct lane_trial lane_trial_begin(void);

/* Between batches. */
int lane_trial_look(struct lane_trial *t, struct page_encoder *enc, struct batch *b, struct err *e);

#endif
