/* SPDX-License-Identifier: MIT */
/*
 * What receive.c and handover.c share: one incoming migration, from its first connection to a guest
 * that runs here. Everything in it belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_RECEIVE_PRIVATE_H
#define CMD_XMIGRATE_RECEIVE_PRIVATE_H

#include "cmd/xmigrate/build.h"

struct receive {
    const struct listen_options *o;
    struct cancel cancel;
    struct incoming in;
    struct xl xl;
    struct admission admission;
    struct message_accept accept;
    struct state_file state;
    struct build build;
    bool may_run; /* libxl may still start it, which could not be prevented */
};

/* The migration failed and our copy goes; an exit code. */
int receive_give_up(struct receive *r, struct err *why);

/* handover.c: READY, and until GO. */
int receive_await_go(struct receive *r, struct err *e);
/* After GO; an exit code. */
int receive_hand_over(struct receive *r, int64_t ready_took_ns);

#endif
