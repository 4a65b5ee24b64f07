/* SPDX-License-Identifier: MIT */
#include "engine/out/lane.h"

#include "base/deadline.h"
#include "base/io.h"
#include "dirtylog/extents.h"
#include "engine/allocations.h"
#include "engine/out/lane_trial.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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

/* A difference has to be smaller than what the page would take, by this share: only then is it
 * worth the receiver's work. */
#define DELTA_MOST_SHARE 0.75

/* In a small round every lane should get a share, so that they end together; but each batch has a
 * fixed cost. */
enum { BATCHES_EACH = 4, LEAST_BATCH_PAGES = 64 };

enum { PRIMED_TO_KNOW = 512 };

static unsigned most_coded_pages(unsigned lane_count)
{
    if (lane_count <= LANES_WITH_FULL_RECORDS)
        return CODED_RECORD_PAGES;
    return CODED_RECORD_PAGES * LANES_WITH_FULL_RECORDS / lane_count;
}

uint64_t lanes_sent_bytes(const struct lane *lanes, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += atomic_load_explicit(&lanes[i].ch->sent_bytes, memory_order_relaxed);
    return bytes;
}

void lanes_fill_profile(const struct lane *lanes, unsigned count, struct total_report *total)
{
    total->lane_count = count;
    if (count) /* none, if it was refused before they were begun */
        snprintf(total->encryption, sizeof(total->encryption), "%s", lanes[0].ch->encryption);
    for (unsigned i = 0; i < count; i++)
        total->lanes[i] = lanes[i].profile;
}

