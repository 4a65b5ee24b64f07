/* SPDX-License-Identifier: MIT */
/*
 * The fields of what a save helper tells its supervisor while it works and when it is done: the
 * events of docs/events.md and the link's "done". The helper writes them, the supervisor reads
 * them.
 */
#ifndef CMD_EVENT_FIELDS_H
#define CMD_EVENT_FIELDS_H

#include "cmd/fields.h"
#include "engine/dest.h"
#include "engine/report.h"

extern const struct field progress_fields[];    /* struct progress_report */
extern const struct field round_fields[];       /* struct round_report */
extern const struct field prediction_fields[];  /* struct prediction, by fold_prediction() */
extern const struct field downtime_fields[];    /* struct downtime_report */
extern const struct field lane_fields[];        /* struct lane_profile */
extern const struct field total_fields[];       /* struct total_report but for its lanes */
extern const struct field dest_result_fields[]; /* struct dest_result but for its frames */

/* As events tell it, so that its parts compare with what then happened: pages_ns is the last round
 * with its CLEAN, receiver_ns all that follows. */
struct prediction fold_prediction(const struct prediction *p);

#endif
