/* SPDX-License-Identifier: MIT */
/*
 * The connections of a session beside control: trunk and lanes of a move, or the lanes that an
 * estimate measures. A source connects them all at once; a destination is given connections whose
 * preamble was read, and proves them side by side. A place is taken by a connection that has proven
 * to belong to the session and by nothing else: the tokens that lead connections here travel in
 * clear. One thread owns all of it.
 */
#ifndef CMD_SESSION_LANES_H
#define CMD_SESSION_LANES_H

#include "cmd/handshakes.h"
#include "cmd/link.h"
#include "crypto/peer.h"
#include "sched/bucket.h"

#include <stdbool.h>

/* A destination has at most so many connections that have not proven anything, the source's and
 * those of strangers; the oldest makes room for one more. */
enum { SESSION_LANES_WAITING = 2 * (MAX_LANES + 1) };

/* Who they belong to; all of it stays the caller's and outlives them. */
struct session {
    struct tls_context *tls; /* NULL: --insecure */
    const uint8_t *id;       /* PEER_SESSION_BYTES */
    const uint8_t *key;      /* PEER_KEY_BYTES */
    const char *fingerprint; /* the peer's, as seen on control */
    struct cancel *cancel;   /* fired: stop */
    int64_t stall_ns;        /* a peer that makes no progress for so long is dead */
    int64_t connect_ns;      /* limit for making one connection */
    /* A destination: how long control's took, a measure of both hosts. */
    int64_t control_handshake_ns;
    unsigned lanes; /* at most MAX_LANES */
    bool has_trunk;
    bool by_kernel;      /* a source's lanes are encrypted by the kernel, if that can */
    uint64_t bits_per_s; /* how much a source sends on all of them at most; 0: no cap */
};

struct session_lanes {
    struct channel *trunk;
    struct channel *lanes[MAX_LANES];
    struct bucket bucket;         /* shared by all of them */
    bool paced;                   /* a source's: it is in use */
    unsigned count;               /* places that are taken */
    struct handshakes *under_way; /* NULL: none */
};

/* Connect all; progress (or NULL) is called after each. The first that fails ends all, and its
 * reason is kept. What was made is for session_lanes_close() to close, also on failure. */
int session_lanes_connect(struct session_lanes *l, const struct session *s,
    const struct tcp_address *a, void (*progress)(void *arg), void *arg, struct err *e);

/* How long a destination waits for a connection to prove itself, all limits of the session apart:
 * for a slow path, and for hosts that are short of processor time. */
int64_t session_lanes_answer_ns(int64_t round_trip_ns, int64_t control_handshake_ns);

/* A destination: from here on session_lanes_accept() may be called. */
int session_lanes_expect(struct session_lanes *l, struct err *e);

/* Begin to prove one that was accepted; owns fd. ERR_PEER when no such lane is expected or it is
 * there already: nothing is changed by that. */
int session_lanes_accept(struct session_lanes *l, const struct session *s, int fd,
    const struct preamble *preamble, struct err *e);

/* The next one that is through: 1 with its number when it took its place, 0 when none is, -errno
 * when it is not of this session or came second: nothing is changed by that. */
int session_lanes_settle(
    struct session_lanes *l, const struct session *s, uint16_t *lane, struct err *e);

/* A source, any thread, while they are open: from now on that much on all of them; 0: no cap. */
void session_lanes_cap(struct session_lanes *l, uint64_t bits_per_s);

bool session_lanes_are_all(const struct session_lanes *l, const struct session *s);

/* Until one may be through, or or_fd (or -1) is readable: 0. -ETIMEDOUT without an error, or
 * -errno, which is ERR_CANCELLED when the session's cancel object fired. */
int session_lanes_wait(const struct session_lanes *l, const struct session *s, int or_fd,
    int64_t deadline_ns, struct err *e);

void session_lanes_close(struct session_lanes *l);

#endif
