/* SPDX-License-Identifier: MIT */
/*
 * A migration's admin socket: whoever is root here may ask how it is, cancel it, and
 * change some of its limits (docs/operate.md), over a socket in the run directory that is there as
 * long as the migration is.
 *
 * A thread serves it whatever the migration waits for. The story's thread says what happens
 * (admin_note), polls admin_fd() for wishes, and asks admin_may_give() right before GO:
 * from then on it is too late for a cancel, which is refused; one that was accepted before is not
 * passed over.
 *
 * NULL in the place of one: there is none.
 */
#ifndef CMD_XMIGRATE_ADMIN_SOCKET_H
#define CMD_XMIGRATE_ADMIN_SOCKET_H

#include "base/cancel.h"
#include "base/err.h"
#include "cmd/xmigrate/admin_words.h"

#include <jansson.h>
#include <stdbool.h>

struct admin_socket;

/* first: who moves, and where; limits: the source's, as the command line has them. cancel is fired
 * by a cancel, and outlives the socket. */
int admin_open(struct admin_socket **admin, const struct admin_status *first,
    const struct decide_limits *limits, struct cancel *cancel, struct err *e);
void admin_close(struct admin_socket *admin);

/* The story's thread: an event of docs/events.md, or of the destination's helper. */
void admin_note(struct admin_socket *admin, const json_t *event);
/* A word for where it is, where no event says so. */
void admin_note_phase(struct admin_socket *admin, const char *phase);
/* Of what this host may send; 0: there is no limit, or nothing is sent. */
void admin_note_share(struct admin_socket *admin, uint64_t bits_per_s);

/* Readable when there is something to tune; -1 without a socket. */
int admin_fd(const struct admin_socket *admin);
/* What holds from now on; false: nothing has changed. */
bool admin_take_tune(struct admin_socket *admin, struct link_tune *tune);

/* False when it was cancelled; else it cannot be any more. */
bool admin_may_give(struct admin_socket *admin);

/* Why the cancel object has fired. */
const char *admin_why_stopped(struct admin_socket *admin);

#endif
