/* SPDX-License-Identifier: MIT */
/*
 * The acceptor: one poll loop that holds the port. Of each connection it reads the preamble and
 * nothing else, with a deadline and a bounded number waiting; then it forks a process for a new
 * migration, or passes the connection to the process that owns its session.
 *
 * It runs single-threaded and opens nothing that does not survive a fork.
 */
#ifndef CMD_XMIGRATE_SESSION_ACCEPTOR_H
#define CMD_XMIGRATE_SESSION_ACCEPTOR_H

#include "base/cancel.h"
#include "base/log.h"
#include "transport/preamble.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ACCEPTOR_MAX_PENDING = 64,  /* connections whose preamble is not complete; the oldest goes */
    ACCEPTOR_MAX_STARTING = 16, /* processes that have not registered a session yet */
    ACCEPTOR_MAX_CHILDREN = 64, /* those and migrations under way */
};

struct acceptor_params {
    int listen_fd;
    bool insecure;
    int64_t preamble_ns; /* a preamble must be there within this */
    const struct log *log;
    struct cancel *cancel; /* ends the loop */

    /* In the child, which has nothing else open: serve one migration on its first connection;
     * returns the exit code. Both descriptors are the child's. */
    int (*serve)(void *arg, int fd, const struct preamble *preamble, int acceptor_sock);
    /* NULL, or what is to be done here whenever wake_fd is readable. */
    void (*wake)(void *arg);
    int wake_fd;
    void *arg;
};

/* Until cancelled. 0 or -errno. Children live on. */
int acceptor_run(const struct acceptor_params *p, struct err *e);

/* Child: from now on connections with that session come to acceptor_sock. */
int acceptor_register(
    int acceptor_sock, const uint8_t session[static PREAMBLE_SESSION_BYTES], struct err *e);

/* Child: the next connection, with its preamble as it was read. The descriptor is the caller's.
 * -ENODATA without an error: the acceptor is gone and no more will come. -ETIMEDOUT: none yet. */
int acceptor_next(int acceptor_sock, uint8_t preamble[static PREAMBLE_BYTES], int *fd,
    int64_t deadline_ns, struct err *e);

#endif
