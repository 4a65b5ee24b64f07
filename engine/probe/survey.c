/* SPDX-License-Identifier: MIT */
#include "engine/probe/survey.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "base/io.h"
#include "engine/aux/out.h"
#include "engine/probe/reader.h"
#include "engine/xen/logdirty.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* Samples are spread over the guest's address space, which may have holes: how many extents are
 * tried, and how many of those with pages are read. */
enum { MOST_ASKED = 256, MOST_SAMPLES = 24 };

/* The first PEEK, and how much later each of the others. The guest is paused while a bitmap is
 * copied: for 2 % of its time at most. */
#define FIRST_PEEK_NS    (5 * NS_PER_MS)
#define PEEK_STEP        1.45
#define PEEK_COST_FACTOR 50

struct surveyor {
    const struct survey_params *p;
    struct survey *s;
    struct reader reader;
    struct page_encoder *encoder;
    struct dirty_source *log;
    struct aux_out *aux; /* NULL: the guest has no such data */
    uint64_t *found;
    uint64_t data_pages, zero_pages; /* of the sample */
    int64_t load_ns;                 /* what reading it took */
};

static int set_up(struct surveyor *v, struct err *e)
{
    static const struct pte_marks none;
    int rc = reader_open(&v->reader, v->p->domid, &none, v->p->log, e);

    if (!rc)
        rc = page_encoder_create(CODEC_BIT(CODECS) - 1, NULL, &v->encoder, e);
    if (rc)
        return rc;
    v->found = bitmap_alloc(v->reader.guest->frames);
    return v->found ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "no memory for a bitmap of the guest");
}

/* ---- what its pages are like ---- */

static int encode_sample(struct surveyor *v, struct err *e)
{
    const struct batch *b = v->reader.batch;

    for (enum codec codec = 0; codec < CODECS; codec++) {
        struct page_body body;
        const int rc = page_encode(v->encoder, codec, b->entries, b->pages, b->count, &body, e);

        if (rc)
            return rc;
        v->s->page[codec].bytes += (double)io_sum_bytes(body.iov, body.iov_count);
        v->s->page[codec].busy_ns += (double)(body.zero_scan_cpu_ns + body.encode_cpu_ns);
        if (codec == CODEC_NONE) {
            v->data_pages += body.data_pages;
            v->zero_pages += body.zero_pages;
        }
    }
    return 0;
}

/* The extent that begins at pfn. False: nothing is there. */
static int sample(struct surveyor *v, uint64_t pfn, bool *found, struct err *e)
{
    const int64_t begun_ns = now_ns();
    int rc = reader_load(&v->reader, pfn, EXTENT_FRAMES, e);
    const int64_t loaded_ns = now_ns();

    *found = !rc && v->reader.batch->data_pages;
    if (*found)
        rc = encode_sample(v, e);

    const int64_t encoded_ns = now_ns();

    batch_unload(v->reader.batch);
    if (*found)
        v->load_ns += loaded_ns - begun_ns + now_ns() - encoded_ns;
    return rc;
}

static int sample_pages(struct surveyor *v, struct err *e)
{
    const uint64_t extents = (v->reader.guest->frames + EXTENT_FRAMES - 1) / EXTENT_FRAMES;
    const uint64_t asked = extents < MOST_ASKED ? extents : MOST_ASKED;
    const uint64_t stride = asked / MOST_SAMPLES + 1;
    unsigned samples = 0;
    int rc = 0;

    /* Far apart first, then in between if that hit holes. */
    for (uint64_t from = 0; from < stride; from++)
        for (uint64_t i = from; i < asked && samples < MOST_SAMPLES && !rc; i += stride) {
            bool found = false;

            rc = cancel_is_fired(v->p->cancel)
                     ? err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal")
                     : sample(v, i * extents / asked * EXTENT_FRAMES, &found, e);
            samples += found;
        }
    return rc;
}

static void average(struct surveyor *v)
{
    struct survey *s = v->s;
    const uint64_t all = v->data_pages + v->zero_pages;
    const double load_ns = all ? (double)v->load_ns / (double)all : 0;

    s->pages = v->reader.guest->present_pages;
    s->sampled_pages = all;
    s->zero_share = all ? (double)v->zero_pages / (double)all : 0;
    for (int i = 0; i < CODECS; i++) {
        /* A record's front is small; its cost is spread over the pages with contents. */
        s->page[i].bytes = v->data_pages ? s->page[i].bytes / (double)v->data_pages : PAGE_BYTES;
        s->page[i].busy_ns = v->data_pages ? load_ns + s->page[i].busy_ns / (double)v->data_pages
                                           : 0;
    }
}

/* ---- how it writes ---- */

static int wait_until(const struct surveyor *v, int64_t at_ns, struct err *e)
{
    if (io_wait(v->p->cancel->event_fd, POLLIN, NULL, at_ns) == 0)
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    return 0;
}

