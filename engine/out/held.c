/* SPDX-License-Identifier: MIT */
#include "engine/out/held.h"

#include "base/deadline.h"
#include "base/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct held_chunk {
    struct held_chunk *next;
    uint8_t bytes[HELD_CHUNK_BYTES - sizeof(struct held_chunk *)];
};

/* Aligned, so that the kernel can give it huge pages: a fault each is what filling it costs. */
static struct held_chunk *new_chunk(void)
{
    const size_t span = 2 * (size_t)HELD_CHUNK_BYTES;
    uint8_t *at = mmap(
        NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;

    const size_t before = -(uintptr_t)at % HELD_CHUNK_BYTES;
    uint8_t *chunk = at + before;

    if (before)
        munmap(at, before);
    munmap(chunk + HELD_CHUNK_BYTES, span - HELD_CHUNK_BYTES - before);
    madvise(chunk, HELD_CHUNK_BYTES, MADV_HUGEPAGE);
    return (struct held_chunk *)chunk;
}

/* ---- the pool ---- */

static int no_memory(struct err *e)
{
    return err_set(e, ERR_LOCAL, ENOMEM, "no memory to hold the suspended guest's pages");
}

void held_pool_init(struct held_pool *p)
{
    pthread_mutex_init(&p->lock, NULL);
    p->first = NULL;
}

static void add_to_pool(struct held_pool *p, struct held_chunk *chunk)
{
    pthread_mutex_lock(&p->lock);
    chunk->next = p->first;
    p->first = chunk;
    pthread_mutex_unlock(&p->lock);
}

/* NULL if it is empty. */
static struct held_chunk *take_from_pool(struct held_pool *p)
{
    pthread_mutex_lock(&p->lock);

    struct held_chunk *chunk = p->first;

    if (chunk)
        p->first = chunk->next;
    pthread_mutex_unlock(&p->lock);
    return chunk;
}

int held_pool_fill(struct held_pool *p, uint64_t bytes, const struct cancel *cancel, struct err *e)
{
    for (uint64_t filled = 0; filled < bytes; filled += HELD_CHUNK_BYTES) {
        struct held_chunk *chunk = new_chunk();

        if (!chunk)
            return no_memory(e);
        for (size_t at = 0; at < sizeof(chunk->bytes); at += PAGE_BYTES)
            ((volatile uint8_t *)chunk->bytes)[at] = 0;
        add_to_pool(p, chunk);
        if (cancel_is_fired(cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    }
    return 0;
}

void held_pool_empty(struct held_pool *p)
{
    struct held_chunk *chunk;

    while ((chunk = take_from_pool(p)))
        munmap(chunk, HELD_CHUNK_BYTES);
}

void held_pool_destroy(struct held_pool *p)
{
    held_pool_empty(p);
    pthread_mutex_destroy(&p->lock);
}

/* ---- a channel ---- */

static struct held_chunk *next_chunk(struct held *h)
{
    struct held_chunk *chunk = h->pool ? take_from_pool(h->pool) : NULL;

    if (!chunk)
        chunk = new_chunk();
    if (chunk)
        chunk->next = NULL;
    return chunk;
}

static void drop_first(struct held *h)
{
    struct held_chunk *next = h->first->next;

    munmap(h->first, HELD_CHUNK_BYTES);
    h->first = next;
    h->read_bytes = 0;
    if (!next)
        h->last = NULL;
}

static int put(struct held *h, const uint8_t *from, size_t len_bytes, struct err *e)
{
    while (len_bytes) {
        const size_t room = h->last ? sizeof(h->last->bytes) - h->written_bytes : 0;
        const size_t n = len_bytes < room ? len_bytes : room;

        if (!room) {
            struct held_chunk *chunk = next_chunk(h);

            if (!chunk)
                return no_memory(e);
            *(h->last ? &h->last->next : &h->first) = chunk;
            h->last = chunk;
            h->written_bytes = 0;
            continue;
        }
        memcpy(h->last->bytes + h->written_bytes, from, n);
        h->written_bytes += n;
        h->left_bytes += n;
        from += n;
        len_bytes -= n;
    }
    return 0;
}

static int held_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    struct held *h = (struct held *)ch;

    for (int i = 0; i < count; i++) {
        const int rc = put(h, iov[i].iov_base, iov[i].iov_len, e);

        if (rc)
            return rc;
        atomic_fetch_add_explicit(&ch->sent_bytes, iov[i].iov_len, memory_order_relaxed);
    }
    return 0;
}

static void take(struct held *h, uint8_t *to, size_t len_bytes)
{
    h->left_bytes -= len_bytes;
    while (len_bytes) {
        const size_t have = sizeof(h->first->bytes) - h->read_bytes;
        const size_t n = len_bytes < have ? len_bytes : have;

        memcpy(to, h->first->bytes + h->read_bytes, n);
        h->read_bytes += n;
        to += n;
        len_bytes -= n;
        if (h->read_bytes == sizeof(h->first->bytes))
            drop_first(h);
    }
}

static int held_recv(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    struct held *h = (struct held *)ch;
    uint64_t wanted = 0;

    (void)deadline_ns;
    for (int i = 0; i < count; i++)
        wanted += iov[i].iov_len;
    if (wanted && !h->left_bytes)
        return -ENODATA;
    if (wanted > h->left_bytes)
        return err_set(e, ERR_INTERNAL, EBADMSG, "%s: it ends too early", ch->name);
    for (int i = 0; i < count; i++)
        take(h, iov[i].iov_base, iov[i].iov_len);
    return 0;
}

static int held_finish(struct channel *ch, struct err *e)
{
    (void)ch, (void)e;
    return 0;
}

/* Nobody waits in it. */
static void held_shutdown(struct channel *ch)
{
    (void)ch;
}

void held_init(struct held *h, struct held_pool *pool, const struct cancel *cancel)
{
    static const struct channel_ops ops = {
        .send = held_send, .recv = held_recv, .finish = held_finish, .shutdown = held_shutdown};

    *h = (struct held){
        .ch = {.ops = &ops, .fd = -1, .cancel = cancel, .stall_ns = NS_PER_S}, .pool = pool};
    snprintf(h->ch.name, sizeof(h->ch.name), "the guest's pages in memory");
}

void held_clear(struct held *h)
{
    while (h->first)
        drop_first(h);
    h->left_bytes = 0;
}
