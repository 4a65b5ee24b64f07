/*
 * Sessions: the client processes of a host, what they map, and the connections on which they
 * make hypercalls. One thread serves one connection.
 *
 * A mapping holds a reference on every frame (map_refs) and, if it is writable and the domain is
 * PV, a typed reference as Xen's PGT_writable. The client lets go by setting its byte in
 * releases[]; session_sweep() and host_sweep_mappings() act on it. When the process goes, all its
 * mappings go.
 *
 * Locks: session->lock guards mappings[] and free_slots; it is taken after a domain's lock.
 */
#ifndef XENSIM_SESSION_H
#define XENSIM_SESSION_H

#include "xensim/hypervisor/host.h"
#include "xensim/proto.h"

struct mapping {
    struct domain *domain; /* a reference; NULL for a free slot and for Xen's own frames */
    uint32_t *mfns;        /* 0 where there is none; NULL if they are a row from first_mfn on */
    uint32_t first_mfn, nr_mfns;
    bool live;
    bool typed;
};

struct session {
    struct host *host;
    struct session *next;
    uint64_t token;
    int64_t pid;
    _Atomic uint32_t refs;

    uint64_t arena_client; /* where the client mapped the arena */
    uint8_t *arena;
    _Atomic uint8_t *releases;
    int fds[3]; /* machine, arena, releases; -1 once handed over */

    pthread_mutex_t lock;
    bool dead;
    struct mapping *mappings;
    uint32_t *free_slots;
    uint32_t nr_free_slots;
    uint32_t high_slot; /* one past the highest slot ever used */
};

struct conn {
    struct host *host;
    int sock;
    struct session *session; /* NULL for commands and before OP_SESSION or OP_CONNECT */
    bool controls;           /* this is the session's control connection */
    uint8_t *window;
};

/* Serves one connection to its end and frees it; a thread's main function. */
void *conn_serve(void *conn);

/* The daemon's view of a client pointer, or NULL if [va, va + bytes) is not in the arena. */
void *session_pointer(struct session *s, uint64_t va, uint64_t bytes);

/* Copy to a client pointer wherever it lies, as Xen does for a caller that uses no hypercall
 * buffer. -EFAULT. */
int session_write(struct session *s, uint64_t va, const void *data, size_t bytes);

/* Drop what the client has let go of. No domain lock may be held. */
void session_sweep(struct session *s);

#endif
