/*
 * The native feed: state records and marks on the trunk, pages on lanes.
 *
 *   story's thread   HEAD  STATE...  ROUND...  LANES_DONE  STATE...  END
 *   lane threads                     └─ start   └─ joined
 *
 * Lanes start when the states before the pages are in place and are joined before the states
 * after them are taken. Whoever fails first says why, fires the migration's cancel object, and
 * with it wakes all others.
 */
#include "base/deadline.h"
#include "engine/feed.h"
#include "engine/feed_order.h"
#include "engine/round_gate.h"
#include "engine/xen/apply.h"
#include "transport/pages.h"
#include "transport/trunk.h"

#include <errno.h>
#include <stdlib.h>

/* To tell the source why, when all has failed: not worth a long wait. */
#define FAREWELL_NS (5 * NS_PER_S)

struct lanes;

struct lane {
    struct lanes *owner;
    unsigned index;
    pthread_t thread;
    bool started;
    /* The thread's until it is joined. */
    struct page_decoder *decoder;
    struct applier *applier;
    struct lane_totals totals;
    uint64_t borders; /* crossed */
};

struct lanes {
    struct feed feed;
    struct trunk_reader reader;
    struct trunk_head head;
    struct restore *r; /* while receive() runs */
    struct lane lane[MAX_LANES];
    struct round_gate gate;       /* while lanes run */
    pthread_mutex_t failure_lock; /* guards failure */
    struct err failure;           /* the first cause */
};

static int fail(struct lanes *s, const struct err *e)
{
    pthread_mutex_lock(&s->failure_lock);
    err_take(&s->failure, e);
    pthread_mutex_unlock(&s->failure_lock);
    cancel_fire(s->feed.p->cancel);
    return -e->code;
}

/* ---- a lane's thread ---- */

/* The contents come straight into the guest's pages. */
static int receive_pages(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    struct page_front front;
    int rc = page_recv_front(l->decoder, ch, len_bytes, &front, e);

    if (!rc)
        rc = round_gate_claim(&l->owner->gate, l->index, l->borders, front.entries, front.count, e);
    if (rc)
        return rc;
    rc = apply_begin(l->applier, front.entries, front.count, e);
    if (!rc)
        rc = page_recv_contents(l->decoder, ch, l->applier->into, e);
    if (!rc)
        rc = apply_commit(l->applier, front.entries, front.count, e);
    apply_end(l->applier);
    if (rc)
        return rc;
    l->totals.records++;
    l->totals.entries += front.count;
    l->totals.data_pages += front.data_pages;
    l->totals.zero_pages += front.zero_pages;
    feed_report(&l->owner->feed, &l->owner->r->frames);
    return 0;
}

static int receive_border(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    uint8_t body[LANE_BORDER_BYTES];
    uint64_t number;
    int rc = record_recv_body(ch, RECORD_BORDER, body, len_bytes, e);

    if (!rc)
        rc = lane_decode_border(ch, body, len_bytes, &number, e);
    if (!rc)
        rc = round_gate_cross(&l->owner->gate, l->index, number, l->owner->feed.p->cancel, e);
    l->borders++;
    return rc;
}

static int receive_end(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    uint8_t body[LANE_TOTALS_BYTES];
    struct lane_totals sent;
    int rc = record_recv_body(ch, RECORD_LANE_END, body, len_bytes, e);

    if (!rc)
        rc = lane_decode_end(ch, body, len_bytes, &sent, e);
    if (!rc)
        rc = round_gate_end(&l->owner->gate, l->index, e);
    return rc ? rc : lane_compare_totals(l->index, &sent, &l->totals, e);
}

