/* SPDX-License-Identifier: MIT */
/*
 * Inside of crypto/: the proof that a trunk or lane belongs to a session (docs/wire.md). Both ends
 * hold the session's key, which only ever travelled inside control's TLS; each sends an HMAC-SHA256
 * with it over its role (client or server), session and lane, and what only the two ends of this
 * very connection know.
 */
#ifndef CRYPTO_PROOF_H
#define CRYPTO_PROOF_H

#include "base/err.h"
#include "transport/channel.h"
#include "transport/preamble.h"

enum { PROOF_BYTES = 32, PROOF_KEY_BYTES = 32, PROOF_SESSION_BYTES = 16 };

/* The client goes first and sends its own. Then either checks the other's; a server that is
 * convinced sends its own, and one that is not says nothing. */
int proof_offer(
    struct channel *ch, const uint8_t *key, const uint8_t *session, uint16_t lane, struct err *e);
int proof_settle(struct channel *ch, const uint8_t *key, const uint8_t *session, uint16_t lane,
    bool server, int64_t deadline_ns, struct err *e);

#endif
