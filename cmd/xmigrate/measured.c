#include "cmd/xmigrate/measured.h"

#include "base/deadline.h"
#include "cmd/xmigrate/acceptor.h"
#include "crypto/peer.h"
#include "engine/probe/link_probe.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct lane {
    struct cancel *cancel;
    struct channel *ch; /* NULL: it has not come yet */
    pthread_t thread;
    bool started;
    struct err e;
};

static void *serve(void *arg)
{
    struct lane *l = arg;

    if (link_probe_serve(l->ch, &l->e))
        cancel_fire(l->cancel); /* the others need not go on */
    return NULL;
}

/* One connection; owns fd. What is not the source's is turned away and changes nothing: session ids
 * travel in clear, and anybody may use one. */
static int take_lane(const struct measured_params *p, struct lane *lanes,
    const struct preamble *preamble, int fd, struct err *e)
{
    const struct peer_params params = {
        .tls = p->tls,
        .lane = preamble->lane,
        .session = p->accept->session,
        .key = p->accept->key,
        .expected_fingerprint = p->tls ? p->fingerprint : NULL,
        .cancel = p->cancel,
        .stall_ns = p->silent_ns,
        .deadline_ns = deadline_in(p->silent_ns),
    };
    struct lane *l = preamble->lane < p->accept->lanes ? &lanes[preamble->lane] : NULL;
    struct tls_peer peer;

    if (!l || l->ch) {
        close(fd);
        return err_set(e, ERR_PEER, EPROTO, "the source opened lane %u, which is not expected",
            preamble->lane);
    }

    int rc = peer_accept(fd, preamble, &params, &l->ch, &peer, e);

    if (rc)
        return rc;
    l->cancel = p->cancel;
    rc = pthread_create(&l->thread, NULL, serve, l);
    l->started = !rc;
    return rc ? err_sys(e, ERR_LOCAL, rc, "cannot start a thread") : 0;
}

static int take_lanes(const struct measured_params *p, struct lane *lanes, struct err *e)
{
    const int64_t deadline_ns = deadline_in(p->silent_ns);

    for (unsigned have = 0; have < p->accept->lanes;) {
        uint8_t bytes[PREAMBLE_BYTES];
        struct err refused = ERR_INIT;
        struct preamble preamble;
        int fd;
        const int rc = acceptor_next(p->acceptor_sock, bytes, &fd, deadline_ns, e);

        if (rc == -ENODATA || rc == -ETIMEDOUT)
            return err_set(
                e, ERR_PEER, ETIMEDOUT, "the source opened %u of %u lanes", have, p->accept->lanes);
        if (rc)
            return rc;
        if (preamble_decode(bytes, &preamble, &refused))
            close(fd);
        else if (!take_lane(p, lanes, &preamble, fd, &refused))
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
    struct lane lanes[LINK_MAX_LANES] = {0};

    if (take_lanes(p, lanes, e))
        cancel_fire(p->cancel);
    for (unsigned i = 0; i < p->accept->lanes; i++) {
        if (lanes[i].started)
            pthread_join(lanes[i].thread, NULL);
        take_cause(e, &lanes[i].e);
        channel_close(lanes[i].ch);
    }
    return err_is_set(e) ? -e->code : 0;
}