static int receive_lane(struct lane *l, struct err *e)
{
    struct channel *ch = l->owner->feed.p->lanes[l->index];

    for (;;) {
        uint32_t type;
        size_t len_bytes;
        int rc = record_recv_header(ch, PAGES_MAX_BODY_BYTES, &type, &len_bytes, DEADLINE_NEVER, e);

        if (rc == -ENODATA)
            return err_set(e, ERR_PEER, EBADMSG, "%s: ended before LANE_END", ch->name);
        if (rc)
            return rc;
        if (type == RECORD_LANE_END)
            return receive_end(l, ch, len_bytes, e);
        rc = type == RECORD_PAGES    ? receive_pages(l, ch, len_bytes, e)
             : type == RECORD_BORDER ? receive_border(l, ch, len_bytes, e)
                                     : record_unexpected(ch, type, e);
        if (rc)
            return rc;
    }
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    struct err e = ERR_INIT;

    if (receive_lane(l, &e))
        fail(l->owner, &e);
    return NULL;
}

static int start_lane(struct lane *l, struct err *e)
{
    const struct lanes *s = l->owner;
    const struct page_rules rules = {
        .frame_count = s->r->frames.frame_count,
        .lane = l->index,
        .codecs = s->head.codecs,
    };
    int rc = page_decoder_create(&rules, &l->decoder, e);

    if (!rc)
        rc = applier_create(&l->applier, &s->r->frames, s->r->levels, s->feed.p->log, e);
    if (rc)
        return rc;
    rc = pthread_create(&l->thread, NULL, run_lane, l);
    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
    l->started = true;
    return 0;
}

/* All threads, or an error; those that run are joined later in any case. */
static int start_lanes(struct lanes *s, struct err *e)
{
    int rc = restore_check_ready(s->r, e);

    if (!rc)
        rc = round_gate_init(&s->gate, s->head.lane_count, s->r->frames.frame_count, e);
    for (unsigned i = 0; i < s->head.lane_count && !rc; i++)
        rc = start_lane(&s->lane[i], e);
    return rc;
}

static void join_lanes(struct lanes *s)
{
    for (unsigned i = 0; i < s->head.lane_count; i++) {
        struct lane *l = &s->lane[i];

        if (l->started)
            pthread_join(l->thread, NULL);
        l->started = false;
        applier_destroy(l->applier);
        l->applier = NULL;
        page_decoder_destroy(l->decoder);
        l->decoder = NULL;
    }
    round_gate_destroy(&s->gate);
}

/* ---- the story's thread ---- */

static int read_head(struct feed *f, struct feed_head *head, struct err *e)
{
    struct lanes *s = (struct lanes *)f;
    struct trunk_message m;
    const int rc = trunk_recv(&s->reader, &m, DEADLINE_NEVER, e);

    if (rc == -ENODATA)
        return err_set(e, ERR_PEER, EBADMSG, "%s: ended before HEAD", f->p->trunk->name);
    if (rc)
        return rc;
    if (m.type != RECORD_HEAD)
        return record_unexpected(f->p->trunk, m.type, e);
    if (m.head.lane_count != f->p->lane_count)
        return err_set(e, ERR_PEER, EPROTO, "the source sends on %u lanes, %u are open",
            m.head.lane_count, f->p->lane_count);
    s->head = m.head;
    *head = (struct feed_head){m.head.guest_type, m.head.frame_count};
    return 0;
}

/* Each lane ended as the source says that it did. */
static int compare_totals(const struct lanes *s, const struct trunk_lanes_done *done, struct err *e)
{
    int rc = done->lane_count == s->head.lane_count
                 ? 0
                 : err_set(e, ERR_PEER, EPROTO, "LANES_DONE of %u lanes, there are %u",
                       done->lane_count, s->head.lane_count);

    for (unsigned i = 0; i < s->head.lane_count && !rc; i++)
        rc = lane_compare_totals(i, &done->lanes[i], &s->lane[i].totals, e);
    return rc;
}

static int finish_lanes(struct lanes *s, const struct trunk_lanes_done *done, struct err *e)
{
    join_lanes(s);
    /* Nobody else is left to write it. */
    return err_is_set(&s->failure) ? err_take(e, &s->failure) : compare_totals(s, done, e);
}

