/* SPDX-License-Identifier: MIT */
/*
 * A survey of a running guest that changes nothing in it: what its pages are like, from a sample of
 * them, and how it writes, from its dirty log, which is on for as long as it is observed; and so
 * for its auxiliary data (engine/aux).
 */
#ifndef ENGINE_PROBE_SURVEY_H
#define ENGINE_PROBE_SURVEY_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"
#include "sched/stats.h"
#include "transport/pages.h"

struct survey_params {
    uint32_t domid;
    int64_t observe_ns;
    const struct log *log;
    const struct cancel *cancel;
    /* Log-dirty is about to be switched on: from now on it may be ours to switch off. */
    int (*logging)(void *arg, struct err *e);
    void *arg;
};

struct survey {
    uint64_t pages; /* thought to have memory */
    uint64_t sampled_pages;
    double zero_share; /* of the sample */
    /* A page with contents, by each codec: how long a thread takes to read and encode it, and what
     * is left of it. */
    struct survey_page {
        double busy_ns, bytes;
    } page[CODECS];
    /* Auxiliary data: all of it, and what changed while the guest was observed. */
    uint64_t aux_bytes, aux_changed_bytes;
    struct stats observed; /* one window; auxiliary data counts as pages (aux_pages()) */
};

/* Whatever happens, log-dirty is off again when this returns, and no change of auxiliary data is
 * noted. */
int survey_run(const struct survey_params *p, struct survey *s, struct err *e);

#endif
