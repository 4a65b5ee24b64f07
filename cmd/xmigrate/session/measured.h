/*
 * The receiving side of an estimate (docs/wire.md, "Measuring sessions"): lanes are accepted and
 * what comes on them is counted and thrown away. Nothing of a domain is touched.
 */
#ifndef CMD_XMIGRATE_SESSION_MEASURED_H
#define CMD_XMIGRATE_SESSION_MEASURED_H

#include "base/cancel.h"
#include "base/log.h"
#include "cmd/xmigrate/session/messages.h"
#include "crypto/tls.h"

struct measured_params {
    int acceptor_sock;       /* where connections of the session come, which is registered */
    struct tls_context *tls; /* NULL with --insecure */
    const char *fingerprint; /* the source's, as seen on control */
    const struct message_accept *accept;
    struct cancel *cancel; /* fired: stop; the first lane that fails fires it too */
    const struct log *log;
    int64_t silent_ns;
};

/* Until all lanes are done, or one fails. */
int measured_lanes(const struct measured_params *p, struct err *e);

#endif
