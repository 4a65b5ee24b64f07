/* SPDX-License-Identifier: MIT */
#include "engine/out/lane.h"

#include "base/deadline.h"
#include "base/io.h"
#include "dirtylog/extents.h"
#include "engine/allocations.h"

#include <errno.h>

_Static_assert((int)BATCH_PAGES <= (int)PAGES_MAX_ENTRIES, "a batch fits into one PAGES record");

/* Compressed pages need a buffer: such a record has half the pages, and fewer where many lanes
 * share what a migration may take. A codec that is only tried gets few, because it mostly loses. */
enum {
    CODED_RECORD_PAGES = PAGES_MAX_ENTRIES / 2,
    TRIED_RECORD_PAGES = PAGES_MAX_ENTRIES / 8,
    LANES_WITH_FULL_RECORDS = 8,
};

/* A page may be dirtied again after PEEK and before it is sent. If a batch would take longer than
 * this to send, it is a single extent. */
#define BATCH_NS (50 * NS_PER_MS)

/* In a small round every lane should get a share, so that they end together; but each batch has a
 * fixed cost. */
enum { BATCHES_EACH = 4, LEAST_BATCH_PAGES = 64 };

static unsigned most_coded_pages(unsigned lane_count)
{
    if (lane_count <= LANES_WITH_FULL_RECORDS)
        return CODED_RECORD_PAGES;
    return CODED_RECORD_PAGES * LANES_WITH_FULL_RECORDS / lane_count;
}

int lane_team_init(struct lane_team *t, struct err *e)
{
    int rc = pthread_mutex_init(&t->lock, NULL);

    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot make a lock");
    rc = deadline_cond_init(&t->ordered);
    if (!rc) {
        rc = deadline_cond_init(&t->changed);
        if (!rc)
            return 0;
        pthread_cond_destroy(&t->ordered);
    }
    pthread_mutex_destroy(&t->lock);
    return err_sys(e, ERR_LOCAL, rc, "cannot make a condition");
}

void lane_team_destroy(struct lane_team *t)
{
    pthread_cond_destroy(&t->changed);
    pthread_cond_destroy(&t->ordered);
    pthread_mutex_destroy(&t->lock);
}

void lane_team_order(
    struct lane_team *t, enum lane_order order, const struct round_job *job, unsigned started_lanes)
{
    pthread_mutex_lock(&t->lock);
    t->order = order;
    if (job)
        t->job = *job;
    t->busy_lanes = started_lanes;
    t->generation++;
    pthread_cond_broadcast(&t->ordered);
    pthread_mutex_unlock(&t->lock);
}

static enum lane_order await_order(struct lane_team *t, unsigned *generation, struct round_job *job)
{
    pthread_mutex_lock(&t->lock);
    while (t->generation == *generation)
        pthread_cond_wait(&t->ordered, &t->lock);
    *generation = t->generation;
    *job = t->job;

    const enum lane_order order = t->order;

    pthread_mutex_unlock(&t->lock);
    return order;
}

