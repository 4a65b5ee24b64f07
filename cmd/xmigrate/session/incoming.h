/* SPDX-License-Identifier: MIT */
/*
 * The destination's half of the conversation: the control connection of one migration that comes
 * here, from its first frame to the source's goodbye.
 *
 * Everything here belongs to one thread, the story's; the mailbox has its own beside it.
 */
#ifndef CMD_XMIGRATE_SESSION_INCOMING_H
#define CMD_XMIGRATE_SESSION_INCOMING_H

#include "base/cancel.h"
#include "base/log.h"
#include "cmd/xmigrate/session/listen_options.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/session/caller.h"

/* What came after HELLO: OFFER, ASK or LIST. */
enum incoming_wants { WANTS_TO_SEND, WANTS_ANSWER, WANTS_LISTING };

struct incoming {
    const struct listen_options *o;
    const struct cancel *cancel; /* fired: stop waiting */
    const struct log *below;
    struct log log; /* below's lines with the domain's name before them */
    char prefix[XL_NAME_BYTES + 4];
    char who[128]; /* the source, for messages */

    struct tls_peer peer; /* empty with --insecure */
    int64_t handshake_ns; /* how long it took to let it in */
    struct control control;
    struct mailbox *box; /* NULL: not open */
    int64_t ping_ns;     /* when the next one is due */
    struct message_offer offer;
    struct message_ask ask;
    enum incoming_wants wants;
};

/* in must not move from here on: its log points to it. */
void incoming_init(struct incoming *in, const struct listen_options *o, const struct log *log,
    const struct cancel *cancel);

/* Owns fd, which a relay passes the peer's frames through. Does not believe the relay who that
 * is. */
int incoming_open(struct incoming *in, int fd, const struct caller *caller, struct err *e);

/* HELLO both ways, and the offer, or a question. */
int incoming_hear_offer(struct incoming *in, struct err *e);

/* The next frame; the source's ABORT is its reason. wanted: for the message when none comes. */
int incoming_next(struct incoming *in, enum control_type wanted, enum control_type *type,
    const void **body, size_t *len_bytes, int64_t deadline_ns, struct err *e);

/* Until then, while the source has to wait: it may only give up. */
int incoming_idle(struct incoming *in, int64_t until_ns, struct err *e);

/* The next, and it must be of that type. */
int incoming_expect(struct incoming *in, enum control_type wanted, const void **body,
    size_t *len_bytes, int64_t deadline_ns, struct err *e);

/* To be called at every turn of a wait. */
void incoming_ping(struct incoming *in);

/* Until the source says HEARD, which is true, or closes: closing first could lose what we said. */
bool incoming_await_heard(struct incoming *in);

/* REFUSE or FAILED with the reason; true: it was heard. */
bool incoming_tell_failure(struct incoming *in, enum control_type type, struct err *why);

void incoming_close(struct incoming *in);

#endif
