/* SPDX-License-Identifier: MIT */
/*
 * This process as a client of the daemon: its session, one for all of its descriptors (proto.h).
 *
 * process.lock guards what the process has one of: the session, the tables of descriptors and of
 * regions, the arena. After a fork the child starts without any of it: as with Xen, handles are not
 * usable across a fork.
 */
#ifndef XENSIM_PRELOAD_PROCESS_H
#define XENSIM_PRELOAD_PROCESS_H

#include "xensim/proto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct process {
    pthread_mutex_t lock;
    bool open;
    int control;
    int machine_fd;
    uint64_t token;
    _Atomic uint8_t *releases;
};

extern struct process process;

/* Once. */
void process_handle_forks(void);

/* 0 or -errno. Caller holds process.lock. */
int process_open_session(void);

/* A connection to the daemon, or -errno. */
int process_connect(void);

/* The program is about to get another root directory, in which Xen's devices would be, and the
 * daemon's sockets are not: they stay reachable, from the working directory, which is from now on
 * ours. True if so. */
bool process_stay_near_daemon(void);

/* One request and its reply. -EHOSTDOWN, which no Xen answers, when the daemon is gone. */
int process_ask(
    int sock, const struct proto_request *req, struct proto_reply *reply, int *fds, int nr_fds);

/* A duplicate of fd out of the way of the program's own, in place of fd. fd itself if that
 * fails. */
int process_move_up(int fd);

#endif