static void report_done(struct lane *l, const struct err *outcome)
{
    struct lane_team *t = l->team;

    pthread_mutex_lock(&t->lock);
    if (err_is_set(outcome)) {
        err_take(&t->failure, outcome);
        atomic_store(&t->stop, true);
    }
    t->busy_lanes--;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static void count_up(atomic_uint_fast64_t *counter, uint64_t pages)
{
    atomic_fetch_add_explicit(counter, pages, memory_order_relaxed);
}

/* Note what the record cost, to choose the next one's codec. */
static void learn(struct lane *l, unsigned codec, uint64_t pages, uint64_t bytes,
    const struct channel_costs *before, int64_t begun_ns, int64_t cpu_ns)
{
    const struct channel_costs *after = &l->ch->costs;
    const int64_t end_ns = now_ns();
    struct codec_sample sample = {
        .codec = codec,
        .pages = pages,
        .bytes = bytes,
        .cpu_ns = cpu_ns,
        .wait_ns = after->wait_ns - before->wait_ns + after->paced_ns - before->paced_ns,
    };

    sample.busy_ns = end_ns - begun_ns - sample.wait_ns;
    codec_learn(&l->choice, &sample, end_ns);
}

/* While the lane compresses the next record, what is queued in the socket keeps the link busy. */
static void limit_socket(struct lane *l, bool shrank)
{
    if (shrank != l->shrank)
        channel_limit_unsent(l->ch, !shrank);
    l->shrank = shrank;
}

/* The most entries that a record may have. */
static unsigned most_record_pages(const struct lane *l, unsigned codec)
{
    const unsigned most = codec == CODEC_NONE ? PAGES_MAX_ENTRIES : l->coded_pages;

    return codec != l->choice.current && TRIED_RECORD_PAGES < most ? TRIED_RECORD_PAGES : most;
}

/* Send a record of the batch's entries from first on. Returns how many it took, or -errno. */
static int encode_and_send(struct lane *l, unsigned first, struct err *e)
{
    const struct batch *b = l->batch;
    const struct channel_costs before = l->ch->costs;
    const int64_t begun_ns = now_ns();
    int64_t mark_cpu_ns = thread_cpu_ns();
    const unsigned codec = codec_choose(&l->choice, begun_ns);
    const unsigned most = most_record_pages(l, codec), left = b->count - first;
    const unsigned count = left < most ? left : most;
    struct page_body body;
    int rc = page_encode(l->encoder, codec, b->entries + first, b->pages + first, count, &body, e);

    if (rc)
        return rc;

    const uint64_t bytes = io_sum_bytes(body.iov, body.iov_count);

    limit_socket(l, bytes < (uint64_t)body.data_pages * PAGE_BYTES);
    /* Straight from the guest's pages: they stay mapped for as long as the network takes. */
    rc = record_send(l->ch, RECORD_PAGES, body.iov, body.iov_count, e);
    if (rc)
        return rc;
    learn(l, codec, body.data_pages, bytes, &before, begun_ns, lap_cpu_ns(&mark_cpu_ns));
    l->profile.zero_scan_cpu_ns += body.zero_scan_cpu_ns;
    l->profile.encode_cpu_ns += body.encode_cpu_ns;
    l->totals.records++;
    l->totals.entries += count;
    l->totals.data_pages += body.data_pages;
    l->totals.zero_pages += body.zero_pages;
    count_up(&l->data_pages, body.data_pages);
    count_up(&l->zero_pages, body.zero_pages);
    return (int)count;
}

static int send_batch(
    struct lane *l, const uint64_t *pfns, unsigned n, bool suspended, struct err *e)
{
    struct batch *b = l->batch;
    const int64_t begun_ns = now_ns();
    int rc = batch_load(b, pfns, n, suspended, e);

    for (unsigned at = 0; at < b->count && !rc;) {
        const int sent = encode_and_send(l, at, e);

        if (sent > 0)
            at += (unsigned)sent;
        else
            rc = sent;
    }
    batch_unload(b);
    l->page_ns = (now_ns() - begun_ns) / n;
    if (b->stuck_pages && !l->stuck_pages)
        l->fault = b->fault;
    l->stuck_pages += b->stuck_pages;
    l->deferred_pages += b->deferred_pages;
    count_up(&l->absent_pages, n - b->count - b->unchanged_pages - b->deferred_pages);
    count_up(&l->done_pages, n);
    return rc;
}

static unsigned batch_pages(const struct lane *l, const struct round_job *job)
{
    const uint64_t share = job->pages / l->team->lane_count / BATCHES_EACH;
    unsigned most = l->batch->most_pages;

    if (l->page_ns * most > BATCH_NS && most > EXTENT_FRAMES)
        most = EXTENT_FRAMES;
    if (share >= most)
        return most;
    return share > LEAST_BATCH_PAGES ? (unsigned)share : LEAST_BATCH_PAGES;
}

static int send_round(struct lane *l, const struct round_job *job, struct err *e)
{
    struct frame_walk walk = frame_walk_begin(&l->team->left);
    uint64_t pfns[BATCH_PAGES];
    unsigned n;
    int rc = 0;

    l->deferred_pages = l->stuck_pages = 0;
    codec_begin(&l->choice, now_ns());
    while (!rc && (n = frame_walk_next(&walk, pfns, batch_pages(l, job))) > 0) {
        if (atomic_load_explicit(&l->team->stop, memory_order_relaxed))
            return -ECANCELED; /* somebody else has the cause */
        if (cancel_is_fired(l->team->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");

        const unsigned due = round_job_filter(job, pfns, n);

        count_up(&l->skipped_pages, n - due);
        count_up(&l->done_pages, n - due);
        if (due)
            rc = send_batch(l, pfns, due, job->suspended, e);
    }
    return rc ? rc : lane_send_border(l->ch, ++l->barriers, e);
}

static int finish_lane(struct lane *l, struct err *e)
{
    const int rc = lane_send_end(l->ch, &l->totals, e);

    return rc ? rc : channel_finish(l->ch, e);
}

/* Collect what others have counted. allocations: as of before this round. */
static void complete_profile(struct lane *l, uint64_t allocations)
{
    const struct batch_costs *b = &l->batch->costs;
    const struct channel_costs *ch = &l->ch->costs;
    struct lane_profile *p = &l->profile;

    p->batches = l->totals.records;
    p->wire_bytes = atomic_load_explicit(&l->ch->sent_bytes, memory_order_relaxed);
    p->allocations += allocations_count() - allocations;
    p->types_cpu_ns = b->types_cpu_ns;
    p->map_cpu_ns = b->map_cpu_ns;
    p->canonicalise_cpu_ns = b->canonicalise_cpu_ns;
    p->encrypt_cpu_ns = ch->seal_cpu_ns;
    p->send_cpu_ns = ch->write_cpu_ns;
    p->cpu_ns = thread_cpu_ns();
    p->wait_ns = ch->wait_ns;
    p->paced_ns = ch->paced_ns;
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    unsigned generation = 0;

    for (;;) {
        struct err e = ERR_INIT;
        struct round_job job;
        const enum lane_order order = await_order(l->team, &generation, &job);
        const uint64_t allocations = allocations_count();

        if (order == LANE_ROUND && !send_round(l, &job, &e) && job.last)
            finish_lane(l, &e);
        complete_profile(l, allocations);
        report_done(l, &e);
        if (order == LANE_QUIT)
            return NULL;
    }
}

static void free_lane(struct lane *l)
{
    page_encoder_destroy(l->encoder);
    batch_destroy(l->batch);
    xen_close(&l->xen);
}

int lane_start(struct lane *l, struct frame_notes *notes, struct err *e)
{
    int rc = xen_open(&l->xen, l->team->log, e);

    codec_choice_init(&l->choice, l->team->codecs);
    l->coded_pages = most_coded_pages(l->team->lane_count);
    l->page_ns = BATCH_NS; /* until it is known */
    channel_limit_unsent(l->ch, true);

    if (!rc)
        rc = batch_create(&l->xen, l->guest, notes, &l->batch, e);
    if (!rc)
        rc = page_encoder_create(l->team->codecs, &l->encoder, e);
    if (!rc) {
        const int code = pthread_create(&l->thread, NULL, run_lane, l);

        if (code)
            rc = err_sys(e, ERR_LOCAL, code, "cannot start the thread of lane %u", l->index);
    }
    if (rc)
        free_lane(l);
    return rc;
}

void lane_join(struct lane *l)
{
    pthread_join(l->thread, NULL);
    free_lane(l);
}
