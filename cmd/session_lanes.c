/* SPDX-License-Identifier: MIT */
#include "cmd/session_lanes.h"

#include "base/deadline.h"
#include "crypto/token.h"
#include "engine/paced.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

_Static_assert((int)LINK_SESSION_BYTES == (int)PEER_SESSION_BYTES, "sessions travel whole");
_Static_assert((int)LINK_KEY_BYTES == (int)PEER_KEY_BYTES, "keys travel whole");

/* A source's part in a handshake takes a few round trips and a little work; whoever has accepted a
 * connection need not wait longer than for a slow one. All of a session's are made at once, by
 * hosts that do more at that time than when control was made. */
#define ANSWER_LIMIT_NS (5 * NS_PER_S)
enum { ANSWER_LIMIT_ROUND_TRIPS = 12, ANSWER_LIMIT_HANDSHAKES = 8 };

static int connection_params(
    const struct session *s, uint16_t lane, struct peer_params *p, struct err *e)
{
    *p = (struct peer_params){
        .tls = s->tls,
        .lane = lane,
        .session = s->id,
        .key = s->key,
        .expected_fingerprint = s->tls ? s->fingerprint : NULL,
        .by_kernel = s->by_kernel && lane != LANE_TRUNK,
        .cancel = s->cancel,
        .stall_ns = s->stall_ns,
        .deadline_ns = deadline_in(s->connect_ns),
    };
    return lane_token(s->key, s->id, lane, p->token, e);
}

static unsigned count_places(const struct session *s)
{
    return s->lanes + s->has_trunk;
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

static int refuse_lane(uint16_t lane, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "the source opened lane %u, which is not expected", lane);
}

/* Puts it where it belongs, if that is still free: two may have proven that they are it. */
static int take_place(
    struct session_lanes *l, const struct session *s, struct handshake_end *end, struct err *e)
{
    struct channel **place = find_place(l, s, end->lane);

    if (!end->ch)
        return err_take(e, &end->e);
    if (!place) {
        channel_close(end->ch);
        return refuse_lane(end->lane, e);
    }
    *place = end->ch;
    if (l->paced)
        channel_pace(*place, &l->bucket, s->bits_per_s);
    l->count++;
    return 0;
}

static void stop_handshakes(struct session_lanes *l)
{
    handshakes_close(l->under_way);
    l->under_way = NULL;
}

/* --- the source --- */

static int begin_all(
    struct session_lanes *l, const struct session *s, const struct tcp_address *a, struct err *e)
{
    int rc = handshakes_open(&l->under_way, count_places(s), e);

    for (unsigned i = 0; i < count_places(s) && !rc; i++) {
        const uint16_t lane = i < s->lanes ? (uint16_t)i : LANE_TRUNK;
        struct peer_params p;

        rc = connection_params(s, lane, &p, e);
        if (!rc)
            rc = handshakes_connect(l->under_way, a, &p, e);
    }
    return rc;
}

int session_lanes_connect(struct session_lanes *l, const struct session *s,
    const struct tcp_address *a, void (*progress)(void *arg), void *arg, struct err *e)
{
    bucket_init(&l->bucket, s->bits_per_s, s->cancel);
    l->paced = true;

    int rc = begin_all(l, s, a, e);

    while (!rc && l->count < count_places(s)) {
        struct handshake_end end;

        /* Each has a limit of its own. */
        rc = session_lanes_wait(l, s, -1, DEADLINE_NEVER, e);
        while (!rc && handshakes_take(l->under_way, &end)) {
            rc = take_place(l, s, &end, e);
            if (!rc && progress)
                progress(arg);
        }
    }
    stop_handshakes(l);
    return rc;
}

void session_lanes_cap(struct session_lanes *l, uint64_t bits_per_s)
{
    bucket_set_rate(&l->bucket, bits_per_s);
    for (unsigned i = 0; i < MAX_LANES; i++)
        if (l->lanes[i])
            l->lanes[i]->slice_bytes = bucket_slice_bytes(bits_per_s);
    if (l->trunk)
        l->trunk->slice_bytes = bucket_slice_bytes(bits_per_s);
}

/* --- the destination --- */

int session_lanes_expect(struct session_lanes *l, struct err *e)
{
    return handshakes_open(&l->under_way, SESSION_LANES_WAITING, e);
}

int64_t session_lanes_answer_ns(int64_t round_trip_ns, int64_t control_handshake_ns)
{
    const int64_t limits_ns[] = {ANSWER_LIMIT_NS, ANSWER_LIMIT_ROUND_TRIPS * round_trip_ns,
        ANSWER_LIMIT_HANDSHAKES * control_handshake_ns};
    int64_t most_ns = 0;

    for (size_t i = 0; i < sizeof(limits_ns) / sizeof(limits_ns[0]); i++)
        if (limits_ns[i] > most_ns)
            most_ns = limits_ns[i];
    return most_ns;
}

int session_lanes_accept(struct session_lanes *l, const struct session *s, int fd,
    const struct preamble *preamble, struct err *e)
{
    const int64_t limit_ns = session_lanes_answer_ns(
        tcp_round_trip_ns(fd), s->control_handshake_ns);
    struct peer_params p;
    int rc = connection_params(s, preamble->lane, &p, e);

    p.deadline_ns = deadline_earlier(p.deadline_ns, deadline_in(limit_ns));
    if (!rc && find_place(l, s, preamble->lane))
        return handshakes_accept(l->under_way, fd, preamble, &p, e);
    close(fd);
    return rc ? rc : refuse_lane(preamble->lane, e);
}

int session_lanes_settle(
    struct session_lanes *l, const struct session *s, uint16_t *lane, struct err *e)
{
    struct handshake_end end;

    if (!handshakes_take(l->under_way, &end))
        return 0;
    *lane = end.lane;

    const int rc = take_place(l, s, &end, e);

    if (session_lanes_are_all(l, s))
        stop_handshakes(l); /* nobody else has any business here */
    return rc ? rc : 1;
}

/* --- both --- */

bool session_lanes_are_all(const struct session_lanes *l, const struct session *s)
{
    return l->count == count_places(s);
}

int session_lanes_wait(const struct session_lanes *l, const struct session *s, int or_fd,
    int64_t deadline_ns, struct err *e)
{
    struct pollfd fds[] = {
        {.fd = s->cancel ? s->cancel->event_fd : -1, .events = POLLIN},
        {.fd = handshakes_event_fd(l->under_way), .events = POLLIN},
        {.fd = or_fd, .events = POLLIN},
    };
    const int n = poll(fds, sizeof(fds) / sizeof(fds[0]), deadline_poll_ms(deadline_ns));

    if (n < 0 && errno != EINTR)
        return err_sys(e, ERR_INTERNAL, errno, "waiting for the session's connections");
    if (cancel_is_fired(s->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "cancelled while connections were made");
    return n || !deadline_passed(deadline_ns) ? 0 : -ETIMEDOUT;
}

void session_lanes_close(struct session_lanes *l)
{
    stop_handshakes(l);
    for (unsigned i = 0; i < MAX_LANES; i++) {
        channel_close(l->lanes[i]);
        l->lanes[i] = NULL;
    }
    channel_close(l->trunk);
    l->trunk = NULL;
    l->count = 0;
    if (l->paced)
        bucket_destroy(&l->bucket);
    l->paced = false;
}
