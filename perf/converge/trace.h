/* SPDX-License-Identifier: MIT */
/*
 * Workloads: what a guest writes, as a list of page numbers at equal steps of time, made from a
 * seed. The same list drives a simulated run and a xensim guest (--pattern file:), so that both
 * can be compared. A list that is used up begins anew.
 */
#ifndef PERF_CONVERGE_TRACE_H
#define PERF_CONVERGE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_NO_WRITE UINT32_MAX

enum workload {
    WORK_IDLE,
    WORK_UNIFORM,
    WORK_HOT,
    WORK_ZIPF,
    WORK_SWEEP,
    WORK_BURSTS,
    WORK_PHASES,
    WORK_SERVER,
    WORK_FILES,
    WORK_DATABASE,
    WORK_COUNT,
};

struct trace {
    uint32_t *pages; /* TRACE_NO_WRITE: nothing in this step */
    size_t length;
    double step_ns;
    /* How much of its processor the workload needs: below that a cap slows it down. */
    double busy_share;
};

const char *workload_name(enum workload w);

/* A guest of that many pages (a power of two) that writes that many a second when it is at it,
 * for span_ns, but not more than some ten million steps. -ENOMEM. free() pages. */
int trace_make(struct trace *t, enum workload w, uint64_t seed, uint32_t guest_pages,
    double pages_per_s, int64_t span_ns);

/* From 0 to 1, for everything that has to look random and be the same in each run. */
double trace_uniform(uint64_t *state);

#endif