static int take_message(
    struct lanes *s, enum feed_phase before, const struct trunk_message *m, struct err *e)
{
    int rc = 0;

    if (before == FEED_HEAD_STATES && (m->type == RECORD_ROUND || m->type == RECORD_LANES_DONE))
        rc = start_lanes(s, e);
    if (!rc && m->type == RECORD_STATE)
        rc = restore_take(s->r, m->state.v3_type, m->state.body, m->state.len_bytes, e);
    if (!rc && m->type == RECORD_LANES_DONE)
        rc = finish_lanes(s, &m->lanes_done, e);
    return rc;
}

static int receive_trunk(struct lanes *s, struct err *e)
{
    struct channel *ch = s->feed.p->trunk;
    enum feed_phase phase = FEED_HEAD_STATES;

    while (phase != FEED_ENDED) {
        struct trunk_message m;
        int rc = trunk_recv(&s->reader, &m, DEADLINE_NEVER, e);

        if (rc == -ENODATA)
            return err_set(e, ERR_PEER, EBADMSG, "%s: ended before END", ch->name);
        if (rc)
            return rc;

        const enum feed_phase before = phase;

        phase = feed_next_phase(before, m.type, m.type == RECORD_STATE ? m.state.v3_type : 0);
        if (phase == FEED_OUT_OF_ORDER)
            return err_set(e, ERR_PEER, EPROTO, "%s: %s has no place %s", ch->name,
                m.type == RECORD_STATE ? v3_name(m.state.v3_type) : record_name(m.type),
                feed_phase_name(before));
        rc = take_message(s, before, &m, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int receive(struct feed *f, struct restore *r, struct err *e)
{
    struct lanes *s = (struct lanes *)f;
    struct err own = ERR_INIT;

    s->r = r;
    if (receive_trunk(s, &own))
        fail(s, &own);
    join_lanes(s);
    s->r = NULL;
    return err_is_set(&s->failure) ? err_take(e, &s->failure) : 0;
}

/* The result is the last thing on the trunk. After a failure everything was cancelled, but the
 * source shall hear the reason. */
static int answer(
    struct feed *f, const struct err *failure, const struct dest_result *result, struct err *e)
{
    const struct trunk_result told = {
        .failure = *failure,
        .finish_ns = result->finish_ns,
        .populated_pages = result->populated_pages,
    };
    struct channel *ch = f->p->trunk;

    if (err_is_set(failure)) {
        ch->cancel = NULL;
        ch->stall_ns = FAREWELL_NS;
    }

    const int rc = trunk_send_result(ch, &told, e);

    return rc ? rc : channel_finish(ch, e);
}

static uint64_t count_bytes(const struct feed *f)
{
    uint64_t bytes = atomic_load(&f->p->trunk->received_bytes);

    for (unsigned i = 0; i < f->p->lane_count; i++)
        bytes += atomic_load(&f->p->lanes[i]->received_bytes);
    return bytes;
}

static void close_feed(struct feed *f)
{
    struct lanes *s = (struct lanes *)f;

    trunk_reader_destroy(&s->reader);
    pthread_mutex_destroy(&f->report_lock);
    pthread_mutex_destroy(&s->failure_lock);
    free(s);
}

static const struct feed_ops lanes_ops = {
    .read_head = read_head,
    .receive = receive,
    .answer = answer,
    .count_bytes = count_bytes,
    .close = close_feed,
};

int feed_open_lanes(struct feed **f, const struct dest_params *p, struct err *e)
{
    struct lanes *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    rc = trunk_reader_init(&s->reader, p->trunk, e);
    if (rc) {
        free(s);
        return rc;
    }
    s->feed = (struct feed){.ops = &lanes_ops, .p = p};
    pthread_mutex_init(&s->feed.report_lock, NULL);
    pthread_mutex_init(&s->failure_lock, NULL);
    for (unsigned i = 0; i < MAX_LANES; i++)
        s->lane[i] = (struct lane){.owner = s, .index = i};
    *f = &s->feed;
    return 0;
}
