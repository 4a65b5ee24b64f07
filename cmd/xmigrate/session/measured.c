/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/measured.h"

#include "base/deadline.h"
#include "cmd/xmigrate/session/acceptor.h"
#include "engine/probe/link_probe.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
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

/* One connection; owns fd. What is not the source's is turned away and changes nothing: session ids
 * travel in clear, and anybody may use one. */
static int take_lane(const struct measured_params *p, struct measured *m,
    const struct preamble *preamble, int fd, struct err *e)
{
    const unsigned i = preamble->lane;
    const int rc = session_lanes_accept(&m->channels, p->session, fd, preamble, e);

    return rc ? rc : start_lane(&m->lanes[i], m->channels.lanes[i], p->session->cancel, e);
}

static int take_lanes(const struct measured_params *p, struct measured *m, struct err *e)
{
    const int64_t deadline_ns = deadline_in(p->session->stall_ns);

    for (unsigned have = 0; have < p->session->lanes;) {
        uint8_t bytes[PREAMBLE_BYTES];
        struct err refused = ERR_INIT;
        struct preamble preamble;
        int fd;
        const int rc = acceptor_next(p->acceptor_sock, bytes, &fd, deadline_ns, e);

        if (rc == -ENODATA || rc == -ETIMEDOUT)
            return err_set(e, ERR_PEER, ETIMEDOUT, "the source opened %u of %u lanes", have,
                p->session->lanes);
        if (rc)
            return rc;
        if (preamble_decode(bytes, &preamble, &refused))
            close(fd);
        else if (!take_lane(p, m, &preamble, fd, &refused))
            have++;
        if (err_is_set(&refused))
            log_warn(p->log, "%s", refused.text);
    }
    return 0;
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
