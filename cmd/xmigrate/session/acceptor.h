/* SPDX-License-Identifier: MIT */
/*
 * The acceptor: a process with one poll loop that holds the port. Of each connection it reads the
 * preamble and nothing else, with a deadline and a bounded number waiting (crowd.h); whole, it goes
 * to the router with its preamble, which says what becomes of it. It decides nothing, opens
 * nothing and starts nobody.
 */
#ifndef CMD_XMIGRATE_SESSION_ACCEPTOR_H
#define CMD_XMIGRATE_SESSION_ACCEPTOR_H

#include "base/log.h"
#include "transport/preamble.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Connections whose preamble is not complete, or that still read why they were refused. */
    ACCEPTOR_MAX_PENDING = 128,
    ACCEPTOR_MAX_PENDING_PER_ADDRESS = 32,
};

struct acceptor_params {
    int listen_fd;
    bool insecure;
    int64_t preamble_ns; /* a preamble must be there within this */
    const struct log *log;
    int router_sock; /* its end ends the loop */
};

/* Until the router is gone. 0 or -errno. */
int acceptor_run(const struct acceptor_params *p, struct err *e);

#endif
