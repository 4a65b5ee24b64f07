/* SPDX-License-Identifier: MIT */
/*
 * A move that has to wait for others before it begins: by turns with those from this host
 * (turns.h), or as long as the other host says. It is told, seen (--status) and may be cancelled.
 *
 * The story's thread's.
 */
#ifndef CMD_XMIGRATE_WAITING_H
#define CMD_XMIGRATE_WAITING_H

#include "cmd/xmigrate/negotiate.h"
#include "cmd/xmigrate/turns.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/view.h"

struct waiting {
    /* Set by the owner. */
    struct negotiation *a;
    const struct event_stream *events;
    struct view *view;
    struct turn turn; /* TURN_INIT; ended when the guest has left */
};

/* Of the move: its admin socket, if it is not there yet. */
void waiting_open_admin(struct waiting *w);

/* For negotiation.before_asking (1: it had to wait) and told_to_wait; arg is a struct waiting. */
int waiting_for_turn(void *arg, struct err *e);
void waiting_at_peer(void *arg, const struct message_wait *wait);

#endif
