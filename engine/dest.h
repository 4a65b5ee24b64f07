/*
 * The destination's story: builds memory and state of a domain that libxl has created empty and
 * paused. Returns with nothing mapped; on failure the half-built domain is the caller's to
 * destroy. Runs on the save helper's main thread. Native: a failure fires the cancel object, and
 * the first cause is what the caller, and the source, get to see.
 */
#ifndef ENGINE_DEST_H
#define ENGINE_DEST_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"
#include "transport/channel.h"

#include <stdint.h>

struct dest_toolstack {
    /* Once, at STATIC_DATA_END, before any page. missing: XGR_SDD_MISSING_* bits. */
    int (*static_data_done)(void *arg, unsigned missing, struct err *e);
    void *arg;
};

struct dest_report_ops {
    /* About five times a second: frames populated and bytes received so far. Called by whichever
     * of the engine's threads just received, one at a time. */
    void (*progress)(void *arg, uint64_t populated_pages, uint64_t wire_bytes);
    void *arg;
};

struct dest_params {
    uint32_t domid;
    uint32_t store_evtchn, store_domid;
    uint32_t console_evtchn, console_domid;
    const struct log *log;
    struct cancel *cancel;
    const struct dest_toolstack *toolstack;
    const struct dest_report_ops *report;

    /* Native: as struct source_params. */
    struct channel *trunk;
    struct channel **lanes;
    unsigned lane_count;

    /* Drop-in (trunk NULL): the plain libxc v2/v3 stream; non-blocking; nothing is read ahead. */
    int stream_fd;
};

struct dest_result {
    uint64_t store_gfn;
    uint64_t console_gfn;
    uint64_t populated_pages;
    uint64_t wire_bytes;
    int64_t finish_ns; /* from the last state record to done */
};

/* Native: when all is in place the result record goes back on the trunk before this returns. */
int dest_run(const struct dest_params *p, struct dest_result *result, struct err *e);

#endif
