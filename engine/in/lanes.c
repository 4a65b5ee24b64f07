/* SPDX-License-Identifier: MIT */
/*
 * An image from another xmigrate: state records and marks on the trunk, pages on lanes.
 *
 *   story's thread   HEAD  STATE...  ROUND...  LANES_DONE  STATE...  END
 *   lane threads                     └─ start   └─ joined
 *
 * Lanes run while the story is in pages(): they start when the states before the pages are in place
 * and are joined before the states after them are handed out. Whoever fails first says why, fires
 * the migration's cancel object, and with it wakes all others.
 */
#include "engine/in/lanes.h"

#include "base/deadline.h"
#include "engine/in/barrier.h"
#include "engine/in/order.h"
#include "engine/in/place.h"
#include "transport/page_decoder.h"
#include "transport/trunk.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>

/* Telling the source why it failed is not worth a longer wait. */
#define FAREWELL_NS (5 * NS_PER_S)

struct in_lanes;

struct lane {
    struct in_lanes *owner;
    unsigned index;
    pthread_t thread;
    bool started;
    /* The lane thread's until it is joined. */
    struct page_decoder *decoder;
    struct placer *placer;
    uint8_t *aux_body; /* NULL: no source was announced */
    struct lane_totals totals;
    uint64_t crossed; /* barriers */
};

struct in_lanes {
    struct in base;
    struct in_lanes_params p;
    struct trunk_reader reader;
    struct trunk_head head;
    enum trunk_phase phase;
    bool has_aux;                 /* a source was announced */
    struct trunk_message message; /* the last one, which led to that phase */
    /* While pages() runs. */
    struct frames *frames;
    const struct in_hook *hook;
    atomic_bool is_last; /* the round: its guest stands still, and waits for no report */
    struct barrier barrier;
    struct lane lane[MAX_LANES];
    pthread_mutex_t failure_lock; /* guards failure */
    struct err failure;           /* the first cause */
};

static int fail(struct in_lanes *s, const struct err *e)
{
    pthread_mutex_lock(&s->failure_lock);
    err_take(&s->failure, e);
    pthread_mutex_unlock(&s->failure_lock);
    cancel_fire(s->p.cancel);
    return -e->code;
}

/* ---- a lane's thread ---- */

/* The contents come straight into the guest's pages. */
static int receive_pages(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    const bool is_last = atomic_load_explicit(&l->owner->is_last, memory_order_relaxed);
    struct page_front front;
    int rc = page_recv_front(l->decoder, ch, len_bytes, &front, e);

    if (!rc)
        rc = barrier_claim(&l->owner->barrier, l->index, l->crossed, front.entries, front.count, e);
    if (rc)
        return rc;
    rc = place_begin(l->placer, front.entries, front.count, e);
    if (!rc)
        rc = page_recv_contents(l->decoder, ch, l->placer->into, e);
    if (!rc)
        rc = place_commit(l->placer, front.entries, front.count, e);
    if (is_last)
        place_leave(l->placer);
    else
        place_end(l->placer);
    if (rc)
        return rc;
    l->totals.records++;
    l->totals.entries += front.count;
    l->totals.data_pages += front.data_pages;
    l->totals.zero_pages += front.zero_pages;
    if (!is_last)
        l->owner->hook->placed(l->owner->hook->arg);
    return 0;
}

/* Checked whole before it is handed on. */
static int receive_aux(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    const struct in_hook *hook = l->owner->hook;
    struct aux_batch batch;
    int rc = l->aux_body ? record_recv_body(ch, RECORD_AUX, l->aux_body, len_bytes, e)
                         : record_unexpected(ch, RECORD_AUX, e);

    if (!rc)
        rc = record_recv_end(ch, RECORD_AUX, e);
    if (rc)
        return rc;

    const char *wrong = aux_decode_batch(l->aux_body, len_bytes, &batch);

    if (wrong)
        return err_set(e, ERR_PEER, EPROTO, "%s: bad AUX record: %s", ch->name, wrong);
    return hook->aux(hook->arg, (uint32_t)l->crossed, &batch, e);
}

static int receive_barrier(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    uint8_t body[LANE_BORDER_BYTES];
    uint64_t number;
    int rc = record_recv_body(ch, RECORD_BORDER, body, len_bytes, e);

    if (!rc)
        rc = record_recv_end(ch, RECORD_BORDER, e);
    if (!rc)
        rc = lane_decode_border(ch, body, len_bytes, &number, e);
    if (!rc)
        rc = barrier_cross(&l->owner->barrier, l->index, number, l->owner->p.cancel, e);
    l->crossed++;
    return rc;
}

/* Behind LANE_END, and behind END, there is nothing but the connection's end, at once. */
static int await_clean_end(struct channel *ch, enum record_type last, struct err *e)
{
    uint32_t type;
    size_t len_bytes;
    const int rc = record_recv_header(
        ch, PAGES_MAX_BODY_BYTES, &type, &len_bytes, deadline_in(ch->stall_ns), e);

    if (rc == -ENODATA)
        return 0;
    return rc ? rc
              : err_set(e, ERR_PEER, EPROTO, "%s: %s came after %s", ch->name, record_name(type),
                    record_name(last));
}

