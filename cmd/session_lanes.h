/* SPDX-License-Identifier: MIT */
/*
 * The connections of a session beside control: trunk and lanes of a move, or the lanes that an
 * estimate measures. A source connects them one by one, in order; a destination is given
 * connections whose preamble was read. Each is proven to belong to the session.
 */
#ifndef CMD_SESSION_LANES_H
#define CMD_SESSION_LANES_H

#include "cmd/link.h"
#include "crypto/peer.h"
#include "sched/bucket.h"

#include <stdbool.h>

/* Who they belong to; all of it stays the caller's and outlives them. */
struct session {
    struct tls_context *tls; /* NULL: --insecure */
    const uint8_t *id;       /* PREAMBLE_SESSION_BYTES */
    const uint8_t *key;      /* PEER_KEY_BYTES */
    const char *fingerprint; /* the peer's, as seen on control */
    struct cancel *cancel;   /* fired: stop */
    int64_t stall_ns;        /* a peer that makes no progress for so long is dead */
    int64_t connect_ns;      /* limit for making one connection */
    unsigned lanes;          /* at most MAX_LANES */
    bool has_trunk;
    uint64_t bits_per_s; /* how much a source sends on all of them at most; 0: no cap */
};

struct session_lanes {
    struct channel *trunk;
    struct channel *lanes[MAX_LANES];
    struct bucket bucket; /* shared by all of them */
    bool capped;          /* it is in use */
};

/* Connect all, the trunk first; progress (or NULL) is called before each lane. What was made is for
 * session_lanes_close() to close, also on failure. */
int session_lanes_connect(struct session_lanes *l, const struct session *s,
    const struct tcp_address *a, void (*progress)(void *arg), void *arg, struct err *e);

/* Take one that was accepted; owns fd. ERR_PEER when no such lane is expected, or it is there
 * already, or is not of this session: nothing is changed by that. */
int session_lanes_accept(struct session_lanes *l, const struct session *s, int fd,
    const struct preamble *preamble, struct err *e);

void session_lanes_close(struct session_lanes *l);

#endif
