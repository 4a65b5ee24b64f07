#include "cmd/helper/native.h"

#include "base/deadline.h"
#include "crypto/peer.h"
#include "engine/in/lanes.h"
#include "engine/out/lanes.h"
#include "engine/paced.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)LINK_PREAMBLE_BYTES == (int)PREAMBLE_BYTES, "preambles travel whole");
_Static_assert((int)LINK_SESSION_BYTES == (int)PREAMBLE_SESSION_BYTES, "sessions travel whole");
_Static_assert((int)LINK_KEY_BYTES == (int)PEER_KEY_BYTES, "keys travel whole");

_Static_assert((int)LINK_COMPRESS_AUTO == (int)COMPRESS_AUTO &&
                   (int)LINK_COMPRESS_ZSTD == (int)COMPRESS_ZSTD &&
                   (int)LINK_COMPRESS_LZ4 == (int)COMPRESS_LZ4,
    "the link's numbers are the engine's");

/* The listener has these connections made at once; a source makes them one by one. */
#define LINK_LIMIT_NS (10 * NS_PER_S)

static int read_job(struct native *n, bool save, const struct cancel *cancel, struct err *e)
{
    struct link_message m;
    int rc = link_recv(n->link_sock, &m, cancel, deadline_in(LINK_LIMIT_NS), e);

    if (rc == -ENODATA)
        return err_set(e, ERR_LOCAL, ENODATA, "the supervising xmigrate is gone");
    if (rc)
        return rc;
    if (m.kind != LINK_JOB || (m.job.role == LINK_SOURCE) != save) {
        link_message_clear(&m);
        return err_set(e, ERR_INTERNAL, EPROTO, "the link did not begin with a fitting job");
    }
    n->job = m.job;
    n->lock_fd = m.fd;
    m.fd = -1;
    link_message_clear(&m);
    return 0;
}

static struct peer_params connection_params(
    const struct native *n, uint16_t lane, const struct cancel *cancel)
{
    return (struct peer_params){
        .tls = n->tls,
        .lane = lane,
        .session = n->job.session,
        .key = n->job.key,
        .expected_fingerprint = n->tls ? n->job.fingerprint : NULL,
        .cancel = cancel,
        .stall_ns = n->job.silent_ns,
        .deadline_ns = deadline_in(n->job.connect_ns),
    };
}

/* Where the connection of that number belongs; NULL if there is no such place or it is taken. */
static struct channel **find_place(struct native *n, uint16_t lane)
{
    struct channel **place = lane == LANE_TRUNK    ? &n->trunk
                             : lane < n->job.lanes ? &n->lanes[lane]
                                                   : NULL;

    return place && !*place ? place : NULL;
}

static int connect_lane(struct native *n, uint16_t lane, const struct cancel *cancel, struct err *e)
{
    const struct peer_params p = connection_params(n, lane, cancel);
    struct tcp_address a = {.port = n->job.port};
    struct tls_peer peer;

    snprintf(a.host, sizeof(a.host), "%s", n->job.host);

    struct channel **place = find_place(n, lane);
    const int rc = peer_connect(&a, &p, place, &peer, e);

    if (!rc && n->capped)
        channel_pace(*place, &n->bucket, n->job.bandwidth_bits_per_s);
    return rc;
}

/* The watch, which says so later, does not run yet: one connection more is a sign of life too. */
static void say_alive(const struct native *n)
{
    struct err ignored = ERR_INIT;

    link_send_alive(n->link_sock, &ignored);
}

static int connect_all(struct native *n, const struct cancel *cancel, struct err *e)
{
    int rc = connect_lane(n, LANE_TRUNK, cancel, e);

    for (unsigned i = 0; i < n->job.lanes && !rc; i++) {
        say_alive(n);
        rc = connect_lane(n, (uint16_t)i, cancel, e);
    }
    return rc;
}

/* One connection that the listener accepted, with its preamble read. Owns m's descriptor. */
static int take_connection(
    struct native *n, struct link_message *m, const struct cancel *cancel, struct err *e)
{
    const struct peer_params p = connection_params(n, m->lane, cancel);
    struct channel **place = find_place(n, m->lane);
    struct preamble preamble;
    struct tls_peer peer;
    int rc = preamble_decode(m->preamble, &preamble, e);

    if (rc)
        return rc;
    if (!place)
        return err_set(
            e, ERR_PEER, EPROTO, "the source opened lane %u, which is not expected", m->lane);