static int receive_end(struct lane *l, struct channel *ch, size_t len_bytes, struct err *e)
{
    uint8_t body[LANE_TOTALS_BYTES];
    struct lane_totals sent;
    int rc = record_recv_body(ch, RECORD_LANE_END, body, len_bytes, e);

    if (!rc)
        rc = record_recv_end(ch, RECORD_LANE_END, e);
    if (!rc)
        rc = lane_decode_end(ch, body, len_bytes, &sent, e);
    if (!rc)
        rc = barrier_end(&l->owner->barrier, l->index, e);
    if (!rc)
        rc = lane_compare_totals(l->index, &sent, &l->totals, e);
    return rc ? rc : await_clean_end(ch, RECORD_LANE_END, e);
}

static int receive_lane(struct lane *l, struct err *e)
{
    struct channel *ch = l->owner->p.lanes[l->index];

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
             : type == RECORD_BORDER ? receive_barrier(l, ch, len_bytes, e)
             : type == RECORD_AUX    ? receive_aux(l, ch, len_bytes, e)
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
    const struct in_lanes *s = l->owner;
    struct page_rules rules = {
        .frame_count = s->frames->frame_count,
        .lane = l->index,
        .codecs = s->head.codecs,
        .deltas = s->head.deltas,
    };
    int rc = placer_create(&l->placer, s->frames, s->p.log, e);

    if (!rc && s->has_aux && !(l->aux_body = malloc(AUX_MAX_BODY_BYTES)))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    if (rc)
        return rc;
    rules.dropped = l->placer->dropped;
    rules.dropped_bytes = PLACE_DROPPED_BYTES;
    rc = page_decoder_create(&rules, &l->decoder, e);
    if (rc)
        return rc;
    rc = pthread_create(&l->thread, NULL, run_lane, l);
    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
    l->started = true;
    return 0;
}

/* All threads, or an error; those that run are joined later in any case. */
static int start_lanes(struct in_lanes *s, struct err *e)
{
    int rc = barrier_init(&s->barrier, s->head.lane_count, &s->frames->map, e);

    for (unsigned i = 0; i < s->head.lane_count && !rc; i++)
        rc = start_lane(&s->lane[i], e);
    return rc;
}

static void join_lanes(struct in_lanes *s)
{
    for (unsigned i = 0; i < s->head.lane_count; i++) {
        struct lane *l = &s->lane[i];

        if (l->started)
            pthread_join(l->thread, NULL);
        l->started = false;
    }
    barrier_destroy(&s->barrier);
}

/* ---- the story's thread ---- */

static struct in_lanes *lanes_of(struct in *in)
{
    return (struct in_lanes *)in;
}

static int lanes_head(struct in *in, struct in_head *head, struct err *e)
{
    struct in_lanes *s = lanes_of(in);
    struct trunk_message *m = &s->message;
    const int rc = trunk_recv(&s->reader, m, DEADLINE_NEVER, e);

    if (rc == -ENODATA)
        return err_set(e, ERR_PEER, EBADMSG, "%s: ended before HEAD", in->name);
    if (rc)
        return rc;
    if (m->type != RECORD_HEAD)
        return record_unexpected(s->p.trunk, m->type, e);
    if (m->head.lane_count != s->p.lane_count)
        return err_set(e, ERR_PEER, EPROTO, "the source sends on %u lanes, %u are open",
            m->head.lane_count, s->p.lane_count);
    s->head = m->head;
    *head = (struct in_head){m->head.guest_type, m->head.frame_count};
    return 0;
}

/* The next record of the trunk, in its place. */
static int receive_message(struct in_lanes *s, struct err *e)
{
    struct trunk_message *m = &s->message;
    const enum trunk_phase before = s->phase;
    const int rc = trunk_recv(&s->reader, m, DEADLINE_NEVER, e);

    if (rc == -ENODATA)
        return err_set(e, ERR_PEER, EBADMSG, "%s: ended before END", s->base.name);
    if (rc)
        return rc;
    s->phase = trunk_next_phase(before, m->type, m->type == RECORD_STATE ? m->state.v3_type : 0);
    if (s->phase == PHASE_OUT_OF_ORDER)
        return err_set(e, ERR_PEER, EPROTO, "%s: %s has no place %s", s->base.name,
            m->type == RECORD_STATE ? v3_name(m->state.v3_type) : record_name(m->type),
            trunk_phase_name(before));
    return 0;
}

