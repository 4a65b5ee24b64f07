/* SPDX-License-Identifier: MIT */
/*
 * The story's thread sends on the trunk; each lane has a thread (lane.h); one more thread waits for
 * the receiver's RESULT, because a receiver that fails says why on the trunk, at any time, and that
 * is a better cause than the broken lane which follows from it.
 */
#include "engine/out/lanes.h"

#include "base/deadline.h"
#include "engine/out/lane.h"
#include "transport/trunk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* After a connection broke: how long the receiver has to say why. */
#define EXPLAIN_NS (2 * NS_PER_S)

struct out_lanes {
    struct out base;
    struct out_lanes_params p;
    struct channel *trunk;
    struct lane_team team;
    struct sent_pages sent; /* the lanes', if team.sent */

    struct trunk_reader reader; /* the listener's own */
    pthread_t listener;
    bool listens;
    bool asked;                 /* team.lock: END is on its way, or was sent */
    bool trunk_ended;           /* team.lock: the listener is through */
    struct trunk_result result; /* team.lock: valid if got_result */
    bool got_result;            /* team.lock */
    struct err listen_error;    /* team.lock: why it ended, if not by a result */

    struct lane lanes[];
};

static struct out_lanes *lanes_of(struct out *out)
{
    return (struct out_lanes *)out;
}

/* ---- the listener ---- */

/* Only a failure may come unasked. */
static void accept_result(struct out_lanes *s, const struct trunk_message *m, struct err *e)
{
    if (m->type != RECORD_RESULT || (!s->asked && !err_is_set(&m->result.failure))) {
        record_unexpected(s->trunk, m->type, e);
        return;
    }
    s->result = m->result;
    s->got_result = true;
}

static void *listen_on_trunk(void *arg)
{
    struct out_lanes *s = arg;
    struct trunk_message m;
    struct err e = ERR_INIT;
    const int rc = trunk_recv(&s->reader, &m, DEADLINE_NEVER, &e);

    pthread_mutex_lock(&s->team.lock);
    if (!rc)
        accept_result(s, &m, &e);
    else if (!err_is_set(&e))
        err_set(&e, ERR_PEER, -rc, "%s: closed by the receiver without a result", s->trunk->name);
    err_take(&s->listen_error, &e);
    s->trunk_ended = true;
    /* Nothing more is wanted of us. */
    if (!s->got_result || err_is_set(&s->result.failure))
        atomic_store(&s->team.stop, true);
    pthread_cond_broadcast(&s->team.changed);
    pthread_mutex_unlock(&s->team.lock);
    return NULL;
}

/* The failure that the listener knows of, or 0. Lock held. */
static int trunk_failure(const struct out_lanes *s, struct err *e)
{
    if (s->got_result && err_is_set(&s->result.failure))
        return err_take(e, &s->result.failure);
    if (err_is_set(&s->listen_error))
        return err_take(e, &s->listen_error);
    return 0;
}

/* Wait for a change, or until deadline_ns. Lock held. */
static void await_change(struct out_lanes *s, int64_t deadline_ns)
{
    deadline_cond_wait(&s->team.changed, &s->team.lock, deadline_ns);
}

/*
 * *e holds a failure on our side. If the peer is its likely cause, give the receiver a moment to
 * tell its own, and prefer that.
 */
static int explain(struct out_lanes *s, struct err *e)
{
    if (e->class != ERR_PEER)
        return -e->code;

    const int64_t deadline_ns = deadline_in(EXPLAIN_NS);

    pthread_mutex_lock(&s->team.lock);
    while (!s->trunk_ended && !deadline_passed(deadline_ns))
        await_change(s, deadline_ns);
    if (s->got_result && err_is_set(&s->result.failure))
        *e = s->result.failure;
    pthread_mutex_unlock(&s->team.lock);
    return -e->code;
}

/* ---- rounds ---- */

/* A failure of one lane, or of the trunk, ends the others at once. */
static void shut_down_lanes(void *arg)
{
    struct out_lanes *s = arg;

    for (unsigned i = 0; i < s->team.started_lanes; i++)
        channel_shutdown(s->lanes[i].ch);
}

/* A lane that broke because of the trunk's end comes second. */
static int round_failure(struct out_lanes *s, struct err *e)
{
    pthread_mutex_lock(&s->team.lock);

    int rc = trunk_failure(s, e);

    if (!rc && err_is_set(&s->team.failure))
        rc = err_take(e, &s->team.failure);
    pthread_mutex_unlock(&s->team.lock);
    return rc ? explain(s, e) : 0;
}

