/* SPDX-License-Identifier: MIT */
/*
 * A complete connection to a peer: TCP, preamble, TLS, and for trunk and lanes the proof that they
 * belong to the session. Nothing else in this project opens or accepts one.
 */
#ifndef CRYPTO_PEER_H
#define CRYPTO_PEER_H

#include "crypto/tls.h"
#include "transport/preamble.h"
#include "transport/tcp.h"

enum { PEER_KEY_BYTES = 32, PEER_SESSION_BYTES = 16 };

struct peer_params {
    struct tls_context *tls;             /* NULL: --insecure, plaintext at both ends */
    uint16_t lane;                       /* LANE_CONTROL, LANE_TRUNK or a number */
    uint8_t token[PREAMBLE_TOKEN_BYTES]; /* what its preamble shows; zero for control */
    const uint8_t *session;              /* PEER_SESSION_BYTES; NULL for control */
    const uint8_t *key;                  /* PEER_KEY_BYTES, for the proof; NULL for control */
    const char *expected_fingerprint; /* the control connection's peer; NULL: any that is trusted,
                                       * only for control */
    unsigned rights; /* trust.h: what the peer must be trusted with, one of them; control only */
    bool by_kernel;  /* client: what it sends is encrypted by the kernel, if that can */
    const struct cancel *cancel;
    int64_t stall_ns;    /* silent peer */
    int64_t deadline_ns; /* to open and prove it */
    /* Control's client, or NULL: what it says at once, before it is told that it is accepted. */
    int (*speak)(void *arg, struct channel *ch, struct err *e);
    void *speak_arg;
};

/* Connect. *peer says who it is; empty with --insecure. */
int peer_connect(const struct tcp_address *a, const struct peer_params *p, struct channel **ch,
    struct tls_peer *peer, struct err *e);

/* As peer_connect(), and again a few times, within its deadline, when the other end turns the
 * connection away before it has looked at who it is from: it has too many at once. */
int peer_connect_patiently(const struct tcp_address *a, const struct peer_params *p,
    struct channel **ch, struct tls_peer *peer, struct err *e);

/* The other end: answers the preamble, which was read from fd and is passed in. Takes over fd, also
 * when it fails. */
int peer_accept(int fd, const struct preamble *preamble, const struct peer_params *p,
    struct channel **ch, struct tls_peer *peer, struct err *e);

#endif
