/* SPDX-License-Identifier: MIT */
#include "cmd/helper/native.h"

#include "base/deadline.h"
#include "base/io.h"
#include "engine/in/lanes.h"
#include "engine/out/lanes.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)LINK_PREAMBLE_BYTES == (int)PREAMBLE_BYTES, "preambles travel whole");

#define LINK_LIMIT_NS (10 * NS_PER_S)
/* libxl gives each device and its hotplug script 40 s at most. */
#define PREPARE_LIMIT_NS (60 * NS_PER_S)

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
    return n->job.notes_bytes ? kernel_notes_decode(n->job.notes, n->job.notes_bytes, &n->notes, e)
                              : 0;
}

static void name_session(struct native *n, struct cancel *cancel)
{
    const struct link_job *job = &n->job;

    n->session = (struct session){
        .tls = n->tls,
        .id = job->session,
        .key = job->key,
        .fingerprint = job->fingerprint,
        .cancel = cancel,
        .stall_ns = job->silent_ns,
        .connect_ns = job->connect_ns,
        .control_handshake_ns = job->control_handshake_ns,
        .lanes = job->lanes,
        .has_trunk = true,
        .by_kernel = job->kernel_tls,
        .bits_per_s = job->bandwidth_bits_per_s,
    };
}

/* The watch, which says so later, does not run yet: one connection more is a sign of life too. */
static void say_alive(void *arg)
{
    const struct native *n = arg;
    struct err ignored = ERR_INIT;

    link_send_alive(n->link_sock, &ignored);
}

static int connect_all(struct native *n, struct err *e)
{
    struct tcp_address a = {.port = n->job.port, .dscp = n->job.dscp};

    snprintf(a.host, sizeof(a.host), "%s", n->job.host);
    snprintf(a.from, sizeof(a.from), "%s", n->job.from);
    return session_lanes_connect(&n->channels, &n->session, &a, say_alive, n, e);
}

/* One connection that the listener accepted, with its preamble read. Owns m's descriptor. */
static int take_connection(struct native *n, struct link_message *m, struct err *e)
{
    struct preamble preamble;
    const int fd = m->fd;
    const int rc = preamble_decode(m->preamble, &preamble, e);

    if (rc)
        return rc;
    m->fd = -1;
    return session_lanes_accept(&n->channels, &n->session, fd, &preamble, e);
}

/* What the link carries, which is readable. What is not the source's is turned away, and *refused
 * says why. */
static int hear_link(
    struct native *n, struct err *refused, const struct cancel *cancel, struct err *e)
{
    struct link_message m;
    int rc = link_recv(n->link_sock, &m, cancel, deadline_in(LINK_LIMIT_NS), e);

    if (rc == -ENODATA)
        return err_set(e, ERR_LOCAL, ENODATA, "the supervising xmigrate is gone");
    if (rc)
        return rc;
    if (m.kind == LINK_CONN)
        take_connection(n, &m, refused);
    else if (m.kind == LINK_ABORT)
        rc = err_take(e, &m.failed);
    else
        rc = err_set(e, ERR_INTERNAL, EPROTO, "the link carried no connection");
    link_message_clear(&m);
    return rc;
}

/* Those that are through, in their places; *deadline_ns moves with each. */
static void settle(struct native *n, int64_t *deadline_ns, struct err *refused)
{
    struct err one = ERR_INIT;
    uint16_t lane;
    int rc;

    while (!session_lanes_are_all(&n->channels, &n->session) &&
           (rc = session_lanes_settle(&n->channels, &n->session, &lane, &one))) {
        if (rc > 0) {
            say_alive(n);
            *deadline_ns = deadline_in(n->job.connect_ns);
        }
        err_take(refused, &one);
    }
}

static bool is_readable(int fd)
{
    return !io_wait(fd, POLLIN, NULL, now_ns());
}

/* In one turn: what came over the link, and what is through. */
static int accept_some(struct native *n, int64_t *deadline_ns, struct err *refused,
    const struct cancel *cancel, struct err *e)
{
    int rc = session_lanes_wait(&n->channels, &n->session, n->link_sock, *deadline_ns, e);

    if (!rc && is_readable(n->link_sock))
        rc = hear_link(n, refused, cancel, e);
    if (!rc)
        settle(n, deadline_ns, refused);
    return rc;
}

static int accept_all(
    struct native *n, const struct cancel *cancel, const struct log *log, struct err *e)
{
    int64_t deadline_ns = deadline_in(n->job.connect_ns);
    struct err last = ERR_INIT;
    int rc = session_lanes_expect(&n->channels, e);

