/* SPDX-License-Identifier: MIT */
#include "engine/out/plain_file.h"

#include "base/io.h"
#include "engine/batch.h"
#include "engine/out/team.h"
#include "engine/v3_headers.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STALL_NS (60 * NS_PER_S)

struct file_lane {
    struct out_plain_file *file;
    pthread_t thread;
    /* The lane's thread's own. */
    struct xen xen;
    struct batch *batch;
    struct lane_counts counts; /* this round */
    struct v3_page_parts parts;
};

struct out_plain_file {
    struct out base;
    int fd;
    struct v3_stream stream; /* for all but pages */
    struct lane_team team;
    /* While a round runs: where the next record goes; before and after, where the stream goes on.
     */
    atomic_uint_fast64_t end;
    atomic_uint_fast64_t page_bytes; /* in records of pages, so far */
    struct file_lane lanes[];
};

static struct out_plain_file *file_of(struct out *out)
{
    return (struct out_plain_file *)out;
}

/* ---- a lane's thread ---- */

/* The batch's entries as one record, where no other lane writes. */
static int write_batch(struct file_lane *l, struct err *e)
{
    struct out_plain_file *s = l->file;
    struct v3_page_parts *p = &l->parts;
    int rc = v3_gather_pages(l->batch->entries, l->batch->pages, l->batch->count, p, e);

    if (rc)
        return rc;
    atomic_fetch_add_explicit(&s->page_bytes, p->len_bytes, memory_order_relaxed);
    rc = io_pwritev_full(s->fd, p->parts, p->count, atomic_fetch_add(&s->end, p->len_bytes));
    return rc ? err_sys(e, ERR_LOCAL, -rc, "writing the file") : 0;
}

static int put_batch(
    struct file_lane *l, const uint64_t *pfns, unsigned n, bool suspended, struct err *e)
{
    struct batch *b = l->batch;
    int rc = batch_load(b, pfns, n, suspended, e);

    if (!rc && b->count)
        rc = write_batch(l, e);
    batch_unload(b);
    lane_counts_sent(&l->counts, b->data_pages, 0);
    lane_counts_done(&l->counts, b, n);
    return rc;
}

static void put_round(void *lane, const struct round_job *job, struct err *e)
{
    struct file_lane *l = lane;
    struct lane_team *t = &l->file->team;
    struct frame_walk walk = frame_walk_begin(&t->left);
    uint64_t pfns[BATCH_PAGES];
    int n, rc = 0;

    while (!rc && (n = lane_team_next(
                       t, &walk, job, &l->counts, NULL, pfns, l->batch->most_pages, e)) != 0)
        rc = n < 0 ? n : put_batch(l, pfns, (unsigned)n, job->suspended, e);
}

static void *run_lane(void *arg)
{
    struct file_lane *l = arg;

    lane_team_serve(&l->file->team, put_round, l);
    return NULL;
}

static void free_lane(struct file_lane *l)
{
    batch_destroy(l->batch);
    xen_close(&l->xen);
}

static int start_lane(
    struct out_plain_file *s, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct file_lane *l = &s->lanes[s->team.started_lanes];
    int rc;

    l->file = s;
    rc = xen_open(&l->xen, s->team.log, e);
    if (!rc)
        rc = batch_create(&l->xen, g, notes, &l->batch, e);
    if (!rc)
        rc = lane_team_start(&s->team, &l->thread, run_lane, l, &l->counts, e);
    if (rc)
        free_lane(l);
    return rc;
}

/* ---- the story's thread ---- */

static int file_begin(
    struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct out_plain_file *s = file_of(out);
    struct v3_headers h;
    int rc = v3_headers_of(g, &h, e);

    if (!rc)
        rc = v3_write_headers(&s->stream, &h, e);
    for (unsigned i = 0; i < s->team.lane_count && !rc; i++)
        rc = start_lane(s, g, notes, e);
    return rc;
}

static int file_state(
    struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    return v3_write_record(&file_of(out)->stream, v3_type, parts, count, e);
}

static int file_round(
    struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct out_plain_file *s = file_of(out);
    const off_t at = lseek(s->fd, 0, SEEK_CUR);

    if (at < 0)
        return err_sys(e, ERR_LOCAL, errno, "writing the file");
    atomic_store(&s->end, (uint64_t)at);
    lane_team_run_round(&s->team, job, NULL, NULL, counts);
    if (err_is_set(&s->team.failure))
        return err_take(e, &s->team.failure);
    return lseek(s->fd, (off_t)atomic_load(&s->end), SEEK_SET) < 0
               ? err_sys(e, ERR_LOCAL, errno, "writing the file")
               : 0;
}

static int file_commit(struct out *out, enum out_commit commit, int64_t limit_ns,
    struct arrival *arrival, struct err *e)
{
    (void)limit_ns;
    *arrival = (struct arrival){0};
    if (commit != COMMIT_HANDOVER)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "a file is one image");
    return file_state(out, V3_END, NULL, 0, e);
}

static uint64_t file_wire_bytes(const struct out *out)
{
    const struct out_plain_file *s = (const struct out_plain_file *)out;

    return s->stream.moved_bytes + atomic_load_explicit(&s->page_bytes, memory_order_relaxed);
}

static void file_close(struct out *out)
{
    struct out_plain_file *s = file_of(out);

    lane_team_quit(&s->team);
    for (unsigned i = 0; i < s->team.started_lanes; i++) {
        pthread_join(s->lanes[i].thread, NULL);
        free_lane(&s->lanes[i]);
    }
    lane_team_destroy(&s->team);
    v3_stream_destroy(&s->stream);
    free(s);
}

static const struct out_ops file_ops = {
    .begin = file_begin,
    .state = file_state,
    .round = file_round,
    .commit = file_commit,
    .wire_bytes = file_wire_bytes,
    .close = file_close,
};

int out_plain_file_open(const struct out_plain_file_params *p, struct out **out, struct err *e)
{
    struct out_plain_file *s = calloc(1, sizeof(*s) + p->lane_count * sizeof(s->lanes[0]));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->base.ops = &file_ops;
    s->fd = p->fd;
    s->team.lane_count = p->lane_count;
    s->team.cancel = p->cancel;
    s->team.log = p->log;
    v3_stream_init(&s->stream, p->fd, p->cancel, STALL_NS, "the file");

    const int rc = lane_team_init(&s->team, e);

    if (rc) {
        free(s);
        return rc;
    }
    *out = &s->base;
    return 0;
}