/* Note what the record cost, to choose the next one's codec. */
static void learn(struct lane *l, unsigned codec, const struct page_body *body, uint64_t bytes,
    const struct channel_costs *before, int64_t begun_ns, int64_t cpu_ns)
{
    const struct channel_costs *after = &l->ch->costs;
    const int64_t end_ns = now_ns();
    struct codec_sample sample = {
        .codec = codec,
        .pages = body->data_pages - body->delta_pages,
        .bytes = bytes,
        .cpu_ns = cpu_ns - body->delta_cpu_ns,
        .delta_pages = body->delta_pages,
        .delta_bytes = body->delta_bytes,
        .delta_cpu_ns = body->delta_cpu_ns,
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
static unsigned most_record_pages(const struct lane *l, unsigned codec, unsigned round)
{
    const bool raw = codec == CODEC_NONE && !(l->team->sent && round > 1);
    const unsigned most = raw ? PAGES_MAX_ENTRIES : l->coded_pages;

    return codec != l->choice.current && TRIED_RECORD_PAGES < most ? TRIED_RECORD_PAGES : most;
}

/* The first round keeps what the guest was seen to write to, and something of what it was not. */
static void plan_deltas(struct lane *l, unsigned codec, const struct round_job *job, int64_t now)
{
    const double bytes = codec_page_bytes(&l->choice, codec) * DELTA_MOST_SHARE;
    const struct page_deltas deltas = {
        .sample = !codec_differences_pay(&l->choice, codec, now),
        .keep = !job->last && (job->round > 1 || job->skip),
        .hot = job->round > 1 ? NULL : job->skip,
        .most_bytes = bytes < PAGE_BYTES / 2 ? (unsigned)bytes : PAGE_BYTES / 2,
    };

    page_encoder_set_deltas(l->encoder, &deltas);
}

/* Send a record of the batch's entries from first on. Returns how many it took, or -errno. */
static int encode_and_send(
    struct lane *l, unsigned first, const struct round_job *job, struct err *e)
{
    const struct batch *b = l->batch;
    const struct channel_costs before = l->ch->costs;
    const int64_t begun_ns = now_ns();
    int64_t mark_cpu_ns = thread_cpu_ns();
    const unsigned codec = codec_choose(&l->choice, begun_ns);
    const unsigned most = most_record_pages(l, codec, job->round), left = b->count - first;
    const unsigned count = left < most ? left : most;
    struct page_body body;

    plan_deltas(l, codec, job, begun_ns);

    int rc = page_encode(l->encoder, codec, b->entries + first, b->pages + first, count, &body, e);

    if (rc)
        return rc;

    const uint64_t bytes = io_sum_bytes(body.iov, body.iov_count);

    limit_socket(l, bytes < (uint64_t)body.data_pages * PAGE_BYTES);
    /* Straight from the guest's pages: they stay mapped for as long as the network takes. */
    rc = record_send(l->ch, RECORD_PAGES, body.iov, body.iov_count, e);
    if (rc)
        return rc;
    learn(l, codec, &body, bytes, &before, begun_ns, lap_cpu_ns(&mark_cpu_ns));
    l->profile.zero_scan_cpu_ns += body.zero_scan_cpu_ns;
    l->profile.encode_cpu_ns += body.delta_cpu_ns + body.encode_cpu_ns;
    l->totals.records++;
    l->totals.entries += count;
    l->totals.data_pages += body.data_pages;
    l->totals.zero_pages += body.zero_pages;
    lane_counts_sent(&l->counts, body.data_pages, body.zero_pages);
    lane_counts_deltas(&l->counts, body.delta_pages, body.delta_bytes);
    return (int)count;
}

static int send_batch(
    struct lane *l, const uint64_t *pfns, unsigned n, const struct round_job *job, struct err *e)
{
    struct batch *b = l->batch;
    const int64_t begun_ns = now_ns();
    int rc = batch_load(b, pfns, n, job->suspended, e);

    for (unsigned at = 0; at < b->count && !rc;) {
        const int sent = encode_and_send(l, at, job, e);

        if (sent > 0)
            at += (unsigned)sent;
        else
            rc = sent;
    }
    if (job->suspended)
        batch_leave(b);
    else
        batch_unload(b);
    l->page_ns = (now_ns() - begun_ns) / n;
    lane_counts_done(&l->counts, b, n);
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

static int send_aux(struct lane *l, const struct round_job *job, struct err *e)
{
    int n = 0, rc = 0;

    while (!rc && (n = aux_out_next(job->aux, l->aux, e)) > 0) {
        rc = lane_team_check(l->team, e);
        if (!rc)
            rc = aux_send_batch(l->ch, &l->aux->batch, e);
        if (!rc)
            lane_counts_aux(&l->counts, &l->aux->batch);
    }
    return rc ? rc : n;
}

/* How many pages are to be sent only because they can be kept: a few to find out. */
static unsigned most_primed(const struct lane *l, const struct round_job *job)
{
    const struct sent_pages *sent = l->team->sent;

    if (!sent || job->last || !sent_pages_have_room(sent))
        return 0;
    switch (page_encoder_deltas(l->encoder)) {
    case DELTAS_UNKNOWN:
        return l->primed < PRIMED_TO_KNOW ? PRIMED_TO_KNOW - l->primed : 0;
    case DELTAS_WORK:
        return UINT_MAX;
    default:
        return 0;
    }
}

/* The frames of the lane's next batch: 0 when there are none left. */
static int next_frames(struct lane *l, struct frame_walk *walk, const struct round_job *job,
    uint64_t *pfns, struct err *e)
{
    const unsigned most = most_primed(l, job);
    struct round_prime prime = {l->team->sent, most};
    const int n = lane_team_next(
        l->team, walk, job, &l->counts, &prime, pfns, batch_pages(l, job), e);

    if (most <= PRIMED_TO_KNOW)
        l->primed += most - prime.left;
    return n;
}

static int send_round(struct lane *l, const struct round_job *job, struct err *e)
{
    struct frame_walk walk = frame_walk_begin(&l->team->left);
    struct lane_trial trial = lane_trial_begin();
    uint64_t pfns[BATCH_PAGES];
    int n, rc = 0;

    if (job->aux)
        rc = send_aux(l, job, e);
    codec_begin(&l->choice, now_ns());
    while (!rc && (n = next_frames(l, &walk, job, pfns, e)) != 0) {
        rc = n < 0 ? n : send_batch(l, pfns, (unsigned)n, job, e);
        if (!rc && job->round == 1 && l->team->sent)
            rc = lane_trial_look(&trial, l->encoder, l->batch, e);
    }
    if (rc)
        return rc;
    l->ch->held = job->last; /* finish_lane() follows */
    return lane_send_border(l->ch, ++l->barriers, e);
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
        const enum lane_order order = lane_team_await(l->team, &generation, &job);
        const uint64_t allocations = allocations_count();

        if (order == LANE_ROUND && !send_round(l, &job, &e) && job.last)
            finish_lane(l, &e);
        complete_profile(l, allocations);
        lane_team_report(l->team, &e);
        if (order == LANE_QUIT)
            return NULL;
    }
}

static void free_lane(struct lane *l)
{
    page_encoder_destroy(l->encoder);
    batch_destroy(l->batch);
    free(l->aux);
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
        rc = page_encoder_create(l->team->codecs, l->team->sent, &l->encoder, e);
    if (!rc)
        rc = lane_team_start(l->team, &l->thread, run_lane, l, &l->counts, e);
    if (rc)
        free_lane(l);
    return rc;
}

void lane_join(struct lane *l)
{
    pthread_join(l->thread, NULL);
    free_lane(l);
}