static struct in_event event_of(const struct trunk_message *m)
{
    switch (m->type) {
    case RECORD_STATE:
        return (struct in_event){.kind = IN_STATE,
            .v3_type = m->state.v3_type,
            .body = m->state.body,
            .len_bytes = m->state.len_bytes,
            .more = m->state.more};
    case RECORD_AUX_SOURCE:
        return (struct in_event){.kind = IN_AUX, .aux = &m->aux_source};
    case RECORD_AUX_DONE:
        return (struct in_event){.kind = IN_AUX_DONE,
            .aux_number = m->aux_done.source,
            .aux_totals = m->aux_done.totals};
    default:
        return (struct in_event){.kind = m->type == RECORD_END ? IN_END : IN_PAGES};
    }
}

static int lanes_next(struct in *in, struct in_event *event, struct err *e)
{
    struct in_lanes *s = lanes_of(in);
    const struct trunk_message *m = &s->message;
    int rc = receive_message(s, e);

    if (!rc && m->type == RECORD_END)
        rc = await_clean_end(s->p.trunk, RECORD_END, e);
    if (rc)
        return rc;
    *event = event_of(m);
    s->has_aux |= event->kind == IN_AUX;
    return 0;
}

/* Did each lane end as the source says? */
static int compare_totals(
    const struct in_lanes *s, const struct trunk_lanes_done *done, struct err *e)
{
    int rc = done->lane_count == s->head.lane_count
                 ? 0
                 : err_set(e, ERR_PEER, EPROTO, "LANES_DONE of %u lanes, there are %u",
                       done->lane_count, s->head.lane_count);

    for (unsigned i = 0; i < s->head.lane_count && !rc; i++)
        rc = lane_compare_totals(i, &done->lanes[i], &s->lane[i].totals, e);
    return rc;
}

/* All rounds, from the first one's mark, or from LANES_DONE if there was none. */
static int lanes_pages(
    struct in *in, struct frames *frames, const struct in_hook *hook, struct err *e)
{
    struct in_lanes *s = lanes_of(in);
    struct err own = ERR_INIT;

    s->frames = frames;
    s->hook = hook;

    int rc = start_lanes(s, &own);

    while (!rc && s->message.type != RECORD_LANES_DONE) {
        rc = receive_message(s, &own);
        if (!rc && s->message.type == RECORD_ROUND)
            atomic_store_explicit(&s->is_last, s->message.round.last, memory_order_relaxed);
        if (!rc && s->message.type == RECORD_PREPARE)
            rc = hook->prepare(hook->arg, &own);
    }
    if (rc)
        fail(s, &own);
    join_lanes(s);
    /* No other thread is left that could write it. */
    return err_is_set(&s->failure) ? err_take(e, &s->failure)
                                   : compare_totals(s, &s->message.lanes_done, e);
}

/* The result is the last thing on the trunk. After a failure everything was cancelled, but the
 * source shall hear the reason. */
static int lanes_answer(
    struct in *in, const struct err *failure, const struct arrival *arrival, struct err *e)
{
    struct channel *ch = lanes_of(in)->p.trunk;
    const struct trunk_result told = {
        .failure = *failure,
        .finish_ns = arrival->finish_ns,
        .populated_pages = arrival->populated_pages,
    };

    if (err_is_set(failure)) {
        ch->cancel = NULL;
        ch->stall_ns = FAREWELL_NS;
    }
    ch->held = true; /* the goodbye follows */

    const int rc = trunk_send_result(ch, &told, e);

    return rc ? rc : channel_finish(ch, e);
}

static uint64_t lanes_wire_bytes(const struct in *in)
{
    const struct in_lanes_params *p = &((const struct in_lanes *)in)->p;
    uint64_t bytes = atomic_load(&p->trunk->received_bytes);

    for (unsigned i = 0; i < p->lane_count; i++)
        bytes += atomic_load(&p->lanes[i]->received_bytes);
    return bytes;
}

static void lanes_close(struct in *in)
{
    struct in_lanes *s = lanes_of(in);

    for (unsigned i = 0; i < s->head.lane_count; i++) {
        placer_destroy(s->lane[i].placer);
        page_decoder_destroy(s->lane[i].decoder);
        free(s->lane[i].aux_body);
    }
    trunk_reader_destroy(&s->reader);
    pthread_mutex_destroy(&s->failure_lock);
    free(s);
}

static const struct in_ops lanes_ops = {
    .head = lanes_head,
    .next = lanes_next,
    .pages = lanes_pages,
    .answer = lanes_answer,
    .wire_bytes = lanes_wire_bytes,
    .close = lanes_close,
};

int in_lanes_open(const struct in_lanes_params *p, struct in **in, struct err *e)
{
    struct in_lanes *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    rc = trunk_reader_init(&s->reader, p->trunk, e);
    if (rc) {
        free(s);
        return rc;
    }
    s->reader.in_parts = true;
    s->base = (struct in){.ops = &lanes_ops, .name = p->trunk->name};
    s->p = *p;
    s->phase = PHASE_HEAD_STATES;
    pthread_mutex_init(&s->failure_lock, NULL);
    for (unsigned i = 0; i < MAX_LANES; i++)
        s->lane[i] = (struct lane){.owner = s, .index = i};
    *in = &s->base;
    return 0;
}
