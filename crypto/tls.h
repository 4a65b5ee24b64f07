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

#include "crypto/identity.h"
#include "crypto/trust.h"
#include "transport/channel.h"

#include <stdbool.h>

struct tls_context; /* identity and CA; read-only once open, shared by threads */

int tls_open(struct tls_context **ctx, const char *config_dir, struct err *e);
void tls_close(struct tls_context *ctx);
const char *tls_own_fingerprint(const struct tls_context *ctx);

struct tls_peer {
    char fingerprint[FINGERPRINT_BYTES];
    char name[TRUST_NAME_BYTES]; /* as `trusted` has it, or "CA: " and the certificate's subject */
};

struct tls_params {
    bool server;
    const char *host; /* client: what the certificate must be for, with a CA; and for messages */
    const char *expected_fingerprint; /* NULL, or the only key that is accepted */
    const char *name;                 /* of the channel */
    const struct cancel *cancel;
    int64_t stall_ns;    /* of the channel */
    int64_t deadline_ns; /* of the handshake */
};

/* Handshake on fd, which the channel owns from now on, also when this fails. */
int tls_channel(struct tls_context *ctx, int fd, const struct tls_params *p, struct channel **ch,
    struct tls_peer *peer, struct err *e);

#endif
