/* SPDX-License-Identifier: MIT */
#include "engine/out/compact.h"

#include "base/deadline.h"
#include "engine/aux/out.h"
#include "engine/batch.h"
#include "engine/out/compact_aux.h"
#include "engine/out/team.h"
#include "engine/v3_headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* To write to memory. */
#define STALL_NS (60 * NS_PER_S)

struct file_lane {
    struct lane_team *team;
    struct file_aux *aux;
    pthread_t thread;
    /* The lane's thread's own. */
    struct xen xen;
    struct batch *batch;
    struct compact_lane *writer;
    struct lane_counts counts; /* this round */
};

/* Auxiliary data: one lane at a time, because entries of several keys share an extent. */
struct file_aux {
    pthread_mutex_t lock;
    unsigned count;
    struct aux_frames *frames[AUX_MAX_SOURCES]; /* lock */
    struct aux_buffer *buffer;                  /* lock */
};

/* Records on their way to a section. */
struct kept {
    int fd; /* of memory; -1: not open */
    struct v3_stream stream;
};

struct out_compact {
    struct out base;
    struct compact_writer *writer;
    const struct guest *guest; /* from begin on */
    struct lane_team team;
    struct file_aux aux;
    bool pages_begun;
    struct kept head, tail;
    struct file_lane lanes[];
};

static struct out_compact *compact_of(struct out *out)
{
    return (struct out_compact *)out;
}

/* ---- a lane's thread ---- */

static int put_batch(
    struct file_lane *l, const uint64_t *pfns, unsigned n, bool suspended, struct err *e)
{
    struct compact_counts counts = {0};
    struct batch *b = l->batch;
    int rc = batch_load(b, pfns, n, suspended, e);

    if (!rc)
        rc = compact_lane_put(l->writer, b->entries, b->pages, b->count, &counts, e);
    batch_unload(b);
    lane_counts_sent(&l->counts, counts.data_pages, counts.zero_pages);
    lane_counts_done(&l->counts, b, n);
    return rc;
}

/* The batch's entries as pages. Lock held. */
static int put_aux(struct file_lane *l, struct aux_batch *b, struct err *e)
{
    struct compact_counts counts = {0};
    uint64_t entries[AUX_MAX_ENTRIES], frame;
    const void *pages[AUX_MAX_ENTRIES];
    int rc = 0;

    for (unsigned i = 0; i < b->count && !rc; i++) {
        uint8_t *page = l->aux->buffer->contents[i];
        const uint32_t type = b->entries[i].withdrawn ? V3_PAGE_XTAB : V3_PAGE_NOTAB;

        memset(page + b->entries[i].bytes, 0, PAGE_BYTES - b->entries[i].bytes);
        rc = aux_frames_find(l->aux->frames[b->source], &b->entries[i], &frame, e);
        entries[i] = v3_entry(frame, type << 28);
        pages[i] = page;
    }
    return rc ? rc : compact_lane_put(l->writer, entries, pages, b->count, &counts, e);
}

static int put_some_aux(struct file_lane *l, const struct round_job *job, struct err *e)
{
    int rc;

    pthread_mutex_lock(&l->aux->lock);

    const int n = aux_out_next(job->aux, l->aux->buffer, e);

    rc = n > 0 ? put_aux(l, &l->aux->buffer->batch, e) : 0;
    if (n > 0)
        lane_counts_aux(&l->counts, &l->aux->buffer->batch);
    pthread_mutex_unlock(&l->aux->lock);
    return rc ? rc : n;
}

static void put_round(void *lane, const struct round_job *job, struct err *e)
{
    struct file_lane *l = lane;
    struct frame_walk walk = frame_walk_begin(&l->team->left);
    uint64_t pfns[BATCH_PAGES];
    int n = 0, rc = 0;

    while (job->aux && !rc && (n = put_some_aux(l, job, e)) > 0)
        rc = lane_team_check(l->team, e);
    if (n < 0)
        rc = n;
    while (!rc && (n = lane_team_next(
                       l->team, &walk, job, &l->counts, NULL, pfns, l->batch->most_pages, e)) != 0)
        rc = n < 0 ? n : put_batch(l, pfns, (unsigned)n, job->suspended, e);
}

static void *run_lane(void *arg)
{
    struct file_lane *l = arg;

    lane_team_serve(l->team, put_round, l);
    return NULL;
}

static void free_lane(struct file_lane *l)
{
    compact_lane_destroy(l->writer);
    batch_destroy(l->batch);
    xen_close(&l->xen);
}

static int start_lane(struct out_compact *s, struct frame_notes *notes, struct err *e)
{
    struct file_lane *l = &s->lanes[s->team.started_lanes];
    int rc;

    l->team = &s->team;
    l->aux = &s->aux;
    rc = xen_open(&l->xen, s->team.log, e);
    if (!rc)
        rc = batch_create(&l->xen, s->guest, notes, &l->batch, e);
    if (!rc)
        rc = compact_lane_create(s->writer, &l->writer, e);
    if (!rc)
        rc = lane_team_start(&s->team, &l->thread, run_lane, l, &l->counts, e);
    if (rc)
        free_lane(l);
    return rc;
}

/* ---- states ---- */

static int keep_open(struct kept *k, const char *name, const struct cancel *cancel, struct err *e)
{
    k->fd = memfd_create(name, MFD_CLOEXEC);
    if (k->fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "no memory for the guest's state");
    v3_stream_init(&k->stream, k->fd, cancel, STALL_NS, name);
    return 0;
}

