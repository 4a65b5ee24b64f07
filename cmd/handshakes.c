/* SPDX-License-Identifier: MIT */
#include "cmd/handshakes.h"

#include "base/io.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct handshake {
    pthread_t thread;
    struct cancel stop;
    const struct cancel *later; /* the channel's, once it is made */
    struct peer_params p;
    struct tcp_address at; /* where to, if fd is -1 */
    int fd;
    struct preamble preamble;
    int ended_fd;

    /* The thread's until it has ended. */
    atomic_bool ended;
    struct channel *ch;
    struct err e;
};

struct handshakes {
    int ended_fd;
    unsigned most, count;
    struct handshake *of[]; /* oldest first */
};

/* --- one --- */

static void *shake_hands(void *arg)
{
    struct handshake *h = arg;
    struct tls_peer peer;

    if (h->fd >= 0)
        peer_accept(h->fd, &h->preamble, &h->p, &h->ch, &peer, &h->e);
    else
        peer_connect(&h->at, &h->p, &h->ch, &peer, &h->e);
    atomic_store_explicit(&h->ended, true, memory_order_release);
    eventfd_write(h->ended_fd, 1);
    return NULL;
}

static bool has_ended(const struct handshake *h)
{
    return atomic_load_explicit(&h->ended, memory_order_acquire);
}

/* A channel that was made is h->ch's taker's. */
static void join(struct handshake *h)
{
    pthread_join(h->thread, NULL);
    cancel_destroy(&h->stop);
    if (h->ch)
        h->ch->cancel = h->later;
}

static void drop(struct handshake *h)
{
    cancel_fire(&h->stop);
    join(h);
    channel_close(h->ch);
    free(h);
}

/* --- all --- */

int handshakes_open(struct handshakes **all, unsigned most, struct err *e)
{
    struct handshakes *a = calloc(1, sizeof(*a) + most * sizeof(a->of[0]));

    *all = NULL;
    if (!a)
        return err_sys(e, ERR_LOCAL, ENOMEM, "no room for the session's connections");
    a->most = most;
    a->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (a->ended_fd < 0) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot make an event descriptor");

        free(a);
        return rc;
    }
    *all = a;
    return 0;
}

static struct handshake *take_out(struct handshakes *all, unsigned i)
{
    struct handshake *h = all->of[i];

    all->count--;
    memmove(all->of + i, all->of + i + 1, (all->count - i) * sizeof(h));
    return h;
}

/* The oldest that is still under way; one that has ended waits for its taker, and may be proven. */
static unsigned find_oldest(const struct handshakes *all)
{
    for (unsigned i = 0; i < all->count; i++)
        if (!has_ended(all->of[i]))
            return i;
    return 0;
}

/* Owns fd. */
static int begin(struct handshakes *all, struct handshake model, struct err *e)
{
    struct handshake *h = malloc(sizeof(*h));
    int rc = 0;

    if (all->count == all->most)
        drop(take_out(all, find_oldest(all)));
    if (!h)
        rc = err_sys(e, ERR_LOCAL, ENOMEM, "no room for a connection");
    if (!rc) {
        *h = model;
        rc = cancel_init(&h->stop, e);
    }
    if (!rc) {
        h->later = model.p.cancel;
        h->p.cancel = &h->stop;
        h->ended_fd = all->ended_fd;
        rc = pthread_create(&h->thread, NULL, shake_hands, h);
        if (rc) {
            cancel_destroy(&h->stop);
            rc = err_sys(e, ERR_LOCAL, rc, "cannot start a thread for a connection");
        }
    }
    if (rc) {
        if (model.fd >= 0)
            close(model.fd);
        free(h);
        return rc;
    }
    all->of[all->count++] = h;
    return 0;
}

int handshakes_connect(
    struct handshakes *all, const struct tcp_address *a, const struct peer_params *p, struct err *e)
{
    return begin(all, (struct handshake){.p = *p, .at = *a, .fd = -1}, e);
}

int handshakes_accept(struct handshakes *all, int fd, const struct preamble *preamble,
    const struct peer_params *p, struct err *e)
{
    return begin(all, (struct handshake){.p = *p, .fd = fd, .preamble = *preamble}, e);
}

int handshakes_event_fd(const struct handshakes *all)
{
    return all->ended_fd;
}

bool handshakes_take(struct handshakes *all, struct handshake_end *end)
{
    eventfd_t one;

    /* As many as have ended, and perhaps some for those that were dropped. */
    if (eventfd_read(all->ended_fd, &one))
        return false;
    for (unsigned i = 0; i < all->count; i++) {
        if (!has_ended(all->of[i]))
            continue;

        struct handshake *h = take_out(all, i);

        join(h);
        *end = (struct handshake_end){.lane = h->p.lane, .ch = h->ch, .e = h->e};
        free(h);
        return true;
    }
    return false;
}

void handshakes_close(struct handshakes *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->count; i++)
        cancel_fire(&all->of[i]->stop);
    while (all->count)
        drop(take_out(all, 0));
    close(all->ended_fd);
    free(all);
}
