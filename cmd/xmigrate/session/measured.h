/* SPDX-License-Identifier: MIT */
/*
 * The receiving side of an estimate (docs/wire.md, "Measuring sessions"): lanes are accepted and
 * what comes on them is counted and thrown away. Nothing of a domain is touched.
 */
#ifndef CMD_XMIGRATE_SESSION_MEASURED_H
#define CMD_XMIGRATE_SESSION_MEASURED_H

#include "base/log.h"
#include "cmd/session_lanes.h"

struct measured_params {
    int router_sock;               /* where connections of the session come, which is registered */
    const struct session *session; /* its cancel: the first lane that fails fires it too */
    const struct log *log;
};

/* Until all lanes are done, or one fails. */
int measured_lanes(const struct measured_params *p, struct err *e);

#endif
