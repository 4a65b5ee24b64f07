/* SPDX-License-Identifier: MIT */
/*
 * Connections that are being made and proven, each in a thread of its own, so that one that hangs
 * keeps no other waiting. How many there may be is bounded: where a stranger could fill up the
 * room, the oldest goes. No thread and no descriptor outlives handshakes_close().
 *
 * All calls are the owner's, from one thread; the threads inside touch nothing but their own.
 */
#ifndef CMD_HANDSHAKES_H
#define CMD_HANDSHAKES_H

#include "crypto/peer.h"

#include <stdbool.h>

struct handshakes;

struct handshake_end {
    uint16_t lane;
    struct channel *ch; /* the taker's now; NULL: it failed */
    struct err e;       /* why it failed */
};

/* most: how many at once; beyond it the oldest that has not ended is dropped. */
int handshakes_open(struct handshakes **all, unsigned most, struct err *e);

/* Begin one. What p points to stays the caller's until handshakes_close(); its cancel object is
 * the channel's once it is made, and does not stop it before: handshakes_close() does. */
int handshakes_connect(struct handshakes *all, const struct tcp_address *a,
    const struct peer_params *p, struct err *e);
/* Owns fd, also when it fails. */
int handshakes_accept(struct handshakes *all, int fd, const struct preamble *preamble,
    const struct peer_params *p, struct err *e);

/* Readable when one has ended. */
int handshakes_event_fd(const struct handshakes *all);
/* The next one that has; false: none has. */
bool handshakes_take(struct handshakes *all, struct handshake_end *end);

/* Those that have not ended are stopped at once. NULL is ignored. */
void handshakes_close(struct handshakes *all);

#endif
