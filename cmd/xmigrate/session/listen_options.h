/* SPDX-License-Identifier: MIT */
/* How --listen was called, for all the processes that come of it. */
#ifndef CMD_XMIGRATE_SESSION_LISTEN_OPTIONS_H
#define CMD_XMIGRATE_SESSION_LISTEN_OPTIONS_H

#include "cmd/confine.h"
#include "cmd/early.h"
#include "cmd/xmigrate/session/policy.h"
#include "crypto/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct listen_options {
    const char *address; /* NULL: all */
    uint16_t port;       /* 0: any free one */
    const char *config_dir;
    bool insecure;
    bool as_root;          /* processes that strangers can reach are not confined */
    int64_t silent_ns;     /* a peer that says nothing for so long is dead */
    int64_t start_ns;      /* READY to GO */
    unsigned max_incoming; /* guests on their way at once; 0: any number */
    bool announce;         /* tell the network of guests that have arrived */
    enum early_disks early_disks;
    bool json;                             /* events on standard output */
    const struct confinement *confinement; /* the listener sets it */
    const struct tls_base *tls_base;       /* the listener sets it; NULL: insecure */
    const struct policy *policy;           /* the listener sets it, and reads it anew on SIGHUP */
};

#endif
