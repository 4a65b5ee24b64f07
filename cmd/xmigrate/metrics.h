/* SPDX-License-Identifier: MIT */
/*
 * Figures for monitoring (docs/metrics.md): what became of migrations since this host was started,
 * counted in the run directory by the process of each at its end, so that a short one is seen
 * afterwards, and how those under way are. --metrics writes them as OpenMetrics text.
 */
#ifndef CMD_XMIGRATE_METRICS_H
#define CMD_XMIGRATE_METRICS_H

#include "base/log.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/admin_words.h"

/* Of migrations that ended in one way, in one direction. */
struct metrics_sum {
    uint64_t count;
    int64_t duration_ns;
    uint64_t wire_bytes;
    uint64_t delta_pages, delta_saved_bytes; /* sent as differences, and what that saved */
    int64_t downtime_ns, predicted_ns; /* the guests' pauses, and what they were predicted to be */
};

enum { METRICS_OUTCOMES = EXIT_DOUBT + 1 };

struct metrics {
    struct metrics_sum of[LINK_DESTINATION + 1][METRICS_OUTCOMES]; /* by enum exit_code */
};

/* One has ended. Nothing depends on it. */
void metrics_count(
    enum link_role role, int exit_code, const struct metrics_sum *one, const struct log *log);

/* What is counted so far. */
int metrics_load(struct metrics *m, struct err *e);

/* Pure: the text, malloc'ed; NULL: no memory. */
char *metrics_text(
    const struct metrics *m, const struct admin_status *under_way, unsigned under_way_count);

/* To that file, which appears whole or not at all; "-": to standard output. An exit code. */
int metrics_main(const char *file, const struct log *log);

#endif
