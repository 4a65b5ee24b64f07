/* SPDX-License-Identifier: MIT */
/*
 * The destination's story: builds memory and state of a domain that libxl has created empty and
 * paused. On failure it returns with nothing mapped, and the half-built domain is the caller's to
 * destroy. Runs on the save helper's main thread. A failure fires the cancel object; its first
 * cause is reported to the caller and, if possible, to the source.
 */
#ifndef ENGINE_DEST_H
#define ENGINE_DEST_H

#include "base/cancel.h"
#include "base/err.h"
#include "engine/arrival.h"
#include "engine/guest/loader.h"

#include <stdint.h>

struct in;

struct dest_toolstack {
    /* Once, at STATIC_DATA_END, before any page. missing: XGR_SDD_MISSING_* bits. */
    int (*static_data_done)(void *arg, unsigned missing, struct err *e);
    /* While pages come, if the source wants that: the rings are there, and the rest can be built
     * around the domain. At most once; nothing is asked of the toolstack after it. */
    int (*build)(void *arg, const struct guest_rings *rings, struct err *e);
    void *arg;
};

struct dest_report_ops {
    /* About five times a second: frames populated and bytes received so far. Called by whichever
     * of the engine's threads just received, one at a time. */
    void (*progress)(void *arg, uint64_t populated_pages, uint64_t wire_bytes);
    void *arg;
};

struct dest_params {
    struct loader_params guest;
    struct in *in; /* from the caller; dest_close() closes it */
    struct cancel *cancel;
    const struct dest_toolstack *toolstack;
    const struct dest_report_ops *report;
};

struct dest_result {
    struct guest_rings rings;
    struct arrival arrival;
    uint64_t wire_bytes;
};

struct dest;

/* When all is in place, or when it failed, the source is told before this returns. On success *left
 * is what the story still holds (memory, Xen's handles, the in), for dest_close(): the guest stands
 * still, and a process that ends at once need not spend its time on that. On failure everything is
 * closed, and *left NULL. */
int dest_run(
    const struct dest_params *p, struct dest_result *result, struct dest **left, struct err *e);
void dest_close(struct dest *d);

#endif