/* All of it; munmap() if it has a length. */
static int keep_map(const struct kept *k, struct iovec *all, struct err *e)
{
    *all = (struct iovec){NULL, k->stream.moved_bytes};
    if (!all->iov_len)
        return 0;
    all->iov_base = mmap(NULL, all->iov_len, PROT_READ, MAP_PRIVATE, k->fd, 0);
    return all->iov_base != MAP_FAILED
               ? 0
               : err_sys(e, ERR_LOCAL, errno, "cannot map the guest's state");
}

static void keep_unmap(struct iovec *all)
{
    if (all->iov_len && all->iov_base != MAP_FAILED)
        munmap(all->iov_base, all->iov_len);
}

static void keep_close(struct kept *k)
{
    v3_stream_destroy(&k->stream);
    if (k->fd >= 0)
        close(k->fd);
}

/* ---- the story's thread ---- */

static int compact_begin(
    struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e)
{
    struct out_compact *s = compact_of(out);
    struct v3_headers h;
    int rc = compact_writer_begin(s->writer, g->frames, e);

    s->guest = g;
    if (!rc)
        rc = v3_headers_of(g, &h, e);
    if (!rc)
        rc = v3_write_headers(&s->head.stream, &h, e);
    for (unsigned i = 0; i < s->team.lane_count && !rc; i++)
        rc = start_lane(s, notes, e);
    return rc;
}

/* No lane is busy. */
static int compact_announce(struct out *out, const struct aux_out *aux, struct err *e)
{
    struct out_compact *s = compact_of(out);
    uint64_t frames = s->guest->frames;
    int rc = 0;

    s->aux.buffer = malloc(sizeof(*s->aux.buffer));
    if (!s->aux.buffer)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (unsigned i = 0; i < aux_out_count(aux) && !rc; i++, s->aux.count++) {
        const struct aux_source *source = aux_out_source(aux, i);

        rc = aux_frames_create(source, compact_aux_first(frames), &s->aux.frames[i], e);
        frames = compact_aux_first(frames) + source->most_entries;
    }
    return rc ? rc : compact_writer_begin(s->writer, frames, e);
}

static int compact_state(
    struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct out_compact *s = compact_of(out);
    struct kept *k = s->pages_begun ? &s->tail : &s->head;

    return v3_write_record(&k->stream, v3_type, parts, count, e);
}

static int compact_round(
    struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e)
{
    struct out_compact *s = compact_of(out);

    s->pages_begun = true;
    lane_team_run_round(&s->team, job, NULL, NULL, counts);
    return err_is_set(&s->team.failure) ? err_take(e, &s->team.failure) : 0;
}

static int compact_commit(struct out *out, enum out_commit commit, int64_t limit_ns,
    struct arrival *arrival, struct err *e)
{
    struct out_compact *s = compact_of(out);
    int rc = 0;

    (void)limit_ns;
    *arrival = (struct arrival){0};
    if (commit != COMMIT_HANDOVER)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "a compact file is one image");
    for (unsigned i = 0; i < s->aux.count && !rc; i++)
        rc = aux_frames_write(s->aux.frames[i], &s->head.stream, e);
    return rc;
}

/* The index of a large guest takes its time, and nothing more is needed of the guest. */
static int compact_finish(struct out *out, struct err *e)
{
    struct out_compact *s = compact_of(out);
    struct iovec head = {0}, tail = {0};
    int rc = keep_map(&s->head, &head, e);

    if (!rc)
        rc = keep_map(&s->tail, &tail, e);
    if (!rc)
        rc = compact_writer_finish(s->writer, &head, &tail, e);
    keep_unmap(&head);
    keep_unmap(&tail);
    return rc;
}

static uint64_t compact_wire_bytes(const struct out *out)
{
    return compact_writer_bytes(((const struct out_compact *)out)->writer);
}

static void compact_close(struct out *out)
{
    struct out_compact *s = compact_of(out);

    lane_team_quit(&s->team);
    for (unsigned i = 0; i < s->team.started_lanes; i++) {
        pthread_join(s->lanes[i].thread, NULL);
        free_lane(&s->lanes[i]);
    }
    lane_team_destroy(&s->team);
    for (unsigned i = 0; i < AUX_MAX_SOURCES; i++)
        aux_frames_destroy(s->aux.frames[i]);
    free(s->aux.buffer);
    pthread_mutex_destroy(&s->aux.lock);
    keep_close(&s->head);
    keep_close(&s->tail);
    compact_writer_close(s->writer);
    free(s);
}

static const struct out_ops compact_ops = {
    .begin = compact_begin,
    .aux = compact_announce,
    .state = compact_state,
    .round = compact_round,
    .commit = compact_commit,
    .finish = compact_finish,
    .wire_bytes = compact_wire_bytes,
    .close = compact_close,
};

int out_compact_open(const struct out_compact_params *p, struct out **out, struct err *e)
{
    struct out_compact *s = calloc(1, sizeof(*s) + p->lane_count * sizeof(s->lanes[0]));
    int rc;

    if (!s) {
        compact_chain_close(p->chain);
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    }
    s->base.ops = &compact_ops;
    s->head.fd = s->tail.fd = -1;
    pthread_mutex_init(&s->aux.lock, NULL);
    s->team.lane_count = p->lane_count;
    s->team.cancel = p->cancel;
    s->team.log = p->log;
    rc = compact_writer_open(p->fd, p->keys, p->codec, p->chain, &s->writer, e);
    if (rc) {
        free(s);
        return rc;
    }
    rc = lane_team_init(&s->team, e);
    if (rc) {
        compact_writer_close(s->writer);
        free(s);
        return rc;
    }
    *out = &s->base;
    rc = keep_open(&s->head, "the guest's first state", p->cancel, e);
    if (!rc)
        rc = keep_open(&s->tail, "the guest's last state", p->cancel, e);
    if (rc)
        compact_close(*out);
    return rc;
}
