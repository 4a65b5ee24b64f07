/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/router_words.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

size_t router_say_admit(const struct caller *a, uint8_t said[static ROUTER_MAX_SAID_BYTES])
{
    said[0] = ROUTER_ADMIT;
    memcpy(said + 1, a, sizeof(*a));
    return ROUTER_ADMIT_BYTES;
}

size_t router_say_register(
    unsigned count, const uint8_t *tokens, uint8_t said[static ROUTER_MAX_SAID_BYTES])
{
    said[0] = ROUTER_REGISTER;
    memcpy(said + 1, tokens, (size_t)count * PREAMBLE_TOKEN_BYTES);
    return 1 + (size_t)count * PREAMBLE_TOKEN_BYTES;
}

static bool is_text(const char *text, size_t size)
{
    size_t len = 0;

    while (len < size && isprint((unsigned char)text[len]))
        len++;
    return len < size && !text[len];
}

static bool is_caller(const struct caller *a)
{
    return is_text(a->from, sizeof(a->from)) && is_text(a->peer.name, sizeof(a->peer.name)) &&
           is_text(a->peer.fingerprint, sizeof(a->peer.fingerprint)) &&
           !(a->peer.rights & ~(unsigned)TRUST_ALL) && a->handshake_ns >= 0 &&
           a->handshake_ns <= CALLER_HANDSHAKE_LIMIT_NS;
}

enum router_word router_understand(const uint8_t *said, size_t len_bytes, struct router_said *into)
{
    if (len_bytes == ROUTER_ADMIT_BYTES && said[0] == ROUTER_ADMIT) {
        memcpy(&into->caller, said + 1, sizeof(into->caller));
        return is_caller(&into->caller) ? ROUTER_ADMIT : ROUTER_NONSENSE;
    }
    if (!len_bytes || said[0] != ROUTER_REGISTER || len_bytes > ROUTER_REGISTER_BYTES ||
        (len_bytes - 1) % PREAMBLE_TOKEN_BYTES)
        return ROUTER_NONSENSE;
    into->token_count = (unsigned)(len_bytes - 1) / PREAMBLE_TOKEN_BYTES;
    memcpy(into->tokens, said + 1, len_bytes - 1);
    return ROUTER_REGISTER;
}
