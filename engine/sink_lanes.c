/*
 * Trunk and lanes to another xmigrate. The story's thread sends on the trunk; each lane has a
 * thread (lane_source.c); one more thread waits for the receiver's RESULT, because a receiver that
 * fails says why on the trunk, at any time, and that is a better cause than the broken lane which
 * follows from it.
 */
#include "base/deadline.h"
#include "engine/lane_source.h"
#include "transport/trunk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* A connection broke: so long the receiver has to say why. */
#define EXPLAIN_NS (2 * NS_PER_S)

struct sink_lanes {
    struct page_sink base;
    struct sink_parts parts;
    struct channel *trunk;
    struct lane_source *lanes;
    unsigned started_lanes;
    struct lane_team team;

    struct trunk_reader reader; /* the listener's own */
    pthread_t listener;
    bool listens;
    bool asked;                 /* team.lock: END is on its way, or was sent */
    bool trunk_ended;           /* team.lock: the listener is through */
    struct trunk_result result; /* team.lock: valid if got_result */
    bool got_result;            /* team.lock */
    struct err listen_error;    /* team.lock: why it ended, if not by a result */
};

static struct sink_lanes *lanes_of(struct page_sink *base)
{
    return (struct sink_lanes *)base;
}

/* ---- the listener ---- */

/* Only a failure may come before we asked. */
static void take_message(struct sink_lanes *s, const struct trunk_message *m, struct err *e)
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
    struct sink_lanes *s = arg;
    struct trunk_message m;
    struct err e = ERR_INIT;
    const int rc = trunk_recv(&s->reader, &m, DEADLINE_NEVER, &e);

    pthread_mutex_lock(&s->team.lock);
    if (!rc)
        take_message(s, &m, &e);
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

/* What the listener has to say for a failure; 0 if nothing is wrong as far as it knows. Lock held.
 */
static int trunk_failure(const struct sink_lanes *s, struct err *e)
{
    if (s->got_result && err_is_set(&s->result.failure))
        return err_take(e, &s->result.failure);
    if (err_is_set(&s->listen_error))
        return err_take(e, &s->listen_error);
    return 0;
}

/* Wait for a change or until then. Lock held. */
static void await_change(struct sink_lanes *s, int64_t deadline_ns)
{
    deadline_cond_wait(&s->team.changed, &s->team.lock, deadline_ns);
}

/*
 * *e holds a failure on our side. If the peer is its likely cause, give the receiver a moment to
 * tell its own, and prefer that.
 */
static int explain(struct sink_lanes *s, struct err *e)
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

static struct round_counts add_up(const struct sink_lanes *s, bool finished)
{
    struct round_counts c = {0};

    for (unsigned i = 0; i < s->started_lanes; i++) {
        const struct lane_source *l = &s->lanes[i];

        c.done_pages += atomic_load_explicit(&l->done_pages, memory_order_relaxed);
        c.skipped_pages += atomic_load_explicit(&l->skipped_pages, memory_order_relaxed);
        c.absent_pages += atomic_load_explicit(&l->absent_pages, memory_order_relaxed);
        c.data_pages += atomic_load_explicit(&l->data_pages, memory_order_relaxed);
        c.zero_pages += atomic_load_explicit(&l->zero_pages, memory_order_relaxed);
        if (!finished)
            continue;
        if (l->stuck_pages && !c.stuck_pages)
            c.fault = l->fault;
        c.stuck_pages += l->stuck_pages;
        c.deferred_pages += l->deferred_pages;
    }
    return c;
}

static void shut_down_lanes(struct sink_lanes *s)
{
    for (unsigned i = 0; i < s->started_lanes; i++)
        channel_shutdown(s->lanes[i].ch);
}

/* Until all lanes are through; a failure of one, or of the trunk, ends the others at once. */
static int await_lanes(struct sink_lanes *s, struct err *e)
{
    const struct round_watch *watch = &s->parts.watch;
    int64_t report_ns = deadline_in(ROUND_WATCH_NS);
    bool down = false;

    pthread_mutex_lock(&s->team.lock);
    while (s->team.busy_lanes) {
        await_change(s, report_ns);
        if (atomic_load(&s->team.stop) && !down) {
            down = true;
            shut_down_lanes(s);
        }
        if (!deadline_passed(report_ns))
            continue;
        pthread_mutex_unlock(&s->team.lock);

        const struct round_counts counts = add_up(s, false);

        watch->progress(watch->arg, &counts);
        report_ns = deadline_in(ROUND_WATCH_NS);
        pthread_mutex_lock(&s->team.lock);
    }

    /* A lane that broke because of the trunk's end comes second. */
    int rc = trunk_failure(s, e);

    if (!rc && err_is_set(&s->team.failure))
        rc = err_take(e, &s->team.failure);
    pthread_mutex_unlock(&s->team.lock);
    return rc ? explain(s, e) : 0;
}

static int lanes_round(
    struct page_sink *base, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);
    const struct trunk_round mark = {job->round, job->pages, job->last};
    int rc = trunk_send_round(s->trunk, &mark, e);

    if (rc)
        return explain(s, e);
    for (unsigned i = 0; i < s->started_lanes; i++) {
        atomic_store(&s->lanes[i].done_pages, 0);
        atomic_store(&s->lanes[i].skipped_pages, 0);
        atomic_store(&s->lanes[i].absent_pages, 0);
        atomic_store(&s->lanes[i].data_pages, 0);
        atomic_store(&s->lanes[i].zero_pages, 0);
    }
    frame_share_begin(&s->team.left, job->bitmap, s->parts.guest->frames);
    lane_team_order(&s->team, LANE_ROUND, job, s->started_lanes);
    rc = await_lanes(s, e);
    *counts = add_up(s, true);
    return rc;
}

