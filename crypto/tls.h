/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.3, mutual, as a channel. A peer is accepted if its public key is pinned in `trusted`
 * (dates and names do not matter then, as in ssh), or if ca.pem exists and its certificate chain,
 * dates and, seen from the connecting side, host name verify. Nothing else is accepted, and
 * nothing falls back.
 *
 * After the handshake the server sends one byte inside TLS, so that a client knows at once whether
 * it was accepted (in TLS 1.3 it would find out only at its first read).
 */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include "crypto/tls_params.h"
#include "transport/channel.h"

/* Identity, CA and whom the host trusts: all that a handshake asks for, so that no file is opened
 * later. Read-only once open, shared by threads. Closed, this host's key is no longer in memory: a
 * connection needs it for its handshake alone. */
struct tls_context;

/* What a context begins with, and nothing of this host's: OpenSSL's algorithms, looked up. That
 * takes longer than all the rest, and a process that is forked has it from where it came. It is
 * good for one context in each process. */
struct tls_base;

int tls_base_open(struct tls_base **base, struct err *e);
/* The context may outlive it. NULL is ignored. */
void tls_base_close(struct tls_base *base);

int tls_open(struct tls_context **ctx, const char *config_dir, struct err *e);
int tls_open_on(
    struct tls_context **ctx, const struct tls_base *base, const char *config_dir, struct err *e);
void tls_close(struct tls_context *ctx);
/* OpenSSL's version, as it runs: "3.0.19". */
const char *tls_library_version(void);

const char *tls_own_fingerprint(const struct tls_context *ctx);

/* Handshake on fd, which is taken over, also when this fails. */
int tls_channel(struct tls_context *ctx, int fd, const struct tls_params *p, struct channel **ch,
    struct tls_peer *peer, struct err *e);

#endif
