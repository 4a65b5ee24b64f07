/* SPDX-License-Identifier: MIT */
/*
 * A control connection on which something is asked, instead of a guest being offered: what became
 * of one (resolve.c), what is under way there (peer_status.c). One thread's, but for the mailbox's.
 */
#ifndef CMD_XMIGRATE_CALL_H
#define CMD_XMIGRATE_CALL_H

#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/session/messages.h"
#include "crypto/peer.h"

struct call_params {
    struct tcp_address address;
    bool insecure;
    const char *config_dir;
    const char *expected_key; /* NULL: any that is trusted */
    int64_t connect_ns, silent_ns;
};

struct call {
    struct tls_context *tls; /* NULL: --insecure */
    struct tls_peer peer;
    struct control control;
    struct mailbox *box; /* NULL: not open */
    int64_t silent_ns;
};

/* Connects and has exchanged HELLO. On failure, too, call_end() is due. One that is all zero has
 * nothing. */
int call_begin(struct call *c, const struct call_params *p, struct err *e);

/* The next frame, which has to be of that type; the other end's REFUSE or FAILED is its reason. */
int call_expect(
    struct call *c, enum control_type wanted, const void **body, size_t *len_bytes, struct err *e);

void call_end(struct call *c);

#endif
