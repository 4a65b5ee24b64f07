/* SPDX-License-Identifier: MIT */
/* What a TLS handshake needs to know, and whom it met. */
#ifndef CRYPTO_TLS_PARAMS_H
#define CRYPTO_TLS_PARAMS_H

#include "base/cancel.h"
#include "crypto/identity.h"
#include "crypto/trust.h"
#include "transport/channel.h"
#include "transport/preamble.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_peer {
    char fingerprint[FINGERPRINT_BYTES];
    char name[TRUST_NAME_BYTES]; /* as `trusted` has it, or "CA: " and the certificate's subject */
    unsigned rights;             /* TRUST_SEND and so on */
};

struct tls_params {
    bool server;
    const char *host; /* client: what the certificate must be for, with a CA; and for messages */
    const char *expected_fingerprint; /* NULL, or the only key that is accepted */
    unsigned rights;                  /* some of these are needed; 0: they were looked at before */
    const char *name;                 /* of the channel */
    const struct cancel *cancel;
    bool by_kernel;      /* client: what it sends is encrypted by the kernel, if that can */
    int64_t stall_ns;    /* of the channel */
    int64_t deadline_ns; /* of the handshake */

    /* Client: sent with TLS's first flight, NULL: none was or is to be sent; and who answers it,
     * for messages. */
    const struct preamble *preamble;
    const char *preamble_to;
    /* Client, or NULL: says what it has to once it knows the server, not waiting for its word. */
    int (*speak)(void *arg, struct channel *ch, struct err *e);
    void *speak_arg;
};

#endif