/* ---- the trunk ---- */

static int lanes_begin(struct page_sink *base, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);
    const struct guest *g = s->parts.guest;
    struct trunk_head head = {
        .guest_type = g->v3_type,
        .codecs = lane_codecs(s->parts.params->compress),
        .lane_count = s->started_lanes,
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

static int lanes_state(
    struct page_sink *base, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);
    const int rc = trunk_send_state(s->trunk, v3_type, parts, count, e);

    return rc ? explain(s, e) : 0;
}

static int lanes_pages_done(struct page_sink *base, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);
    struct trunk_lanes_done done = {.lane_count = s->started_lanes};

    lane_team_order(&s->team, LANE_FINISH, NULL, s->started_lanes);

    int rc = await_lanes(s, e);

    if (rc)
        return rc;
    for (unsigned i = 0; i < s->started_lanes; i++)
        done.lanes[i] = s->lanes[i].totals;
    rc = trunk_send_lanes_done(s->trunk, &done, e);
    return rc ? explain(s, e) : 0;
}

static int lanes_end(struct page_sink *base, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);

    pthread_mutex_lock(&s->team.lock);
    s->asked = true;
    pthread_mutex_unlock(&s->team.lock);

    const int rc = trunk_send_end(s->trunk, e);

    return rc ? explain(s, e) : 0;
}

static int lanes_wait_result(
    struct page_sink *base, int64_t deadline_ns, struct sink_result *result, struct err *e)
{
    struct sink_lanes *s = lanes_of(base);
    const struct cancel *cancel = s->parts.params->cancel;
    int rc = 0;

    pthread_mutex_lock(&s->team.lock);
    while (!s->trunk_ended && !deadline_passed(deadline_ns) && !cancel_is_fired(cancel))
        await_change(s, deadline_earlier(deadline_ns, deadline_in(ROUND_WATCH_NS)));
    if (!s->trunk_ended)
        rc = cancel_is_fired(cancel) ? err_set(e, ERR_CANCELLED, ECANCELED, "told to stop")
                                     : err_set(e, ERR_PEER, ETIMEDOUT,
                                           "%s: the receiver has everything, but did not say in "
                                           "time that it is in place",
                                           s->trunk->name);
    else
        rc = trunk_failure(s, e);
    if (!rc)
        *result = (struct sink_result){s->result.finish_ns, s->result.populated_pages};
    pthread_mutex_unlock(&s->team.lock);
    return rc;
}

static uint64_t lanes_wire_bytes(const struct page_sink *base)
{
    const struct sink_lanes *s = (const struct sink_lanes *)base;
    uint64_t bytes = atomic_load_explicit(&s->trunk->sent_bytes, memory_order_relaxed);

    for (unsigned i = 0; i < s->started_lanes; i++)
        bytes += atomic_load_explicit(&s->lanes[i].ch->sent_bytes, memory_order_relaxed);
    return bytes;
}

static void lanes_profile(const struct page_sink *base, struct total_report *total)
{
    const struct sink_lanes *s = (const struct sink_lanes *)base;

    total->lane_count = s->started_lanes;
    for (unsigned i = 0; i < s->started_lanes; i++)
        total->lanes[i] = s->lanes[i].profile;
}

/* ---- begin and end ---- */

static void lanes_close(struct page_sink *base)
{
    struct sink_lanes *s = lanes_of(base);

    lane_team_order(&s->team, LANE_QUIT, NULL, s->started_lanes);
    for (unsigned i = 0; i < s->started_lanes; i++)
        lane_source_join(&s->lanes[i]);
    if (s->listens) {
        pthread_mutex_lock(&s->team.lock);
        if (!s->trunk_ended)
            channel_shutdown(s->trunk);
        pthread_mutex_unlock(&s->team.lock);
        pthread_join(s->listener, NULL);
        trunk_reader_destroy(&s->reader);
    }
    lane_team_destroy(&s->team);
    free(s->lanes);
    free(s);
}

static const struct page_sink_ops lanes_ops = {
    .begin = lanes_begin,
    .state = lanes_state,
    .round = lanes_round,
    .pages_done = lanes_pages_done,
    .end = lanes_end,
    .wait_result = lanes_wait_result,
    .profile = lanes_profile,
    .wire_bytes = lanes_wire_bytes,
    .close = lanes_close,
};

static int start_lanes(struct sink_lanes *s, struct err *e)
{
    const struct source_params *p = s->parts.params;

    for (unsigned i = 0; i < p->lane_count; i++) {
        s->lanes[i] = (struct lane_source){
            .team = &s->team,
            .params = p,
            .guest = s->parts.guest,
            .index = i,
            .ch = p->lanes[i],
        };

        const int rc = lane_source_start(&s->lanes[i], s->parts.notes, e);

        if (rc)
            return rc;
        s->started_lanes++;
    }
    return 0;
}

static int start_listener(struct sink_lanes *s, struct err *e)
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

int sink_lanes_create(const struct sink_parts *parts, struct page_sink **sink, struct err *e)
{
    struct sink_lanes *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &lanes_ops;
    s->parts = *parts;
    s->trunk = parts->params->trunk;
    s->lanes = calloc(parts->params->lane_count, sizeof(*s->lanes));

    int rc = s->lanes ? lane_team_init(&s->team, e)
                      : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (rc) {
        free(s->lanes);
        free(s);
        return rc;
    }
    rc = start_lanes(s, e);
    if (!rc)
        rc = start_listener(s, e);
    if (rc) {
        lanes_close(&s->base);
        return rc;
    }
    *sink = &s->base;
    return 0;
}
