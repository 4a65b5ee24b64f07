/* SPDX-License-Identifier: MIT */
/*
 * What a service manager (systemd) and the listener say to each other: the socket that it holds
 * for us, so that none is refused while we are started anew (sd_listen_fds(3)), and how we are
 * (sd_notify(3)). Both are a few lines; no library is needed for them.
 *
 * The environment is read once and taken away: it is none of our children's business.
 */
#ifndef CMD_XMIGRATE_SESSION_SERVICE_H
#define CMD_XMIGRATE_SESSION_SERVICE_H

#include "base/err.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct service {
    int listen_fd; /* -1: none was passed to us; the owner's once it has been read */
    uint16_t port; /* where that listens */

    struct sockaddr_un notify; /* its own */
    socklen_t notify_bytes;    /* 0: nobody wants to know */
};

/* -errno when what was passed is not one listening TCP socket. */
int service_open(struct service *s, struct err *e);

/* Such as "READY=1". Nothing depends on it. */
void service_notify(const struct service *s, const char *state);

#endif
