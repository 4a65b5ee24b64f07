/*
 * The plain libxc v3 stream on a descriptor, as stock Xen writes it: the story's own thread loads
 * and writes batch after batch.
 */
#include "base/deadline.h"
#include "dirtylog/extents.h"
#include "engine/sink.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The reader may be a slow disk or an ssh that waits for its own network. */
#define PLAIN_STALL_NS (60 * NS_PER_S)

struct sink_plain {
    struct page_sink base;
    struct sink_parts parts;
    struct batch *batch;
    struct v3_stream stream;
    char name[48];
};

_Static_assert((int)SINK_MAX_PARTS <= (int)V3_MAX_PARTS, "parts are passed on as they are");
_Static_assert((int)BATCH_PAGES <= (int)V3_MAX_BATCH_PAGES, "a batch is one PAGE_DATA");

static int plain_begin(struct page_sink *base, struct err *e)
{
    struct sink_plain *s = (struct sink_plain *)base;
    struct v3_headers h = {.version = 3, .guest_type = s->parts.guest->v3_type};
    const int rc = xen_version_read(s->parts.guest->xen, &h.xen_major, &h.xen_minor, e);

    return rc ? rc : v3_write_headers(&s->stream, &h, e);
}

static int plain_state(
    struct page_sink *base, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct sink_plain *s = (struct sink_plain *)base;

    return v3_write_record(&s->stream, v3_type, parts, count, e);
}

static int send_batch(struct sink_plain *s, const uint64_t *pfns, unsigned n,
    const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct batch *b = s->batch;
    int rc = batch_load(b, pfns, n, job->suspended, e);

    if (!rc && b->count)
        rc = v3_write_pages(&s->stream, b->entries, b->pages, b->count, e);
    batch_unload(b);
    counts->done_pages += n;
    counts->absent_pages += n - b->count - b->unchanged_pages - b->deferred_pages;
    counts->data_pages += b->data_pages;
    if (b->stuck_pages && !counts->stuck_pages)
        counts->fault = b->fault;
    counts->stuck_pages += b->stuck_pages;
    counts->deferred_pages += b->deferred_pages;
    return rc;
}

static int plain_round(
    struct page_sink *base, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct sink_plain *s = (struct sink_plain *)base;
    const struct round_watch *watch = &s->parts.watch;
    struct frame_share share;
    struct frame_walk walk = frame_walk_begin(&share);
    int64_t report_ns = deadline_in(ROUND_WATCH_NS);
    uint64_t pfns[BATCH_PAGES];
    unsigned n;
    int rc = 0;

    *counts = (struct round_counts){0};
    frame_share_begin(&share, job->bitmap, s->parts.guest->frames);
    while (!rc && (n = frame_walk_next(&walk, pfns, s->batch->most_pages)) > 0) {
        if (cancel_is_fired(s->parts.params->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");

        const unsigned due = round_job_filter(job, pfns, n);

        counts->skipped_pages += n - due;
        counts->done_pages += n - due;
        if (due)
            rc = send_batch(s, pfns, due, job, counts, e);
        if (deadline_passed(report_ns)) {
            watch->progress(watch->arg, counts);
            report_ns = deadline_in(ROUND_WATCH_NS);
        }
    }
    return rc;
}

static int plain_pages_done(struct page_sink *base, struct err *e)
{
    (void)base, (void)e;
    return 0;
}

static int plain_verify(struct page_sink *base, struct err *e)
{
    return plain_state(base, V3_VERIFY, NULL, 0, e);
}

static int plain_end(struct page_sink *base, struct err *e)
{
    return plain_state(base, V3_END, NULL, 0, e);
}

static int plain_wait_result(
    struct page_sink *base, int64_t deadline_ns, struct sink_result *result, struct err *e)
{
    /* The stream goes one way; whether it was understood is the toolstack's to know. */
    (void)base, (void)deadline_ns, (void)e;
    *result = (struct sink_result){0};
    return 0;
}

static uint64_t plain_wire_bytes(const struct page_sink *base)
{
    return ((const struct sink_plain *)base)->stream.moved_bytes;
}

static void plain_close(struct page_sink *base)
{
    struct sink_plain *s = (struct sink_plain *)base;

    batch_destroy(s->batch);
    v3_stream_destroy(&s->stream);
    free(s);
}

static const struct page_sink_ops plain_ops = {
    .begin = plain_begin,
    .state = plain_state,
    .round = plain_round,
    .pages_done = plain_pages_done,
    .verify = plain_verify,
    .end = plain_end,
    .wait_result = plain_wait_result,
    .wire_bytes = plain_wire_bytes,
    .close = plain_close,
};

int sink_plain_create(const struct sink_parts *parts, struct page_sink **sink, struct err *e)
{
    const struct source_params *p = parts->params;
    struct sink_plain *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &plain_ops;
    s->parts = *parts;
    snprintf(s->name, sizeof(s->name), "the stream on descriptor %d", p->stream_fd);
    v3_stream_init(&s->stream, p->stream_fd, p->cancel, PLAIN_STALL_NS, s->name);

    const int rc = batch_create(parts->guest->xen, parts->guest, parts->notes, &s->batch, e);

    if (rc) {
        plain_close(&s->base);
        return rc;
    }
    *sink = &s->base;
    return 0;
}
