/* SPDX-License-Identifier: MIT */
/* The story's own thread loads and writes batch after batch. */
#include "engine/out/plain.h"

#include "dirtylog/extents.h"
#include "engine/batch.h"
#include "engine/out/lane_counts.h"
#include "engine/v3_headers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The reader may be a slow disk, or an ssh that waits for its network. */
#define PLAIN_STALL_NS (60 * NS_PER_S)

struct out_plain {
    struct out base;
    const struct cancel *cancel;
    struct v3_stream stream;
    char name[48];
    /* From begin on. */
    struct batch *batch;
};

_Static_assert((int)OUT_MAX_PARTS <= (int)V3_MAX_PARTS, "parts are passed on as they are");
_Static_assert((int)BATCH_PAGES <= (int)V3_MAX_BATCH_PAGES, "a batch is one PAGE_DATA");

static int plain_begin(
    struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct out_plain *s = (struct out_plain *)out;
    struct v3_headers h;
    int rc = batch_create(g->xen, g, notes, &s->batch, e);

    if (!rc)
        rc = v3_headers_of(g, &h, e);
    return rc ? rc : v3_write_headers(&s->stream, &h, e);
}

static int plain_state(
    struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct out_plain *s = (struct out_plain *)out;

    return v3_write_record(&s->stream, v3_type, parts, count, e);
}

static int send_batch(struct out_plain *s, const uint64_t *pfns, unsigned n,
    const struct round_job *job, struct lane_counts *counts, struct err *e)
{
    struct batch *b = s->batch;
    int rc = batch_load(b, pfns, n, job->suspended, e);

    if (!rc && b->count)
        rc = v3_write_pages(&s->stream, b->entries, b->pages, b->count, e);
    batch_unload(b);
    lane_counts_sent(counts, b->data_pages, 0);
    lane_counts_done(counts, b, n);
    return rc;
}

static void tell_counts(const struct lane_counts *c, struct round_counts *counts)
{
    *counts = (struct round_counts){0};
    lane_counts_add(c, true, counts);
}

static int plain_round(
    struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct out_plain *s = (struct out_plain *)out;
    const struct round_hook *hook = &job->hook;
    struct frame_share share;
    struct frame_walk walk = frame_walk_begin(&share);
    int64_t report_ns = deadline_in(ROUND_PROGRESS_NS);
    uint64_t pfns[BATCH_PAGES];
    struct lane_counts c = {0};
    unsigned n;
    int rc = 0;

    frame_share_begin(&share, job->bitmap, job->first_frame, job->end_frame);
    while (!rc && (n = frame_walk_next(&walk, pfns, s->batch->most_pages)) > 0) {
        if (cancel_is_fired(s->cancel)) {
            rc = err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
            break;
        }

        const unsigned due = round_job_filter(job, NULL, pfns, n);

        lane_counts_skipped(&c, n - due);
        if (due)
            rc = send_batch(s, pfns, due, job, &c, e);
        if (deadline_passed(report_ns)) {
            tell_counts(&c, counts);
            hook->progress(hook->arg, counts);
            report_ns = deadline_in(ROUND_PROGRESS_NS);
        }
    }
    tell_counts(&c, counts);
    return rc;
}

static int plain_verify(struct out *out, struct err *e)
{
    return plain_state(out, V3_VERIFY, NULL, 0, e);
}

/* The stream goes one way: only the toolstack can know whether it was understood. */
static int plain_commit(struct out *out, enum out_commit commit, int64_t limit_ns,
    struct arrival *arrival, struct err *e)
{
    (void)limit_ns;
    *arrival = (struct arrival){0};
    return plain_state(out, commit == COMMIT_CHECKPOINT ? V3_CHECKPOINT : V3_END, NULL, 0, e);
}

static uint64_t plain_wire_bytes(const struct out *out)
{
    return ((const struct out_plain *)out)->stream.moved_bytes;
}

static void plain_close(struct out *out)
{
    struct out_plain *s = (struct out_plain *)out;

    batch_destroy(s->batch);
    v3_stream_destroy(&s->stream);
    free(s);
}

static const struct out_ops plain_ops = {
    .begin = plain_begin,
    .state = plain_state,
    .round = plain_round,
    .commit = plain_commit,
    .verify = plain_verify,
    .wire_bytes = plain_wire_bytes,
    .close = plain_close,
};

int out_plain_open(int fd, const struct cancel *cancel, struct out **out, struct err *e)
{
    struct out_plain *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &plain_ops;
    s->cancel = cancel;
    snprintf(s->name, sizeof(s->name), "the stream on descriptor %d", fd);
    v3_stream_init(&s->stream, fd, cancel, PLAIN_STALL_NS, s->name);
    *out = &s->base;
    return 0;
}
