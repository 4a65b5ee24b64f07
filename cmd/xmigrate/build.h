/* SPDX-License-Identifier: MIT */
/*
 * The destination's counterpart of transfer.h: libxl's restore with the save helper
 * (libxl/operation.h), and the poll loop between that, the source and the router. It relays
 * libxl's own stream, hands trunk and lanes to the helper, pings, and keeps the time limits. What
 * becomes of the domain is for receive.c to say.
 *
 * Everything here belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_BUILD_H
#define CMD_XMIGRATE_BUILD_H

#include "cmd/lock.h"
#include "cmd/xmigrate/admit.h"
#include "cmd/xmigrate/early_model.h"
#include "cmd/xmigrate/newcomer.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/operation.h"
#include "cmd/xmigrate/admin_socket.h"
#include "cmd/xmigrate/session/incoming.h"
#include "cmd/xmigrate/session/incoming_lanes.h"
#include "cmd/xmigrate/session/stream_head.h"
#include "cmd/xmigrate/ui/events.h"
#include "engine/xen/xen.h"

struct build {
    /* Set by the owner before build_until_done(). */
    struct incoming *in;
    struct xl *xl;
    struct admission *admission;
    struct journal *journal;    /* told of the domain and the helper */
    struct admin_socket *admin; /* NULL: none */
    const struct event_stream *events;
    struct newcomer *newcomer; /* it has the memory that was promised claimed */
    struct incoming_lanes lanes;
    struct link_job job; /* but for the domid */

    /* What came of it. */
    uint32_t domid;          /* 0: there is none yet */
    struct domain_lock lock; /* the domain's, shared with the helper; fd is -1 before */
    bool stream_ended;       /* LIBXL_END came (device models only) */
    int64_t helper_done_ns;
    int64_t engine_finish_ns; /* how long the helper needed after the last page */
    int announce_fd;          /* announce_prepare()'s, -1: none was prepared */
    struct xen xen;           /* open once there is a domain */
    struct early_model model; /* of an HVM guest that is built early */

    struct operation op;

    /* Its own. */
    struct stream_head head;
    int64_t stream_limit_ns; /* when the stream's head must be there */
    bool stopping;
};

/* Before any thread exists, as operation_prepare(). */
int build_prepare(struct build *b, struct err *e);

/* After ACCEPT: until the engine has everything and libxl's restore is over and was well. If the
 * source wants libxl to build early, it is told when that is done. */
int build_until_done(struct build *b, struct err *e);

/* After READY: until GO, before which the source says LIBXL_END, if it had not yet. */
int build_await_go(
    struct build *b, const void **body, size_t *len_bytes, int64_t deadline_ns, struct err *e);

/* As operation_stop(). */
bool build_stop(struct build *b, const struct err *why);

/* Closes lanes and link, lets go of the lock. */
void build_clear(struct build *b);

#endif
