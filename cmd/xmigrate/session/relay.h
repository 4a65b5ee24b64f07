/* SPDX-License-Identifier: MIT */
/*
 * The relay: a process for each control connection that comes here. It holds the connection for its
 * whole life and is the only one that reads what comes on it before its other end has proven who it
 * is: as a user of its own and with nothing to open (cmd/confine.h). Then it asks the router for
 * the migration's process and passes frames on, both ways, each checked for its type, its direction
 * and its length.
 *
 * What is wrong with what the peer sends, or with the connection, reaches the migration's process
 * as the peer's ABORT. When either end is gone, so is the relay.
 */
#ifndef CMD_XMIGRATE_SESSION_RELAY_H
#define CMD_XMIGRATE_SESSION_RELAY_H

#include "base/log.h"
#include "cmd/xmigrate/session/listen_options.h"
#include "transport/preamble.h"

/* Owns fd, whose preamble was read, and router_sock. Returns an exit code. */
int relay_main(const struct listen_options *o, const struct log *log, int fd,
    const struct preamble *preamble, int router_sock);

#endif
