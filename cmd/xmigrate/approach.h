/*
 * What a move and an estimate begin with: the domain is found, checked and held, and the other host
 * is asked whether it would take it. Nothing of the guest is changed. Cheap refusals come first,
 * then those of the domain, then the network.
 */
#ifndef CMD_XMIGRATE_APPROACH_H
#define CMD_XMIGRATE_APPROACH_H

#include "base/cancel.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/mailbox.h"
#include "cmd/xmigrate/options.h"
#include "cmd/xmigrate/state.h"
#include "cmd/xmigrate/talk.h"
#include "cmd/xmigrate/xl_calls.h"
#include "crypto/tls.h"

/* What a domain's name gets while it is given away. */
#define APPROACH_AWAY "--migratedaway"

struct approach {
    /* Set by the owner before anything else; lock.fd is -1. */
    const struct options *options;
    struct log log;

    struct cancel cancel; /* fired by signals */
    bool cancellable;
    struct xl xl;
    struct xl_domain domain;
    char *config;
    struct domain_lock lock;
    struct state_file state;
    bool state_begun;

    struct tls_context *tls; /* NULL with --insecure */
    struct tls_peer peer;
    char where[TCP_HOST_BYTES + TRUST_NAME_BYTES + 4]; /* the other host, for messages */
    struct control control;
    bool connected;
    struct mailbox *mailbox;
    struct talk_accept accept;
};

int approach_begin(struct approach *a, struct err *e);
int approach_ask(struct approach *a, struct err *e);

/* It ends here: the other host is told why, and nothing has to be remembered. */
void approach_end(struct approach *a, const struct err *why);

/* The other host refused or failed: what it says of that, under its name. */
void approach_read_reason(
    const struct approach *a, const void *body, size_t len_bytes, struct err *why);

/* What the guest's suspend is thought to take. */
int64_t approach_suspend_estimate_ns(const struct approach *a);

void approach_release(struct approach *a);

#endif
