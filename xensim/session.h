/* SPDX-License-Identifier: MIT */
/*
 * Sessions: the client processes of a host. A session is made on the process's control connection
 * and ends with it; its other connections find it by its token.
 *
 * Locks: sessions->lock guards the list and is taken after a domain's lock and before
 * mappings->lock.
 */
#ifndef XENSIM_SESSION_H
#define XENSIM_SESSION_H

#include "xensim/hypervisor/caller.h"
#include "xensim/mapping.h"

struct session {
    struct sessions *all;
    struct session *next;
    uint64_t token;
    _Atomic uint32_t refs;
    struct caller caller;
    struct mappings mappings;
    _Atomic uint8_t *releases;
    int fds[3]; /* machine, arena, releases; -1 once handed over */
};

/* Those of one host. */
struct sessions {
    struct host *host;
    pthread_mutex_t lock;
    struct session *first;
    uint64_t next_token;
    _Atomic uint64_t unknown_ioctls[4]; /* a bit a number: named in the log already */
};

void sessions_init(struct sessions *all, struct host *h);

/* host_ops.sweep_mappings */
void sessions_sweep_mappings(void *sessions, struct domain *d);

/* arena_va: where the process mapped the arena. NULL if memory or descriptors are out. */
struct session *session_new(struct sessions *all, int64_t pid, uint64_t arena_va);

/* A reference, or NULL. Each needs a session_put. */
struct session *session_by_token(struct sessions *all, uint64_t token);
void session_put(struct session *s);

/* The process is gone: everything it held goes, and the reference of session_new(). */
void session_end(struct session *s);

#endif
