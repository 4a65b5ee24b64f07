/* SPDX-License-Identifier: MIT */
/*
 * A channel whose other end is this process's memory: what one thread sends is kept, and when it is
 * through, another receives it in that order. What was received is given back at once.
 *
 * Memory is taken in chunks of HELD_CHUNK_BYTES, so nothing is copied to grow. Those of a pool are
 * taken first: to have the kernel give memory takes longer than to copy a page into it, and can be
 * done while the guest runs.
 */
#ifndef ENGINE_OUT_HELD_H
#define ENGINE_OUT_HELD_H

#include "transport/channel.h"

#include <pthread.h>

enum { HELD_CHUNK_BYTES = 4 << 20 };

struct held_chunk;

/* Chunks whose memory is there already, for several channels. */
struct held_pool {
    pthread_mutex_t lock;
    struct held_chunk *first; /* lock */
};

void held_pool_init(struct held_pool *p);
/* Until it holds so many bytes. -ECANCELED when it was told to stop. */
int held_pool_fill(struct held_pool *p, uint64_t bytes, const struct cancel *cancel, struct err *e);
/* What nobody took is given back; it can be filled again. */
void held_pool_empty(struct held_pool *p);
void held_pool_destroy(struct held_pool *p);

struct held {
    struct channel ch;
    struct held_pool *pool; /* NULL: none */
    struct held_chunk *first, *last;
    size_t read_bytes, written_bytes; /* of the first, of the last */
    uint64_t left_bytes;              /* that nobody has received */
};

/* pool: NULL, or one that outlives it. */
void held_init(struct held *h, struct held_pool *pool, const struct cancel *cancel);
void held_clear(struct held *h);

#endif
