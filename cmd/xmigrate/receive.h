/* SPDX-License-Identifier: MIT */
/*
 * The destination's process for one migration, from its first connection to a guest that runs
 * here: one linear story on one thread, with libxl's restore on a worker (async.h) and the
 * control connection's reader (mailbox.h) beside it. It ends as the domain's monitor.
 *
 * Until GO every failure, and every silence, ends with no domain here and FAILED to the source.
 * After GO, FAILED is said only when our copy is destroyed.
 */
#ifndef CMD_XMIGRATE_RECEIVE_H
#define CMD_XMIGRATE_RECEIVE_H

#include "base/log.h"
#include "cmd/xmigrate/session/listener.h"
#include "cmd/xmigrate/session/caller.h"

/* Takes over fd (the new migration's control connection, through its relay) and router_sock.
 * Returns an exit code; does not return when it becomes the monitor. */
int receive_main(const struct listen_options *o, const struct log *log, int fd,
    const struct caller *caller, int router_sock);

#endif
