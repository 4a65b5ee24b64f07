/* SPDX-License-Identifier: MIT */
/*
 * What receive.c and handover.c share: one incoming migration, from its first connection to a guest
 * that runs here. Everything in it belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_RECEIVE_PRIVATE_H
#define CMD_XMIGRATE_RECEIVE_PRIVATE_H

#include "cmd/xmigrate/newcomer.h"
#include "cmd/xmigrate/build.h"
#include "cmd/xmigrate/expect.h"
#include "cmd/xmigrate/ui/events.h"

struct receive {
    const struct listen_options *o;
    struct cancel cancel;
    struct incoming in;
    struct xl xl;
    struct admission admission;
    struct message_accept accept;
    struct journal journal;
    struct newcomer newcomer;
    struct build build;
    struct admin_socket *admin;
    struct event_stream events;
    bool begun; /* the source was told that it may begin */

    /* handover.c's. */
    enum handoff_state state; /* cmd/handoff/machine.h */
    int late_fd;              /* copy_destroy()'s */
    bool may_run;             /* libxl may still start it, and that could not be prevented */
    struct err *why;          /* while it is given up, or the source was not told */
    bool heard;               /* HEARD came */
    struct message_mark mark; /* READY's */
    int64_t start_limit_ns;   /* CLOCK_BOOTTIME: GO is good until then */
    int64_t runs_ns;          /* since when the guest runs here */
    int64_t start_took_ns;    /* from GO to running */
};

/* What decides how long it takes here. */
static inline struct expect_guest receive_expected(const struct receive *r)
{
    return (struct expect_guest){
        .type = r->in.offer.type,
        .devices = &r->admission.devices,
        .early = r->admission.early,
        .peer = r->in.peer.fingerprint,
    };
}

/* --- handover.c: who has the guest, as cmd/handoff/machine.h decides --- */

/* READY, and until GO. */
int receive_await_go(struct receive *r, struct err *e);
/* After GO; an exit code. */
int receive_hand_over(struct receive *r, int64_t ready_took_ns);
/* The migration failed: get rid of our copy. Returns an exit code. */
int receive_give_up(struct receive *r, struct err *why);

#endif
