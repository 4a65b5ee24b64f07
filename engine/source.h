/* SPDX-License-Identifier: MIT */
/*
 * The source's story: one function that reads from top to bottom. It runs on the save helper's main
 * thread. It returns when the guest's memory and state are with the receiver (native: when the
 * receiver has confirmed that), or with an error and log-dirty off again.
 *
 * The guest is left suspended on success, and on failure if it had been suspended by then: resuming
 * it is up to the caller (libxl, the supervisor, or the helper when both are gone).
 */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include "base/cancel.h"
#include "base/codec.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/report.h"
#include "transport/kernel_notes.h"

#include <stdbool.h>
#include <stdint.h>

struct drain;
struct out;
struct suspend_work; /* engine/xen/suspend.h */

/* What the engine asks of the toolstack (libxl's callbacks, in drop-in and native use alike). */
struct source_toolstack {
    /* Suspend the guest and wait; 0, or -errno with *e set. */
    int (*suspend)(void *arg, const struct suspend_work *work, struct err *e);
    /* Device model's log-dirty, for HVM containers. */
    int (*switch_qemu_logdirty)(void *arg, bool enable, struct err *e);
    /* Slow the guest down to that many percent of one processor, until it is asked to suspend or
     * the migration ends: the toolstack takes that back. Only for ON_STALL_THROTTLE. */
    int (*cap)(void *arg, unsigned percent, struct err *e);
    /* Has the receiver said that it is prepared? NULL: not known; then `early` must not be
     * set. */
    bool (*is_prepared)(void *arg);
    /* Asked when the guest is about to be suspended, and again until it may be: of a live move,
     * rounds go on meanwhile. */
    int (*may_suspend)(void *arg, bool *may, struct err *e);
    /* Change those of the limits that are others now, before each decision. NULL: they never do.
     */
    void (*limits)(void *arg, struct decide_limits *limits);
    void *arg;
};

struct source_params {
    uint32_t domid;
    bool live;  /* false: suspend first, then send everything once */
    bool early; /* the receiver builds all but memory and vCPUs before the suspend, if it can */
    /* After a handover log-dirty stays on: who takes the guest back knows that. */
    bool leaves_logging;
    bool verify; /* after the last round send everything again, to be compared, if the out can */
    struct out *out; /* from the caller, open; source_close() closes both */
    struct drain *drain;
    const struct log *log;
    struct cancel *cancel;
    const struct source_toolstack *toolstack;
    const struct report_ops *report;
    const struct kernel_notes *notes; /* of the guest's kernel; origin NOTES_NONE: not known */

    /* For sched/decide.h. */
    struct decide_limits limits;
    struct decide_costs costs;
    int64_t prepare_limit_ns; /* how long the receiver may take for what it builds early */
    int64_t result_limit_ns;  /* from the last byte sent to the receiver's result */
};

/* Assumed for reading and sending a guest's state, before that was measured. */
#define SOURCE_STATE_ESTIMATE_NS (5 * NS_PER_MS)

struct source;

/* On success log-dirty is off, unless it is left on, and *left is what the story still holds
 * (memory, mappings, Xen's handles, threads, the out), for source_close(): the guest stands still,
 * and a process that ends at once need not spend its time on that. On failure everything is closed,
 * and *left NULL. */
int source_run(
    const struct source_params *p, struct total_report *total, struct source **left, struct err *e);
/* Of what is left, when whoever has the guest was told and may let it run on: the out's finish. */
int source_finish(struct source *s, struct err *e);
void source_close(struct source *s);

#endif