    const int fd = m->fd;

    m->fd = -1;
    return peer_accept(fd, &preamble, &p, place, &peer, e);
}

/* The next connection in place; *left counts those that are missing. What is not the source's is
 * turned away and changes nothing: session ids travel in clear, and anybody may use one. */
static int accept_next(struct native *n, unsigned *left, int64_t deadline_ns, struct err *refused,
    const struct cancel *cancel, struct err *e)
{
    struct link_message m;
    int rc = link_recv(n->link_sock, &m, cancel, deadline_ns, e);

    if (rc == -ENODATA)
        return err_set(e, ERR_LOCAL, ENODATA, "the supervising xmigrate is gone");
    if (rc == -ETIMEDOUT && err_is_set(refused))
        *e = *refused;
    if (rc) {
        err_prepend(e, "waiting for the source's connections (%u of %u are missing)", *left,
            n->job.lanes + 1);
        return rc;
    }
    *refused = (struct err)ERR_INIT;
    if (m.kind == LINK_CONN && !take_connection(n, &m, cancel, refused))
        --*left;
    else if (m.kind == LINK_ABORT)
        rc = err_take(e, &m.failed);
    else if (m.kind != LINK_CONN)
        rc = err_set(e, ERR_INTERNAL, EPROTO, "the link carried no connection");
    link_message_clear(&m);
    return rc;
}

static int accept_all(
    struct native *n, const struct cancel *cancel, const struct log *log, struct err *e)
{
    int64_t deadline_ns = deadline_in(n->job.connect_ns);
    struct err refused = ERR_INIT;
    unsigned left = n->job.lanes + 1;
    int rc = 0;

    while (left && !rc) {
        rc = accept_next(n, &left, deadline_ns, &refused, cancel, e);
        if (rc)
            break;
        if (err_is_set(&refused)) {
            log_warn(log, "%s", refused.text);
        } else {
            say_alive(n);
            deadline_ns = deadline_in(n->job.connect_ns);
        }
    }
    return rc;
}

int native_open(struct native *n, const char *link_path, bool save, struct cancel *cancel,
    const struct log *log, struct err *e)
{
    const int sock = link_connect(link_path, e);

    if (sock < 0)
        return sock;
    n->link_sock = sock;

    int rc = read_job(n, save, cancel, e);

    if (!rc && !n->job.insecure)
        rc = tls_open(&n->tls, n->job.config_dir, e);
    if (rc)
        return rc;
    if (n->job.bandwidth_bits_per_s) {
        bucket_init(&n->bucket, n->job.bandwidth_bits_per_s, cancel);
        n->capped = true;
    }
    return save ? connect_all(n, cancel, e) : accept_all(n, cancel, log, e);
}

void native_close_channels(struct native *n)
{
    for (unsigned i = 0; i < LINK_MAX_LANES; i++) {
        channel_close(n->lanes[i]);
        n->lanes[i] = NULL;
    }
    channel_close(n->trunk);
    n->trunk = NULL;
    if (n->tls)
        tls_close(n->tls);
    n->tls = NULL;
    if (n->capped)
        bucket_destroy(&n->bucket);
    n->capped = false;
    explicit_bzero(n->job.key, sizeof(n->job.key));
}

int native_open_out(const struct native *n, const struct cancel *cancel, const struct log *log,
    struct out **out, struct err *e)
{
    const struct out_lanes_params p = {
        .trunk = n->trunk,
        .lanes = n->lanes,
        .lane_count = n->job.lanes,
        .compress = (enum compress)n->job.compress,
        .cancel = cancel,
        .log = log,
    };

    return out_lanes_open(&p, out, e);
}

int native_open_in(const struct native *n, struct cancel *cancel, const struct log *log,
    struct in **in, struct err *e)
{
    const struct in_lanes_params p = {
        .trunk = n->trunk,
        .lanes = n->lanes,
        .lane_count = n->job.lanes,
        .cancel = cancel,
        .log = log,
    };

    return in_lanes_open(&p, in, e);
}

void native_fill_source(const struct native *n, struct source_params *p)
{
    if (n->link_sock < 0)
        return;
    p->limits = n->job.limits;
    p->suspend_estimate_ns = n->job.suspend_estimate_ns;
    p->receiver_estimate_ns = n->job.receiver_estimate_ns;
    p->result_limit_ns = n->job.result_ns;
}
