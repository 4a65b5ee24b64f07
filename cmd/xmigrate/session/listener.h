/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --listen: it starts the acceptor, which holds the port, and routes what that passes on
 * (router.h): a process for each new migration, and its further connections. It opens no libxl
 * context, does no TLS and reads nothing from the network.
 */
#ifndef CMD_XMIGRATE_SESSION_LISTENER_H
#define CMD_XMIGRATE_SESSION_LISTENER_H

#include "base/log.h"
#include "cmd/xmigrate/session/caller.h"
#include "cmd/xmigrate/session/listen_options.h"

struct listen_work {
    /* Connections are taken at that port. */
    void (*listening)(const struct listen_options *o, uint16_t port);

    /* The others are done in processes of their own; they return an exit code. */
    /* First of all, with what an earlier run left; and whenever a migration's process has left
     * something unsettled. */
    int (*recover)(const struct log *log);
    /* Then, while connections are taken already: the other ends are asked about what that left
     * open. */
    int (*resolve)(const struct listen_options *o, const struct log *log);
    /* With a new migration: its control connection, through its relay, and where its other
     * connections come from; both become the callee's. */
    int (*serve)(const struct listen_options *o, const struct log *log, int fd,
        const struct caller *caller, int router_sock);
};

/* Runs until SIGTERM or SIGINT, fails when the policy cannot be read; returns the exit code.
 * Migrations under way go on. */
int listen_main(
    const struct listen_options *o, const struct listen_work *work, const struct log *log);

#endif
