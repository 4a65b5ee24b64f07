/* SPDX-License-Identifier: MIT */
/*
 * A guest's auxiliary data at the destination. The story announces each source before the first
 * entry and says at the end what the other end has sent of it; lanes hand batches over, on their
 * own threads. What a source announces is held against this host's limits, and what comes against
 * what was announced, before anything is done with it; the rest is the source's own (source.h).
 *
 * Each source has a lock, which guards its keys, totals and state.
 */
#ifndef ENGINE_AUX_IN_H
#define ENGINE_AUX_IN_H

#include "engine/aux/keys.h"
#include "engine/aux/source.h"

#include <pthread.h>

struct aux_in_part {
    bool announced, done;         /* the story's, while no lane runs */
    const struct aux_in_ops *ops; /* NULL: not known here, and optional: dropped */
    char name[AUX_NAME_BYTES];
    uint64_t most_entries, most_bytes;
    pthread_mutex_t lock;
    void *state;              /* lock */
    struct aux_keys keys;     /* lock */
    struct aux_totals totals; /* lock */
};

struct aux_in {
    struct xen xen; /* open once a source was announced */
    uint32_t domid;
    const struct log *log;
    const struct aux_in_ops *const *known;
    struct aux_in_part parts[AUX_MAX_SOURCES]; /* by number */
};

/* known: up to a NULL; both pointers outlive it. */
void aux_in_init(
    struct aux_in *a, uint32_t domid, const struct aux_in_ops *const *known, const struct log *log);
void aux_in_close(struct aux_in *a);

/* ERR_REFUSED for a source that is not known here, unless it is optional; ERR_PEER. */
int aux_in_announce(struct aux_in *a, const struct aux_source *s, struct err *e);
/* A batch that was decoded, of that round (from 0). Any lane. ERR_PEER, or the source's own. */
int aux_in_take(struct aux_in *a, uint32_t round, const struct aux_batch *b, struct err *e);
/* What the other end counts. */
int aux_in_done(struct aux_in *a, uint32_t source, const struct aux_totals *sent, struct err *e);
/* Nothing more comes: ERR_PEER if a source is not through. */
int aux_in_complete(struct aux_in *a, struct err *e);

#endif
