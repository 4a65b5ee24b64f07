/* SPDX-License-Identifier: MIT */
/*
 * The control connection's receiving side for a story that polls: a thread that reads one frame
 * after the other and hands each over; while one is looked at it reads the next, and no further.
 * PINGs stay with it: they only prove that the peer lives, and a peer that says nothing for
 * silent_ns does not.
 *
 * The lock guards the hand-over. A frame that was taken stays the taker's until it takes again.
 */
#ifndef CMD_XMIGRATE_SESSION_MAILBOX_H
#define CMD_XMIGRATE_SESSION_MAILBOX_H

#include "transport/control.h"

struct mailbox;

/* The connection stays the caller's, who still sends on it and closes it after the stop. */
int mailbox_start(struct mailbox **box, struct control *control, int64_t silent_ns, struct err *e);

/* When the last frame came, PINGs too. */
int64_t mailbox_heard_ns(const struct mailbox *box);

/* Readable while mailbox_take() has something to say. */
int mailbox_event_fd(const struct mailbox *box);

/* 1: a frame; its body is good until the next call. 0: none is there. -errno: no more will come,
 * *e says why (-ENODATA, a clean end, has a text here too). */
int mailbox_take(struct mailbox *box, enum control_type *type, const void **body, size_t *len_bytes,
    struct err *e);

/* As mailbox_take(), but waits; -ETIMEDOUT (ERR_PEER) when nothing came by the deadline and
 * -ECANCELED when the cancel object fired. */
int mailbox_wait(struct mailbox *box, enum control_type *type, const void **body, size_t *len_bytes,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e);

/* Shuts the connection down, joins the thread, frees. NULL is allowed. */
void mailbox_stop(struct mailbox *box);

#endif