/* After the last round each lane has told what it sent; now the trunk does. */
static int send_lanes_done(struct out_lanes *s, const struct aux_out *aux, struct err *e)
{
    struct trunk_lanes_done done = {.lane_count = s->team.started_lanes};

    for (unsigned i = 0; i < s->team.started_lanes; i++)
        done.lanes[i] = s->lanes[i].totals;
    s->trunk->held = true; /* the guest's state follows, and the end */

    int rc = trunk_send_lanes_done(s->trunk, &done, e);

    for (unsigned i = 0; i < aux_out_count(aux) && !rc; i++) {
        const struct aux_totals totals = aux_out_totals(aux, i);

        rc = aux_send_done(s->trunk, i, &totals, e);
    }
    return rc ? explain(s, e) : 0;
}

static int lanes_round(
    struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct out_lanes *s = lanes_of(out);
    const struct trunk_round mark = {job->round, job->pages, job->last};
    int rc = trunk_send_round(s->trunk, &mark, e);

    if (rc)
        return explain(s, e);
    if (s->team.sent)
        sent_pages_begin_round(s->team.sent);
    lane_team_run_round(&s->team, job, shut_down_lanes, s, counts);
    rc = round_failure(s, e);
    return rc || !job->last ? rc : send_lanes_done(s, job->aux, e);
}

/* ---- begin ---- */

