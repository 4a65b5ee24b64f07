/* SPDX-License-Identifier: MIT */
#include "engine/out/frozen.h"

#include "base/deadline.h"
#include "engine/out/held.h"
#include "engine/out/lane.h"
#include "engine/v3_headers.h"
#include "transport/page_decoder.h"
#include "transport/trunk.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Of a page that is not compressed, with its entry. */
#define HELD_PAGE_BYTES (PAGE_BYTES + 8ull)
#define STALL_NS        (60 * NS_PER_S)
#define WRITTEN_NS      (200 * NS_PER_MS)

struct out_frozen {
    struct out base;
    struct out_frozen_params p;
    struct v3_headers headers;
    uint64_t frame_count;
    struct held before, after; /* states, as a trunk has them, on either side of the pages */
    bool paged;                /* there was a round */
    struct held pages[MAX_LANES];
    struct held_pool pool; /* for these */
    struct lane_team team;

    /* Writing. */
    struct v3_stream stream;
    char name[48];
    uint64_t written_pages;
    int64_t told_ns;

    struct lane lanes[];
};

static struct out_frozen *frozen_of(struct out *out)
{
    return (struct out_frozen *)out;
}

/* ---- keeping ---- */

static int start_lanes(
    struct out_frozen *s, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    for (unsigned i = 0; i < s->p.lane_count; i++) {
        held_init(&s->pages[i], &s->pool, s->p.cancel);
        s->lanes[i] = (struct lane){.team = &s->team, .guest = g, .ch = &s->pages[i].ch};

        const int rc = lane_start(&s->lanes[i], notes, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int frozen_begin(
    struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct out_frozen *s = frozen_of(out);
    int rc = start_lanes(s, g, notes, e);

    s->frame_count = g->frames;
    if (!rc)
        rc = v3_headers_of(g, &s->headers, e);
    return rc ? rc : held_pool_fill(&s->pool, g->present_pages * HELD_PAGE_BYTES, s->p.cancel, e);
}

static int frozen_state(
    struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct out_frozen *s = frozen_of(out);

    return trunk_send_state(s->paged ? &s->after.ch : &s->before.ch, v3_type, parts, count, e);
}

/* A plain stream has no mark for zero pages. */
static int frozen_round(
    struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct out_frozen *s = frozen_of(out);

    s->paged = true;
    lane_team_run_round(&s->team, job, NULL, NULL, counts);
    counts->data_pages += counts->zero_pages;
    counts->zero_pages = 0;
    return err_is_set(&s->team.failure) ? err_take(e, &s->team.failure) : 0;
}

static int frozen_commit(struct out *out, enum out_commit commit, int64_t limit_ns,
    struct arrival *arrival, struct err *e)
{
    (void)out, (void)limit_ns;
    *arrival = (struct arrival){0};
    return commit == COMMIT_HANDOVER
               ? 0
               : err_set(e, ERR_REFUSED, EOPNOTSUPP, "a frozen copy is taken once");
}

/* ---- writing ---- */

static int write_states(struct out_frozen *s, struct held *states, struct err *e)
{
    struct trunk_reader r;
    struct trunk_message m;
    int rc = trunk_reader_init(&r, &states->ch, e);

    while (!rc && !(rc = trunk_recv(&r, &m, DEADLINE_NEVER, e)))
        rc = v3_write_record(&s->stream, m.state.v3_type,
            &(struct iovec){(void *)m.state.body, m.state.len_bytes}, 1, e);
    trunk_reader_destroy(&r);
    return rc == -ENODATA && !err_is_set(e) ? 0 : rc;
}

static void tell_written(struct out_frozen *s)
{
    if (!deadline_passed(s->told_ns))
        return;
    s->p.written(s->p.arg, s->written_pages);
    s->told_ns = deadline_in(WRITTEN_NS);
}

/* Room for what one record of pages unpacks to. */
struct unpacking {
    struct page_decoder *decoder;
    uint8_t *room;
    void *into[PAGES_MAX_ENTRIES];
    uint64_t entries[PAGES_MAX_ENTRIES]; /* without the mark of our own records */
};

static int unpack(
    struct out_frozen *s, struct unpacking *u, struct channel *ch, size_t len_bytes, struct err *e)
{
    struct page_front front;
    int rc = page_recv_front(u->decoder, ch, len_bytes, &front, e);

    if (rc)
        return rc;
    for (unsigned i = 0; i < front.count; i++)
        u->entries[i] = front.entries[i] & ~WIRE_ENTRY_ZERO;
    rc = page_recv_contents(u->decoder, ch, u->into, e);
    if (!rc)
        rc = v3_write_pages(&s->stream, u->entries, (const void *const *)u->into, front.count, e);
    s->written_pages += front.data_pages + front.zero_pages;
    tell_written(s);
    return rc;
}

static int write_lane(struct out_frozen *s, unsigned i, struct unpacking *u, struct err *e)
{
    struct channel *ch = &s->pages[i].ch;
    uint8_t skipped[LANE_TOTALS_BYTES];
    size_t len_bytes;
    uint32_t type;
    int rc;

    while (!(
        rc = record_recv_header(ch, PAGES_MAX_BODY_BYTES, &type, &len_bytes, DEADLINE_NEVER, e))) {
        if (cancel_is_fired(s->p.cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        /* The round's border, and the lane's totals. */
        rc = type == RECORD_PAGES          ? unpack(s, u, ch, len_bytes, e)
             : len_bytes > sizeof(skipped) ? record_unexpected(ch, type, e)
                                           : record_recv_body(ch, type, skipped, len_bytes, e);
        if (rc)
            return rc;
    }
    return rc == -ENODATA ? 0 : rc;
}

static int write_pages(struct out_frozen *s, struct err *e)
{
    const struct page_rules rules = {.frame_count = s->frame_count, .codecs = s->team.codecs};
    struct unpacking *u = calloc(1, sizeof(*u));
    int rc = u ? page_decoder_create(&rules, &u->decoder, e)
               : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (!rc && !(u->room = aligned_alloc(PAGE_BYTES, (size_t)PAGES_MAX_ENTRIES * PAGE_BYTES)))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (unsigned i = 0; i < PAGES_MAX_ENTRIES && !rc; i++)
        u->into[i] = u->room + (size_t)i * PAGE_BYTES;
    for (unsigned i = 0; i < s->team.started_lanes && !rc; i++)
        rc = write_lane(s, i, u, e);
    if (u) {
        page_decoder_destroy(u->decoder);
        free(u->room);
    }
    free(u);
    return rc;
}

static int frozen_finish(struct out *out, struct err *e)
{
    struct out_frozen *s = frozen_of(out);
    int rc = v3_write_headers(&s->stream, &s->headers, e);

    held_pool_empty(&s->pool);
    if (!rc)
        rc = write_states(s, &s->before, e);
    if (!rc)
        rc = write_pages(s, e);
    if (!rc)
        rc = write_states(s, &s->after, e);
    return rc ? rc : v3_write_record(&s->stream, V3_END, NULL, 0, e);
}

/* ---- */

static uint64_t frozen_wire_bytes(const struct out *out)
{
    const struct out_frozen *s = (const struct out_frozen *)out;

    return lanes_sent_bytes(s->lanes, s->team.started_lanes);
}

static void frozen_profile(const struct out *out, struct total_report *total)
{
    const struct out_frozen *s = (const struct out_frozen *)out;

    lanes_fill_profile(s->lanes, s->team.started_lanes, total);
}

static void frozen_close(struct out *out)
{
    struct out_frozen *s = frozen_of(out);

    lane_team_quit(&s->team);
    for (unsigned i = 0; i < s->team.started_lanes; i++)
        lane_join(&s->lanes[i]);
    for (unsigned i = 0; i < s->p.lane_count; i++)
        held_clear(&s->pages[i]);
    held_clear(&s->before);
    held_clear(&s->after);
    held_pool_destroy(&s->pool);
    lane_team_destroy(&s->team);
    v3_stream_destroy(&s->stream);
    free(s);
}

static const struct out_ops frozen_ops = {
    .begin = frozen_begin,
    .state = frozen_state,
    .round = frozen_round,
    .commit = frozen_commit,
    .finish = frozen_finish,
    .profile = frozen_profile,
    .wire_bytes = frozen_wire_bytes,
    .close = frozen_close,
};

int out_frozen_open(const struct out_frozen_params *p, struct out **out, struct err *e)
{
    struct out_frozen *s = calloc(1, sizeof(*s) + p->lane_count * sizeof(s->lanes[0]));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &frozen_ops;
    s->p = *p;
    s->team.lane_count = p->lane_count;
    s->team.codecs = CODEC_BIT(CODEC_NONE); /* memory is there, and a copy is quicker than LZ4 */
    s->team.cancel = p->cancel;
    s->team.log = p->log;
    held_init(&s->before, NULL, p->cancel);
    held_init(&s->after, NULL, p->cancel);
    held_pool_init(&s->pool);
    snprintf(s->name, sizeof(s->name), "the stream on descriptor %d", p->fd);
    v3_stream_init(&s->stream, p->fd, p->cancel, STALL_NS, s->name);

    const int rc = lane_team_init(&s->team, e);

    if (rc) {
        held_pool_destroy(&s->pool);
        free(s);
        return rc;
    }
    *out = &s->base;
    return 0;
}
