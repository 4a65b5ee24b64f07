/* SPDX-License-Identifier: MIT */
/* What a relay or a migration's process says to the router: what is understood ends where its
 * fields do, is plain text, and is the same when it is said again. */
#include "cmd/xmigrate/session/router_words.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

static void check_text(const char *text, size_t size)
{
    const size_t len = strnlen(text, size);

    must(len < size);
    for (size_t i = 0; i < len; i++)
        must(isprint((unsigned char)text[i]));
}

static void check_caller(const struct caller *a)
{
    check_text(a->from, sizeof(a->from));
    check_text(a->peer.name, sizeof(a->peer.name));
    check_text(a->peer.fingerprint, sizeof(a->peer.fingerprint));
    must(a->peer.rights <= TRUST_ALL);
    must(a->handshake_ns >= 0 && a->handshake_ns <= CALLER_HANDSHAKE_LIMIT_NS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct router_said words;
    uint8_t again[ROUTER_MAX_SAID_BYTES];
    size_t len_bytes;

    switch (router_understand(data, size, &words)) {
    case ROUTER_ADMIT:
        check_caller(&words.caller);
        len_bytes = router_say_admit(&words.caller, again);
        break;
    case ROUTER_REGISTER:
        must(words.token_count <= ROUTER_MAX_TOKENS);
        len_bytes = router_say_register(words.token_count, words.tokens[0], again);
        break;
    default:
        return 0;
    }
    must(len_bytes == size && !memcmp(again, data, size));
    return 0;
}
