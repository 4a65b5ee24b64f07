/* SPDX-License-Identifier: MIT */
#include "xensim/preload/xl_event.h"
#include "xensim/client.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A thread that waits for a domain's death, on a command of its own. */
struct libxl__evgen_domain_death {
    struct xl *xl;
    uint32_t domid;
    libxl_ev_user user;
    int sock;
    atomic_bool over; /* disabled: the event is not wanted any more */
    pthread_t thread;
};

EXPORT void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx;
    if (event)
        REAL(libxl_event_dispose)(event);
    free(event);
}

void xl_event_queue(struct xl *xl, const libxl_event *event)
{
    struct xl_event *e = calloc(1, sizeof(*e));
    struct xl_event **at = &xl->events;

    if (e)
        e->event = malloc(sizeof(*e->event));
    if (!e || !e->event) {
        free(e);
        return;
    }
    *e->event = *event;
    while (*at)
        at = &(*at)->next;
    *at = e;
    pthread_cond_broadcast(&xl->changed);
}

static libxl_event *take_event(
    struct xl *xl, uint64_t typemask, libxl_event_predicate *predicate, void *user)
{
    for (struct xl_event **at = &xl->events; *at; at = &(*at)->next) {
        struct xl_event *e = *at;

        if (!(typemask & 1ull << e->event->type) || (predicate && !predicate(e->event, user)))
            continue;

        libxl_event *event = e->event;

        *at = e->next;
        free(e);
        return event;
    }
    return NULL;
}

EXPORT int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
    libxl_event_predicate *predicate, void *user)
{
    struct xl *xl = xl_of(ctx);

    pthread_mutex_lock(&xl->lock);
    *event_r = take_event(xl, typemask, predicate, user);
    pthread_mutex_unlock(&xl->lock);
    return *event_r ? 0 : ERROR_NOT_READY;
}

EXPORT int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
    libxl_event_predicate *predicate, void *user)
{
    struct xl *xl = xl_of(ctx);

    pthread_mutex_lock(&xl->lock);
    while (!(*event_r = take_event(xl, typemask, predicate, user)))
        pthread_cond_wait(&xl->changed, &xl->lock);
    pthread_mutex_unlock(&xl->lock);
    return 0;
}

static void *await_death(void *arg)
{
    struct libxl__evgen_domain_death *w = arg;
    libxl_event event = {.domid = (libxl_domid)w->domid, .for_user = w->user};
    struct err e = ERR_INIT;
    char *text = NULL;
    char id[12];
    unsigned code = 0;
    int rc = client_commandl(w->sock, &text, &e, "await", xl_id_text(w->domid, id), NULL);

    pthread_mutex_lock(&w->xl->lock);
    if (!rc && sscanf(text, "shutdown %u", &code) == 1) {
        event.type = LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN;
        event.u.domain_shutdown.shutdown_reason = (uint8_t)code;
        xl_event_queue(w->xl, &event);
    } else if ((rc && !w->over) || (!rc && !strncmp(text, "dead", 4))) {
        /* Also when the host went away: nobody is to wait for its domains for ever. */
        event.type = LIBXL_EVENT_TYPE_DOMAIN_DEATH;
        xl_event_queue(w->xl, &event);
    }
    pthread_mutex_unlock(&w->xl->lock);
    free(text);
    return NULL;
}

EXPORT int libxl_evenable_domain_death(
    libxl_ctx *ctx, uint32_t domid, libxl_ev_user user, libxl_evgen_domain_death **evgen_out)
{
    struct libxl__evgen_domain_death *w = calloc(1, sizeof(*w));
    struct err e = ERR_INIT;

    if (!w)
        return ERROR_NOMEM;
    w->xl = xl_of(ctx);
    w->domid = domid;
    w->user = user;
    w->sock = host_connect(&e);
    if (w->sock >= 0 && !pthread_create(&w->thread, NULL, await_death, w)) {
        *evgen_out = w;
        return 0;
    }
    if (w->sock >= 0)
        close(w->sock);
    free(w);
    return ERROR_FAIL;
}

EXPORT void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evgen)
{
    struct libxl__evgen_domain_death *w = evgen;

    (void)ctx;
    if (!w)
        return;
    w->over = true;
    shutdown(w->sock, SHUT_RDWR);
    pthread_join(w->thread, NULL);
    close(w->sock);
    free(w);
}