/* Pages written to, of those found, and auxiliary data changed. */
static int count_dirty(struct surveyor *v, uint64_t *dirty_pages, struct err *e)
{
    struct aux_left left = {0};
    const int rc = v->aux ? aux_out_left(v->aux, &left, e) : 0;

    v->s->aux_changed_bytes = left.bytes;
    *dirty_pages = bitmap_count(v->found, v->reader.guest->frames) + aux_pages(left.bytes);
    return rc;
}

static int observe(struct surveyor *v, int64_t begun_ns, struct err *e)
{
    struct stats *const stats = &v->s->observed;
    const int64_t end_ns = begun_ns + v->p->observe_ns;
    int64_t after_ns = FIRST_PEEK_NS;
    int rc = 0;

    while (!rc && begun_ns + after_ns < end_ns) {
        rc = wait_until(v, begun_ns + after_ns, e);
        if (rc)
            return rc;

        const int64_t before_ns = now_ns();
        uint64_t dirty_pages;

        rc = v->log->ops->peek(v->log, v->found, e);

        const int64_t at_ns = now_ns(), rest_ns = PEEK_COST_FACTOR * (at_ns - before_ns);

        if (!rc)
            rc = count_dirty(v, &dirty_pages, e);
        if (!rc)
            stats_add_peek(stats, at_ns - begun_ns, dirty_pages);
        after_ns = (int64_t)((double)(at_ns - begun_ns) * PEEK_STEP);
        if (after_ns < at_ns - begun_ns + rest_ns)
            after_ns = at_ns - begun_ns + rest_ns;
    }
    return rc ? rc : wait_until(v, end_ns, e);
}

static int end_window(struct surveyor *v, int64_t begun_ns, uint64_t cpu_before_ns, struct err *e)
{
    uint64_t cpu_ns;
    int rc = domain_check_running(&v->reader.xen, v->p->domid, &cpu_ns, e);

    if (rc)
        return rc;

    const int64_t before_ns = now_ns();
    uint64_t dirty;

    rc = v->log->ops->collect(v->log, v->found, false, e);

    const int64_t at_ns = now_ns(), window_ns = at_ns - begun_ns;

    if (!rc)
        rc = count_dirty(v, &dirty, e);
    if (rc)
        return rc;
    stats_add_round(
        &v->s->observed, &(struct stats_round){
                             .elapsed_ns = window_ns,
                             .window_ns = window_ns,
                             .clean_ns = at_ns - before_ns,
                             .dirty_pages = dirty,
                             .left_pages = dirty,
                             .cpu_percent = cpu_used_percent(cpu_ns - cpu_before_ns, window_ns),
                         });
    return 0;
}

/* From now on what changes is noted. */
static int watch_aux(struct surveyor *v, struct err *e)
{
    struct aux_left all = {0};
    int rc = aux_out_open(v->p->domid, v->p->log, &v->aux, e);

    if (rc || !v->aux)
        return rc;
    rc = aux_out_left(v->aux, &all, e);
    v->s->aux_bytes = all.bytes;
    return rc ? rc : aux_out_look(v->aux, false, e);
}

static int observe_writes(struct surveyor *v, struct err *e)
{
    const bool pv = !v->reader.guest->dom.hvm;
    uint64_t cpu_ns;
    int rc = logdirty_open(&v->reader.xen, v->p->domid, pv, v->reader.guest->frames, &v->log, e);

    if (!rc)
        rc = domain_check_running(&v->reader.xen, v->p->domid, &cpu_ns, e);
    if (!rc)
        rc = v->p->logging(v->p->arg, e);
    if (!rc)
        rc = watch_aux(v, e);
    if (!rc)
        rc = v->log->ops->enable(v->log, e);

    const int64_t begun_ns = now_ns();

    if (!rc)
        rc = observe(v, begun_ns, e);
    return rc ? rc : end_window(v, begun_ns, cpu_ns, e);
}

/* ---- */

static int clean_up(struct surveyor *v, struct err *e)
{
    struct err late = ERR_INIT;

    aux_out_stop(v->aux, &late);
    aux_out_close(v->aux);
    if (v->log) {
        v->log->ops->disable(v->log, &late);
        v->log->ops->close(v->log);
    }
    free(v->found);
    page_encoder_destroy(v->encoder);
    reader_close(&v->reader);
    return err_is_set(&late) ? err_take(e, &late) : 0;
}

int survey_run(const struct survey_params *p, struct survey *s, struct err *e)
{
    struct surveyor v = {.p = p, .s = s};

    *s = (struct survey){0};

    int rc = set_up(&v, e);

    if (!rc)
        rc = sample_pages(&v, e);
    if (!rc) {
        average(&v);
        rc = observe_writes(&v, e);
    }

    const int late = clean_up(&v, e);

    return rc ? rc : late;
}