static int start_lanes(
    struct out_lanes *s, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    for (unsigned i = 0; i < s->p.lane_count; i++) {
        s->lanes[i] = (struct lane){
            .team = &s->team,
            .guest = g,
            .ch = s->p.lanes[i],
        };

        const int rc = lane_start(&s->lanes[i], notes, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int start_listener(struct out_lanes *s, struct err *e)
{
    int rc = trunk_reader_init(&s->reader, s->trunk, e);

    if (rc)
        return rc;
    rc = pthread_create(&s->listener, NULL, listen_on_trunk, s);
    if (rc) {
        trunk_reader_destroy(&s->reader);
        return err_sys(e, ERR_LOCAL, rc, "cannot start the trunk's thread");
    }
    s->listens = true;
    return 0;
}

static void join_listener(struct out_lanes *s)
{
    pthread_join(s->listener, NULL);
    trunk_reader_destroy(&s->reader);
    s->listens = false;
}

static int send_head(struct out_lanes *s, const struct guest *g, struct err *e)
{
    struct trunk_head head = {
        .guest_type = g->v3_type,
        .codecs = s->team.codecs,
        .deltas = s->team.sent,
        .lane_count = s->team.started_lanes,
        .frame_count = g->frames,
        .page_count = g->present_pages < g->frames ? g->present_pages : g->frames,
    };

    if (g->frames > WIRE_MAX_FRAMES)
        return err_set(e, ERR_REFUSED, E2BIG,
            "domain %u has %" PRIu64 " frames, more than can be sent", g->dom.domid, g->frames);

    int rc = xen_version_read(g->xen, &head.xen_major, &head.xen_minor, e);

    if (rc)
        return rc;
    rc = trunk_send_head(s->trunk, &head, e);
    return rc ? explain(s, e) : 0;
}

static int keep_sent(struct out_lanes *s, uint64_t frames, struct err *e)
{
    const int rc = s->p.delta_bytes ? sent_pages_init(&s->sent, s->p.delta_bytes, frames, e) : 0;

    if (!rc && s->p.delta_bytes)
        s->team.sent = &s->sent;
    return rc;
}

static int lanes_begin(
    struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct out_lanes *s = lanes_of(out);
    int rc = keep_sent(s, g->frames, e);

    if (!rc)
        rc = start_lanes(s, g, notes, e);
    if (!rc)
        rc = start_listener(s, e);
    return rc ? rc : send_head(s, g, e);
}

/* ---- the trunk ---- */

/* No lane is busy. */
static int lanes_aux(struct out *out, const struct aux_out *aux, struct err *e)
{
    struct out_lanes *s = lanes_of(out);

    for (unsigned i = 0; i < s->team.started_lanes; i++) {
        s->lanes[i].aux = malloc(sizeof(*s->lanes[i].aux));
        if (!s->lanes[i].aux)
            return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < aux_out_count(aux); i++)
        if (aux_send_source(s->trunk, aux_out_source(aux, i), e))
            return explain(s, e);
    return 0;
}

static int lanes_state(
    struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct out_lanes *s = lanes_of(out);
    const int rc = trunk_send_state(s->trunk, v3_type, parts, count, e);

    return rc ? explain(s, e) : 0;
}

static int lanes_prepare(struct out *out, struct err *e)
{
    struct out_lanes *s = lanes_of(out);

    return trunk_send_prepare(s->trunk, e) ? explain(s, e) : 0;
}

/* The receiver's word, or why there is none. */
static int await_result(
    struct out_lanes *s, int64_t deadline_ns, struct arrival *arrival, struct err *e)
{
    const struct cancel *cancel = s->p.cancel;
    int rc = 0;

    pthread_mutex_lock(&s->team.lock);
    while (!s->trunk_ended && !deadline_passed(deadline_ns) && !cancel_is_fired(cancel))
        await_change(s, deadline_earlier(deadline_ns, deadline_in(ROUND_PROGRESS_NS)));
    if (!s->trunk_ended)
        rc = cancel_is_fired(cancel) ? err_set(e, ERR_CANCELLED, ECANCELED, "told to stop")
                                     : err_set(e, ERR_PEER, ETIMEDOUT,
                                           "%s: the receiver has everything, but did not say in "
                                           "time that it is in place",
                                           s->trunk->name);
    else
        rc = trunk_failure(s, e);
    if (!rc)
        *arrival = (struct arrival){s->result.finish_ns, s->result.populated_pages};
    pthread_mutex_unlock(&s->team.lock);
    return rc;
}

static int lanes_end(struct out *out, struct err *e)
{
    struct out_lanes *s = lanes_of(out);

    pthread_mutex_lock(&s->team.lock);
    s->asked = true;
    pthread_mutex_unlock(&s->team.lock);
    return trunk_send_end(s->trunk, e) || channel_finish(s->trunk, e) ? explain(s, e) : 0;
}

static int lanes_commit(struct out *out, enum out_commit commit, int64_t limit_ns,
    struct arrival *arrival, struct err *e)
{
    struct out_lanes *s = lanes_of(out);

    if (commit == COMMIT_CHECKPOINT)
        return err_set(
            e, ERR_REFUSED, EOPNOTSUPP, "%s: a checkpoint cannot be sent on lanes", s->trunk->name);

    const int rc = await_result(s, deadline_in(limit_ns), arrival, e);

    if (!rc)
        join_listener(s); /* a result is the last that it reads */
    return rc;
}

static uint64_t lanes_wire_bytes(const struct out *out)
{
    const struct out_lanes *s = (const struct out_lanes *)out;

    return atomic_load_explicit(&s->trunk->sent_bytes, memory_order_relaxed) +
           lanes_sent_bytes(s->lanes, s->team.started_lanes);
}

static uint64_t lanes_unsent_bytes(const struct out *out)
{
    const struct out_lanes *s = (const struct out_lanes *)out;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < s->team.started_lanes; i++)
        bytes += channel_unsent_bytes(s->lanes[i].ch);
    return bytes;
}

static void lanes_profile(const struct out *out, struct total_report *total)
{
    const struct out_lanes *s = (const struct out_lanes *)out;

    lanes_fill_profile(s->lanes, s->team.started_lanes, total);
}

/* ---- open and close ---- */

static void lanes_close(struct out *out)
{
    struct out_lanes *s = lanes_of(out);

    lane_team_quit(&s->team);
    for (unsigned i = 0; i < s->team.started_lanes; i++)
        lane_join(&s->lanes[i]);
    if (s->listens) {
        pthread_mutex_lock(&s->team.lock);
        if (!s->trunk_ended)
            channel_shutdown(s->trunk);
        pthread_mutex_unlock(&s->team.lock);
        join_listener(s);
    }
    lane_team_destroy(&s->team);
    sent_pages_destroy(&s->sent);
    free(s);
}

/* Of those that are kept, the share that tries have shown, by lane: none before there were any,
 * because a pause is promised on this. */
static uint64_t lanes_count_deltas(const struct out *out, const uint64_t *bitmap)
{
    const struct out_lanes *s = (const struct out_lanes *)out;
    unsigned known = 0;
    double sum = 0;

    for (unsigned i = 0; i < s->team.started_lanes && s->team.sent; i++) {
        const double share = page_encoder_delta_share(s->lanes[i].encoder);

        if (share >= 0) {
            sum += share;
            known++;
        }
    }
    return known ? (uint64_t)((double)sent_pages_count(s->team.sent, bitmap) * sum / known) : 0;
}

static const struct out_ops lanes_ops = {
    .begin = lanes_begin,
    .aux = lanes_aux,
    .state = lanes_state,
    .round = lanes_round,
    .prepare = lanes_prepare,
    .end = lanes_end,
    .commit = lanes_commit,
    .count_deltas = lanes_count_deltas,
    .profile = lanes_profile,
    .wire_bytes = lanes_wire_bytes,
    .unsent_bytes = lanes_unsent_bytes,
    .close = lanes_close,
};

static uint32_t codecs_of(enum codec compress)
{
    return compress == CODEC_AUTO ? CODEC_BIT(CODECS) - 1 : CODEC_BIT(compress);
}

int out_lanes_open(const struct out_lanes_params *p, struct out **out, struct err *e)
{
    struct out_lanes *s = calloc(1, sizeof(*s) + p->lane_count * sizeof(s->lanes[0]));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &lanes_ops;
    s->p = *p;
    s->trunk = p->trunk;
    s->team.lane_count = p->lane_count;
    s->team.codecs = codecs_of(p->compress);
    s->team.cancel = p->cancel;
    s->team.log = p->log;

    const int rc = lane_team_init(&s->team, e);

    if (rc) {
        free(s);
        return rc;
    }
    *out = &s->base;
    return 0;
}
