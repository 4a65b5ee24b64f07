/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/measured.h"

#include "base/deadline.h"
#include "cmd/xmigrate/session/router.h"
#include "engine/probe/link_probe.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct lane {
    struct channel *ch;
    struct cancel *cancel;
    pthread_t thread;
    bool started;
    struct err e;
};

struct measured {
    struct session_lanes channels;
    struct lane lanes[MAX_LANES];
};

static void *serve(void *arg)
{
    struct lane *l = arg;

    if (link_probe_serve(l->ch, &l->e))
        cancel_fire(l->cancel); /* the others need not go on */
    return NULL;
}

static int start_lane(struct lane *l, struct channel *ch, struct cancel *cancel, struct err *e)
{
    int rc;

    l->ch = ch;
    l->cancel = cancel;
    rc = pthread_create(&l->thread, NULL, serve, l);
    l->started = !rc;
    return rc ? err_sys(e, ERR_LOCAL, rc, "cannot start a thread") : 0;
}

/* The next connection, if one is there: it begins to prove itself. What is not the source's is
 * turned away and changes nothing. -ENODATA: the router is gone. */
static int take_connection(
    const struct measured_params *p, struct measured *m, struct err *refused, struct err *e)
{
    uint8_t bytes[PREAMBLE_BYTES];
    struct preamble preamble;
    int fd;
    const int rc = router_next(p->router_sock, bytes, &fd, now_ns(), e);

    if (rc)
        return rc == -ETIMEDOUT ? 0 : rc;
    if (preamble_decode(bytes, &preamble, refused))
        close(fd);
    else
        session_lanes_accept(&m->channels, p->session, fd, &preamble, refused);
    return 0;
}

/* Those that are through begin to be measured. */
static int start_lanes(
    const struct measured_params *p, struct measured *m, struct err *refused, struct err *e)
{
    int rc = 0;

    while (!rc && !session_lanes_are_all(&m->channels, p->session)) {
        struct err one = ERR_INIT;
        uint16_t i;
        const int through = session_lanes_settle(&m->channels, p->session, &i, &one);

        if (!through)
            break;
        err_take(refused, &one);
        if (through > 0)
            rc = start_lane(&m->lanes[i], m->channels.lanes[i], p->session->cancel, e);
    }
    return rc;
}

static int take_lanes(const struct measured_params *p, struct measured *m, struct err *e)
{
    const int64_t deadline_ns = deadline_in(p->session->stall_ns);
    int router_sock = p->router_sock;
    int rc = session_lanes_expect(&m->channels, e);

    while (!rc && !session_lanes_are_all(&m->channels, p->session)) {
        struct err refused = ERR_INIT;

        rc = session_lanes_wait(&m->channels, p->session, router_sock, deadline_ns, e);
        if (!rc && router_sock >= 0)
            rc = take_connection(p, m, &refused, e);
        if (rc == -ENODATA) {
            router_sock = -1; /* no new ones, but those that are there go on */
            rc = 0;
        }
        if (!rc)
            rc = start_lanes(p, m, &refused, e);
        if (err_is_set(&refused))
            log_warn(p->log, "%s", refused.text);
    }
    if (rc == -ETIMEDOUT)
        err_set(e, ERR_PEER, ETIMEDOUT, "the source opened %u of %u lanes", m->channels.count,
            p->session->lanes);
    return rc;
}

/* What the others say after it is only that they were stopped. */
static void take_cause(struct err *e, const struct err *lane)
{
    if (err_is_set(lane) && (!err_is_set(e) || e->class == ERR_CANCELLED))
        *e = *lane;
}

int measured_lanes(const struct measured_params *p, struct err *e)
{
    struct measured m = {0};

    if (take_lanes(p, &m, e))
        cancel_fire(p->session->cancel);
    for (unsigned i = 0; i < p->session->lanes; i++) {
        if (m.lanes[i].started)
            pthread_join(m.lanes[i].thread, NULL);
        take_cause(e, &m.lanes[i].e);
    }
    session_lanes_close(&m.channels);
    return err_is_set(e) ? -e->code : 0;
}
