/* SPDX-License-Identifier: MIT */
/*
 * Native mode: the link to the supervisor, the job it gives, and the trunk and lanes made for it.
 * A source connects them, a destination is handed connections that the listener accepted. Either
 * way they are made side by side, each proven to belong to the session.
 */
#ifndef CMD_HELPER_NATIVE_H
#define CMD_HELPER_NATIVE_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"
#include "cmd/link.h"
#include "cmd/helper/files.h"
#include "cmd/session_lanes.h"
#include "crypto/tls.h"
#include "engine/in/in.h"
#include "engine/out/out.h"
#include "engine/source.h"

#include <pthread.h>

struct native {
    int link_sock; /* -1: drop-in, and nothing else here is in use */
    int lock_fd;   /* the domain's lock, from the supervisor; -1: none came */
    struct link_job job;
    struct kernel_notes notes; /* from the job; of a drop-in: none */
    struct tls_context *tls;   /* while connections are made; NULL with --insecure */
    struct session session;
    struct session_lanes channels;
    struct files files; /* of a compact file */

    pthread_mutex_t tuned_lock; /* guards what LINK_TUNE said last: */
    struct link_tune tuned;
    bool is_tuned;
};

/* Connect the link, read the job, make trunk and lanes if it wants them. On failure link_sock is
 * valid if the supervisor could be reached, so that it can be told. */
int native_open(struct native *n, const char *link_path, bool save, struct cancel *cancel,
    const struct log *log, struct err *e);

/* Closes trunk and lanes; the link stays, for the outcome. Does nothing in drop-in use. */
void native_close_channels(struct native *n);

/* The image goes over trunk and lanes, and not over the descriptor that libxl gave. */
static inline bool native_has_lanes(const struct native *n)
{
    return n->link_sock >= 0 && !n->job.plain;
}

/* The image's way out, or in, on trunk and lanes. */
int native_open_out(const struct native *n, const struct cancel *cancel, const struct log *log,
    struct out **out, struct err *e);
int native_open_in(const struct native *n, struct cancel *cancel, const struct log *log,
    struct in **in, struct err *e);

/* The watch's thread: what the supervisor wants from now on, the cap at once. */
void native_tune(struct native *n, const struct link_tune *tune);
/* Limits that LINK_TUNE has changed. */
void native_read_limits(struct native *n, struct decide_limits *limits);

/* Put the job's terms into the engine's parameters. Does nothing in drop-in use. */
void native_fill_source(const struct native *n, struct source_params *p);

#endif
