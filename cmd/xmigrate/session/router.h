/* SPDX-License-Identifier: MIT */
/*
 * The router: the listener's own loop. What the acceptor has read a preamble of comes here: it
 * forks a relay for a new migration, and its process once that has let it in, or passes the
 * connection to the process whose token it shows. It reads packets of our own processes, of fixed
 * sizes, and nothing from the network.
 *
 * Processes whose peer has not proven who it is are bounded (crowd.h); the connection of the one
 * that has to go is shut down, which ends it.
 *
 * It runs single-threaded and opens nothing that does not survive a fork.
 */
#ifndef CMD_XMIGRATE_SESSION_ROUTER_H
#define CMD_XMIGRATE_SESSION_ROUTER_H

#include "base/cancel.h"
#include "base/log.h"
#include "cmd/xmigrate/session/router_words.h"
#include "transport/preamble.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    ROUTER_MAX_HALF_OPEN = 64, /* processes whose peer is not known yet */
    ROUTER_MAX_HALF_OPEN_PER_ADDRESS = 16,
    ROUTER_MAX_MIGRATIONS = 64, /* the others */
};

struct router_params {
    int acceptor_sock; /* where connections come from; its end is an error */
    const struct log *log;
    struct cancel *cancel; /* ends the loop */

    /* In a child, which has nothing else open; they return the exit code, and the descriptors are
     * the child's. A new control connection, whose preamble was read: */
    int (*relay)(void *arg, int fd, const struct preamble *preamble, int router_sock);
    /* One that a relay has let in; fd carries its frames. */
    int (*serve)(void *arg, int fd, const struct caller *caller, int router_sock);
    /* A migration's process has left us: it became the monitor, has ended or was killed. */
    int (*look_after)(void *arg, pid_t pid, int pidfd);
    /* NULL, or whether something is open that may be settled by now. It is asked at once, and then
     * now and then, the more rarely the longer there is. */
    bool (*is_open)(void *arg);
    /* In a child: settle it. One at a time. */
    int (*settle)(void *arg);
    /* NULL, or what is to be done here whenever wake_fd is readable. */
    void (*wake)(void *arg);
    int wake_fd;
    void *arg;
};

/* Until cancelled. 0 or -errno. Children live on. */
int router_run(const struct router_params *p, struct err *e);

/* Relay: the peer has proven who it is. The migration's process gets a duplicate of fd. */
int router_admit(int router_sock, const struct caller *a, int fd, struct err *e);

/* Migration: connections with these tokens, one behind the other, come to router_sock; each is good
 * for one. */
int router_register(int router_sock, unsigned count, const uint8_t *tokens, struct err *e);

/* Migration: the next connection, with its preamble as it was read. The descriptor is the caller's.
 * -ENODATA without an error: the router is gone and no more will come. -ETIMEDOUT: none yet. */
int router_next(int router_sock, uint8_t preamble[static PREAMBLE_BYTES], int *fd,
    int64_t deadline_ns, struct err *e);

#endif