    while (!rc && !session_lanes_are_all(&n->channels, &n->session)) {
        struct err refused = ERR_INIT;

        rc = accept_some(n, &deadline_ns, &refused, cancel, e);
        if (err_is_set(&refused)) {
            log_warn(log, "%s", refused.text);
            last = refused;
        }
    }
    if (rc == -ETIMEDOUT) {
        err_take(e, &last);
        err_set(e, ERR_PEER, ETIMEDOUT, "timed out");
    }
    if (rc)
        err_prepend(e, "waiting for the source's connections (%u of %u are missing)",
            n->job.lanes + 1 - n->channels.count, n->job.lanes + 1);
    return rc;
}

/* This host's: no connection is made any more. */
static void forget_key(struct native *n)
{
    if (n->tls)
        tls_close(n->tls);
    n->tls = n->session.tls = NULL;
}

/* A destination's supervisor has to find the domain first, and to claim its memory: meanwhile
 * OpenSSL's algorithms are looked up, which nearly every job needs. */
static int await_job(
    struct native *n, bool save, struct tls_base **base, const struct cancel *cancel, struct err *e)
{
    struct err later = ERR_INIT; /* when it is known to be needed */

    if (!save)
        tls_base_open(base, &later);

    int rc = read_job(n, save, cancel, e);

    if (!rc && n->job.files)
        rc = files_take(&n->files, n->link_sock, &n->job, cancel, e);
    return rc;
}

/* base: NULL if there is none. */
static int open_tls(struct native *n, const struct tls_base *base, struct err *e)
{
    const char *dir = n->job.config_dir;

    if (n->job.insecure || n->job.plain)
        return 0;
    return base ? tls_open_on(&n->tls, base, dir, e) : tls_open(&n->tls, dir, e);
}

int native_open(struct native *n, const char *link_path, bool save, struct cancel *cancel,
    const struct log *log, struct err *e)
{
    const int sock = link_connect(link_path, e);
    struct tls_base *base = NULL;

    if (sock < 0)
        return sock;
    n->link_sock = sock;

    int rc = await_job(n, save, &base, cancel, e);

    if (!rc)
        rc = open_tls(n, base, e);
    tls_base_close(base);
    if (rc || n->job.plain)
        return rc;
    name_session(n, cancel);
    rc = save ? connect_all(n, e) : accept_all(n, cancel, log, e);
    if (rc)
        session_lanes_close(&n->channels); /* handshakes under way need the key */
    forget_key(n);
    return rc;
}

void native_close_channels(struct native *n)
{
    session_lanes_close(&n->channels);
    forget_key(n);
    explicit_bzero(n->job.key, sizeof(n->job.key));
}

void native_tune(struct native *n, const struct link_tune *tune)
{
    if (n->channels.paced)
        session_lanes_cap(&n->channels, tune->bandwidth_bits_per_s);
    pthread_mutex_lock(&n->tuned_lock);
    n->tuned = *tune;
    n->is_tuned = true;
    pthread_mutex_unlock(&n->tuned_lock);
}

void native_read_limits(struct native *n, struct decide_limits *limits)
{
    pthread_mutex_lock(&n->tuned_lock);
    if (n->is_tuned) {
        limits->max_downtime_ns = n->tuned.max_downtime_ns;
        limits->on_stall = n->tuned.on_stall;
    }
    pthread_mutex_unlock(&n->tuned_lock);
}

int native_open_out(const struct native *n, const struct cancel *cancel, const struct log *log,
    struct out **out, struct err *e)
{
    const struct out_lanes_params p = {
        .trunk = n->channels.trunk,
        .lanes = n->channels.lanes,
        .lane_count = n->job.lanes,
        .compress = n->job.compress,
        .delta_bytes = n->job.delta_cache_bytes,
        .cancel = cancel,
        .log = log,
    };

    return out_lanes_open(&p, out, e);
}

int native_open_in(const struct native *n, struct cancel *cancel, const struct log *log,
    struct in **in, struct err *e)
{
    const struct in_lanes_params p = {
        .trunk = n->channels.trunk,
        .lanes = n->channels.lanes,
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
    p->costs = n->job.costs;
    p->result_limit_ns = n->job.result_ns;
    p->early = n->job.early;
    p->leaves_logging = !n->job.plain;
    p->prepare_limit_ns = PREPARE_LIMIT_NS;
}
