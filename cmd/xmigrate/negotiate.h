/* SPDX-License-Identifier: MIT */
/*
 * What a move and an estimate begin with: the domain is found, checked and held, and the other host
 * is asked whether it would take it. Nothing of the guest is changed. Cheap refusals come first,
 * then those of the domain, then the network.
 */
#ifndef CMD_XMIGRATE_NEGOTIATE_H
#define CMD_XMIGRATE_NEGOTIATE_H

#include "base/cancel.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/admin_socket.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/ui/options.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/resumable.h"
#include "cmd/xmigrate/suitable.h"
#include "crypto/tls.h"

struct negotiation {
    /* Set by the owner before anything else; lock.fd is -1. */
    const struct options *options;
    struct log log;
    /* The domain is held. 1: that has taken time, so it is looked at again. NULL: nothing to do. */
    int (*before_asking)(void *arg, struct err *e);
    void (*told_to_wait)(void *arg, const struct message_wait *wait); /* NULL: nobody cares */
    void *arg;
    const char *file; /* NULL: to another host; else where it is saved, as the journal has it */

    struct cancel cancel;       /* fired by signals, and by --cancel */
    struct admin_socket *admin; /* NULL: none (yet) */
    bool cancellable;
    struct xl xl;
    struct xl_domain domain;
    char *config;
    bool has_log_dirty; /* its writes can be tracked */
    bool early; /* libxl there may build around it while it runs here, as far as this host knows */
    const char *why_late;                      /* why not */
    char device_model[SUITABLE_VERSION_BYTES]; /* of an HVM guest: the version of its QEMU */
    struct resumable resumable;
    struct xl_devices devices;
    struct domain_lock lock;
    struct journal journal;
    bool journal_begun;

    struct tls_context *tls; /* NULL with --insecure */
    struct tls_peer peer;
    char where[TCP_HOST_BYTES + TRUST_NAME_BYTES + 4]; /* the other host, for messages */
    struct control control;
    bool connected;
    struct mailbox *mailbox;
    struct message_accept accept;
    struct decide_costs costs; /* that the pause is expected to have */
};

int negotiate_begin(struct negotiation *a, struct err *e);
/* The domain is found, checked and held: all that this host can say. */
int negotiate_hold(struct negotiation *a, struct err *e);
/* That, and the other host is asked. */
int negotiate_ask(struct negotiation *a, struct err *e);

/* It ends here: the other host is told why, and nothing has to be remembered. */
void negotiate_end(struct negotiation *a, const struct err *why);

/* The other host refused or failed: what it says of that, under its name. */
void negotiate_read_reason(
    const struct negotiation *a, const void *body, size_t len_bytes, struct err *why);

/* For the next prediction: what the guest's suspend took, and all from the last byte to STARTED. */
int negotiate_learn(
    const struct negotiation *a, int64_t suspend_ns, int64_t after_ns, struct err *e);

void negotiate_release(struct negotiation *a);

#endif
