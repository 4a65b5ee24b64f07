/* SPDX-License-Identifier: MIT */
/*
 * What is under way on another host (--status --peer): asked by a host that is trusted there with
 * `status` or `send`, answered by a process of the listener there from the admin sockets.
 */
#ifndef CMD_XMIGRATE_PEER_STATUS_H
#define CMD_XMIGRATE_PEER_STATUS_H

#include "cmd/xmigrate/admin_client.h"
#include "cmd/xmigrate/session/incoming.h"
#include "cmd/xmigrate/ui/options.h"

/* Here: an exit code. */
int peer_status_answer(struct incoming *in);

/* There; admin_list_free() in any case. *guests, the domains of that host, is the caller's to drop;
 * NULL: it does not know them. */
int peer_status_ask(
    const struct options *o, struct admin_list *list, json_t **guests, struct err *e);

/* Is the guest of that UUID at o's host? -errno: it could not be asked. */
int peer_status_has(const struct options *o, const char *uuid, bool *has, struct err *e);

#endif
