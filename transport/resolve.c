/* SPDX-License-Identifier: MIT */
#include "transport/resolve.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PORT_TEXT_BYTES = 8 };

/* Shared by the caller and the thread that looks up; the last to drop it frees it. */
struct lookup {
    atomic_int users;
    int done_fd;
    struct addrinfo hints;
    char port[PORT_TEXT_BYTES];
    /* Written by the thread before it sets is_done and signals done_fd. */
    atomic_bool is_done;
    int result;
    struct addrinfo *list;
    char host[];
};

static void drop_lookup(struct lookup *l)
{
    if (atomic_fetch_sub(&l->users, 1) > 1)
        return;
    if (l->list)
        freeaddrinfo(l->list);
    close(l->done_fd);
    free(l);
}

static void *look_up(void *arg)
{
    struct lookup *l = arg;

    l->result = getaddrinfo(l->host[0] ? l->host : NULL, l->port, &l->hints, &l->list);
    atomic_store_explicit(&l->is_done, true, memory_order_release);
    eventfd_write(l->done_fd, 1);
    drop_lookup(l);
    return NULL;
}

static struct lookup *new_lookup(const char *host, uint16_t port, int flags)
{
    struct lookup *l = calloc(1, sizeof(*l) + strlen(host) + 1);

    if (!l)
        return NULL;
    l->done_fd = eventfd(0, EFD_CLOEXEC);
    if (l->done_fd < 0) {
        free(l);
        return NULL;
    }
    atomic_init(&l->users, 1);
    l->hints = (struct addrinfo){.ai_flags = flags, .ai_socktype = SOCK_STREAM};
    strcpy(l->host, host);
    snprintf(l->port, sizeof(l->port), "%u", port);
    return l;
}

/* 0 when l holds the answer. */
static int run_lookup(struct lookup *l, const struct cancel *cancel, int64_t deadline_ns)
{
    pthread_attr_t attr;
    pthread_t thread;

    atomic_fetch_add(&l->users, 1);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    const int code = pthread_create(&thread, &attr, look_up, l);

    pthread_attr_destroy(&attr);
    if (code) {
        atomic_fetch_sub(&l->users, 1);
        return -code;
    }

    const int rc = io_wait(l->done_fd, POLLIN, cancel, deadline_ns);

    if (!rc && !atomic_load_explicit(&l->is_done, memory_order_acquire))
        return -EIO;
    return rc;
}

static int explain_failure(const struct lookup *l, struct err *e)
{
    if (l->result == EAI_SYSTEM)
        return err_set(e, ERR_PEER, EHOSTUNREACH, "cannot look up host %s", l->host);
    return err_set(
        e, ERR_PEER, EHOSTUNREACH, "unknown host %s: %s", l->host, gai_strerror(l->result));
}

int resolve_host(const char *host, uint16_t port, int flags, const struct cancel *cancel,
    int64_t deadline_ns, struct addrinfo **list, struct err *e)
{
    struct lookup *l = new_lookup(host, port, flags | AI_NUMERICHOST);

    *list = NULL;
    if (!l)
        return err_sys(e, ERR_LOCAL, errno, "cannot look up host %s", host);
    l->result = getaddrinfo(host[0] ? host : NULL, l->port, &l->hints, &l->list);
    if (l->result == EAI_NONAME) {
        l->hints.ai_flags = flags;

        const int rc = run_lookup(l, cancel, deadline_ns);

        if (rc) {
            drop_lookup(l);
            return err_set(e, rc == -ECANCELED ? ERR_CANCELLED : ERR_PEER, -rc,
                "looking up host %s: %s", host, io_strerror(rc));
        }
    }

    const int rc = l->result ? explain_failure(l, e) : 0;

    if (!rc) {
        *list = l->list;
        l->list = NULL;
    }
    drop_lookup(l);
    return rc;
}
