/* SPDX-License-Identifier: MIT */
/*
 * Inside of crypto/: is this peer accepted? OpenSSL asks in the middle of a handshake; the verdict
 * comes from `trusted` and ca.pem and is kept, with its reason, until the handshake's end.
 */
#ifndef CRYPTO_TLS_VERIFY_H
#define CRYPTO_TLS_VERIFY_H

#include "crypto/tls_params.h"

#include <openssl/ssl.h>

struct tls_verdict {
    const char *config_dir; /* for messages */
    const struct trusted *trusted;
    const char *own_fingerprint;
    bool has_ca;
    const struct tls_params *params;
    const char *host;      /* the peer, for messages */
    struct tls_peer *peer; /* who it is, as far as known */
    struct err why_not;
};

/* Install it for every handshake of ctx; each SSL carries a struct tls_verdict as app data. */
void tls_verify_install(SSL_CTX *ctx);

/* What a CA's certificate has to be for. */
int tls_verify_expect_host(SSL *ssl, const char *host, struct err *e);

/* The peer turned us away with this TLS alert: what that means and what to do. 0 if the alert says
 * nothing about trust. */
int tls_explain_refusal(int alert, const char *host, const char *own_fingerprint, struct err *e);

#endif
