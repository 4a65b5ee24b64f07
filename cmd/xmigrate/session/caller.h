/* SPDX-License-Identifier: MIT */
/* A peer that a relay has let in: what the router and the migration's process are told of it. */
#ifndef CMD_XMIGRATE_SESSION_CALLER_H
#define CMD_XMIGRATE_SESSION_CALLER_H

#include "crypto/tls_params.h"

enum { CALLER_FROM_BYTES = 64 };

struct caller {
    struct tls_peer peer;         /* empty with --insecure */
    char from[CALLER_FROM_BYTES]; /* its address, for messages */
};

#endif
