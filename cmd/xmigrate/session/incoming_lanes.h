/* SPDX-License-Identifier: MIT */
/*
 * The trunk and the lanes of one migration that comes here, on their way from the router to the
 * save helper: a source may connect them before the helper is there, and then they are kept, and so
 * are a stranger's, who cannot be told apart yet.
 */
#ifndef CMD_XMIGRATE_SESSION_INCOMING_LANES_H
#define CMD_XMIGRATE_SESSION_INCOMING_LANES_H

#include "cmd/session_lanes.h"
#include "transport/preamble.h"

struct incoming_lane {
    int fd;
    uint8_t preamble[PREAMBLE_BYTES];
};

struct incoming_lanes {
    int router_sock; /* readable when one comes; -1: the router is gone, and none will */
    struct incoming_lane kept[SESSION_LANES_WAITING];
    unsigned kept_count;
};

/* The next one from the router: over the link, or kept while there is none (-1). */
int incoming_lanes_take(struct incoming_lanes *l, int link_sock, struct err *e);

/* The helper has come: it gets those that were kept. */
int incoming_lanes_pass_on(struct incoming_lanes *l, int link_sock, struct err *e);

void incoming_lanes_close(struct incoming_lanes *l);

#endif
