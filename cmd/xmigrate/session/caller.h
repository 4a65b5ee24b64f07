/* SPDX-License-Identifier: MIT */
/* A peer that a relay has let in: what the router and the migration's process are told of it. */
#ifndef CMD_XMIGRATE_SESSION_CALLER_H
#define CMD_XMIGRATE_SESSION_CALLER_H

#include "base/deadline.h"
#include "crypto/tls_params.h"

enum { CALLER_FROM_BYTES = 64 };

/* TLS: a peer that means it needs a moment. */
#define CALLER_HANDSHAKE_LIMIT_NS (10 * NS_PER_S)

struct caller {
    struct tls_peer peer;         /* empty with --insecure */
    char from[CALLER_FROM_BYTES]; /* its address, for messages */
    int64_t handshake_ns;         /* until it was let in: at most the limit */
};

#endif
