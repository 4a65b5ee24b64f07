/* SPDX-License-Identifier: MIT */
/*
 * What the router's children say to it, a packet each: a relay that it has let somebody in, a
 * migration's process which tokens are its own. A relay may have been taken over by what it read,
 * so a packet is checked whole before anything is done with it.
 */
#ifndef CMD_XMIGRATE_SESSION_ROUTER_WORDS_H
#define CMD_XMIGRATE_SESSION_ROUTER_WORDS_H

#include "base/limits.h"
#include "cmd/xmigrate/session/caller.h"
#include "transport/preamble.h"

#include <stddef.h>
#include <stdint.h>

enum {
    ROUTER_MAX_TOKENS = MAX_LANES + 1,
    ROUTER_ADMIT_BYTES = 1 + sizeof(struct caller),
    ROUTER_REGISTER_BYTES = 1 + ROUTER_MAX_TOKENS * PREAMBLE_TOKEN_BYTES,
    ROUTER_MAX_SAID_BYTES = (int)ROUTER_ADMIT_BYTES > (int)ROUTER_REGISTER_BYTES
                                ? (int)ROUTER_ADMIT_BYTES
                                : (int)ROUTER_REGISTER_BYTES,
};

enum router_word { ROUTER_NONSENSE, ROUTER_ADMIT, ROUTER_REGISTER };

struct router_said {
    struct caller caller; /* ROUTER_ADMIT */
    unsigned token_count; /* ROUTER_REGISTER */
    uint8_t tokens[ROUTER_MAX_TOKENS][PREAMBLE_TOKEN_BYTES];
};

/* How many bytes. */
size_t router_say_admit(const struct caller *a, uint8_t said[static ROUTER_MAX_SAID_BYTES]);
/* count is at most ROUTER_MAX_TOKENS. */
size_t router_say_register(
    unsigned count, const uint8_t *tokens, uint8_t said[static ROUTER_MAX_SAID_BYTES]);

enum router_word router_understand(const uint8_t *said, size_t len_bytes, struct router_said *into);

#endif
