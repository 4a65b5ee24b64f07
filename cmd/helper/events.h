/* SPDX-License-Identifier: MIT */
/*
 * The engine's reports as events (docs/events.md), sent over the link. In drop-in use there is
 * no link and the rounds go to libxl's log instead.
 */
#ifndef CMD_HELPER_EVENTS_H
#define CMD_HELPER_EVENTS_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/dest.h"
#include "engine/report.h"

#include <jansson.h>

struct events {
    int link_sock; /* -1: drop-in */
    bool logging;  /* log-dirty was, or was about to be, switched on */
    const struct log *log;
    const struct cancel *cancel;
    const struct cancel *noted; /* fires when the supervisor has `logging` on disk */
};

/* Ops for the engine; ev must outlive them. */
struct report_ops events_source_ops(struct events *ev);
struct dest_report_ops events_dest_ops(struct events *ev);
/* While a copy in memory is written. */
void events_report_written(void *arg, uint64_t pages);

/* The body of the link's "done" message; the caller owns the reference. */
json_t *describe_total(const struct total_report *total);
json_t *describe_dest_result(const struct dest_result *result);

#endif
