/* SPDX-License-Identifier: MIT */
#include "cmd/session_lanes.h"

#include "base/deadline.h"
#include "engine/paced.h"

#include <errno.h>
#include <unistd.h>

_Static_assert((int)LINK_SESSION_BYTES == (int)PREAMBLE_SESSION_BYTES, "sessions travel whole");
_Static_assert((int)LINK_KEY_BYTES == (int)PEER_KEY_BYTES, "keys travel whole");

static struct peer_params connection_params(const struct session *s, uint16_t lane)
{
    return (struct peer_params){
        .tls = s->tls,
        .lane = lane,
        .session = s->id,
        .key = s->key,
        .expected_fingerprint = s->tls ? s->fingerprint : NULL,
        .cancel = s->cancel,
        .stall_ns = s->stall_ns,
        .deadline_ns = deadline_in(s->connect_ns),
    };
}

/* Where the connection of that number belongs; NULL if there is no such place or it is taken. */
static struct channel **find_place(struct session_lanes *l, const struct session *s, uint16_t lane)
{
    struct channel **place = NULL;

    if (lane < s->lanes)
        place = &l->lanes[lane];
    else if (lane == LANE_TRUNK && s->has_trunk)
        place = &l->trunk;
    return place && !*place ? place : NULL;
}

static int connect_one(struct session_lanes *l, const struct session *s, uint16_t lane,
    const struct tcp_address *a, struct err *e)
{
    const struct peer_params p = connection_params(s, lane);
    struct channel **place = find_place(l, s, lane);
    struct tls_peer peer;
    const int rc = peer_connect(a, &p, place, &peer, e);

    if (!rc && l->capped)
        channel_pace(*place, &l->bucket, s->bits_per_s);
    return rc;
}

int session_lanes_connect(struct session_lanes *l, const struct session *s,
    const struct tcp_address *a, void (*progress)(void *arg), void *arg, struct err *e)
{
    int rc = 0;

    if (s->bits_per_s) {
        bucket_init(&l->bucket, s->bits_per_s, s->cancel);
        l->capped = true;
    }
    if (s->has_trunk)
        rc = connect_one(l, s, LANE_TRUNK, a, e);
    for (unsigned i = 0; i < s->lanes && !rc; i++) {
        if (progress)
            progress(arg);
        rc = connect_one(l, s, (uint16_t)i, a, e);
    }
    return rc;
}

int session_lanes_accept(struct session_lanes *l, const struct session *s, int fd,
    const struct preamble *preamble, struct err *e)
{
    const struct peer_params p = connection_params(s, preamble->lane);
    struct channel **place = find_place(l, s, preamble->lane);
    struct tls_peer peer;

    if (place)
        return peer_accept(fd, preamble, &p, place, &peer, e);
    close(fd);
    return err_set(
        e, ERR_PEER, EPROTO, "the source opened lane %u, which is not expected", preamble->lane);
}

void session_lanes_close(struct session_lanes *l)
{
    for (unsigned i = 0; i < MAX_LANES; i++) {
        channel_close(l->lanes[i]);
        l->lanes[i] = NULL;
    }
    channel_close(l->trunk);
    l->trunk = NULL;
    if (l->capped)
        bucket_destroy(&l->bucket);
    l->capped = false;
}
