/* SPDX-License-Identifier: MIT */
/*
 * What leads the connection of a trunk or lane to its session: it stands in the preamble, in clear,
 * and is good for one connection (docs/wire.md). Both ends make it from the session's key, of which
 * it says nothing; the proof inside TLS (proof.h) still follows.
 */
#ifndef CRYPTO_TOKEN_H
#define CRYPTO_TOKEN_H

#include "base/err.h"

#include <stdint.h>

enum { TOKEN_BYTES = 16, TOKEN_KEY_BYTES = 32, TOKEN_SESSION_BYTES = 16 };

int lane_token(const uint8_t key[static TOKEN_KEY_BYTES],
    const uint8_t session[static TOKEN_SESSION_BYTES], uint16_t lane,
    uint8_t token[static TOKEN_BYTES], struct err *e);

#endif
