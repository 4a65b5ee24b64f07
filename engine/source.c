#include "engine/source.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "engine/batch.h"
#include "engine/guest.h"
#include "engine/sink.h"
#include "engine/xen/logdirty.h"
#include "sched/speed.h"
#include "sched/stop.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What reading and sending the state is thought to take before it was done once. */
#define STATE_ESTIMATE_NS (5 * NS_PER_MS)

/* A page that is stuck only for a moment (a grant mapped for one request, a frame that changes
 * hands) is looked at again, so often and with such pauses, before the migration is given up. */
enum { SETTLE_TRIES = 8 };
#define SETTLE_PAUSE_NS (50 * NS_PER_MS)

struct source {
    const struct source_params *p;
    struct total_report *total;
    int64_t start_ns;

    struct xen xen;
    struct guest *guest;
    struct frame_maps maps;
    struct page_sink *sink;
    struct dirtylog *log;
    bool qemu_logs;

    uint64_t *bitmap; /* of the round that runs or comes next */
    uint64_t *found;  /* where log-dirty is read into */

    /* The round that runs. */
    struct round_report round;
    int64_t round_start_ns;
    uint64_t round_start_bytes;

    /* As measured so far. */
    double send_pages_per_s;
    double dirty_pages_per_s;
    int64_t clean_ns;
    int64_t last_clean_ns; /* when the last CLEAN (or ENABLE) returned */
    int64_t predicted_downtime_ns;
};

/* ---- setup ---- */

static void report_progress(void *arg, const struct round_counts *counts)
{
    const struct source *s = arg;
    const int64_t spent_ns = now_ns() - s->round_start_ns;
    const struct progress_report r = {
        .round = s->round.round,
        .round_pages = s->round.pages,
        .round_done_pages = counts->done_pages,
        .round_sent_pages = counts->data_pages + counts->zero_pages,
        .wire_bytes = s->sink->ops->wire_bytes(s->sink),
        .send_pages_per_s = pages_per_s(counts->data_pages + counts->zero_pages, spent_ns),
        .dirty_pages_per_s = s->dirty_pages_per_s,
        .predicted_downtime_ns = s->predicted_downtime_ns,
    };

    s->p->report->progress(s->p->report->arg, &r);
}

static int open_sink(struct source *s, struct err *e)
{
    const struct sink_parts parts = {s->p, s->guest, &s->maps, {report_progress, s}};

    return s->p->trunk ? sink_lanes_create(&parts, &s->sink, e)
                       : sink_plain_create(&parts, &s->sink, e);
}

static int allocate_bitmaps(struct source *s, struct err *e)
{
    s->bitmap = bitmap_alloc(s->guest->frames);
    s->found = bitmap_alloc(s->guest->frames);
    if (!s->bitmap || !s->found)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for bitmaps of the guest");
    return frame_maps_init(&s->maps, s->guest->frames, e);
}

/* From here on everything that the guest or its device model writes is noted. */
static int start_logging(struct source *s, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const bool pv = !s->guest->dom.hvm;
    int rc = logdirty_open(&s->xen, s->p->domid, pv, s->guest->frames, &s->log, e);

    if (!rc) {
        s->p->report->logging(s->p->report->arg);
        rc = s->log->ops->enable(s->log, e);
    }
    if (!rc && !pv) {
        rc = t->switch_qemu_logdirty(t->arg, true, e);
        s->qemu_logs = !rc;
    }
    s->last_clean_ns = now_ns();
    return rc;
}

static int set_up(struct source *s, struct err *e)
{
    int rc = xen_open(&s->xen, s->p->log, e);

    if (!rc)
        rc = guest_open(&s->xen, s->p->domid, &s->guest, e);
    if (!rc)
        rc = allocate_bitmaps(s, e);
    if (!rc)
        rc = open_sink(s, e);
    if (!rc && s->p->live)
        rc = start_logging(s, e);
    return rc;
}

/* ---- head ---- */

static int send_head(struct source *s, struct err *e)
{
    int rc = s->sink->ops->begin(s->sink, e);

    if (!rc)
        rc = s->guest->ops->send_static(s->guest, s->sink, e);
    if (!rc)
        rc = s->sink->ops->state(s->sink, V3_STATIC_DATA_END, NULL, 0, e);
    if (!rc)
        rc = s->guest->ops->send_memory_head(s->guest, s->sink, e);
    return rc;
}

/* ---- rounds ---- */

/* Send what s->bitmap says, fill s->round but for what the next CLEAN will say. */
static int send_round(struct source *s, bool suspended, struct round_counts *counts, struct err *e)
{
    const struct round_job job = {
        .bitmap = s->bitmap,
        .pages = bitmap_count(s->bitmap, s->guest->frames),
        .round = ++s->total->rounds,
        .suspended = suspended,
        .last = suspended,
    };

    s->round = (struct round_report){.round = job.round, .last = suspended, .pages = job.pages};
    s->round_start_ns = now_ns();
    s->round_start_bytes = s->sink->ops->wire_bytes(s->sink);

    int rc = s->sink->ops->round(s->sink, &job, counts, e);

    if (!rc)
        rc = s->guest->ops->check(s->guest, e);
    s->round.data_pages = counts->data_pages;
    s->round.zero_pages = counts->zero_pages;
    s->round.deferred_pages = counts->deferred_pages;
    s->round.duration_ns = now_ns() - s->round_start_ns;
    s->round.wire_bytes = s->sink->ops->wire_bytes(s->sink) - s->round_start_bytes;
    s->round.send_pages_per_s = pages_per_s(
        counts->data_pages + counts->zero_pages, s->round.duration_ns);
    s->total->data_pages += counts->data_pages;
    s->total->zero_pages += counts->zero_pages;
    s->send_pages_per_s = estimate_speed(s->send_pages_per_s,
        counts->data_pages ? counts->data_pages : counts->zero_pages, s->round.duration_ns);
    return rc;
}

/* What was dirtied since the last CLEAN becomes the next round. */
static int read_dirty(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    const int rc = s->log->ops->read(s->log, s->bitmap, false, e);
    const int64_t after_ns = now_ns();

    if (rc)
        return rc;
    s->clean_ns = after_ns - before_ns;
    s->round.clean_ns = s->clean_ns;
    s->round.dirty_pages = bitmap_count(s->bitmap, s->guest->frames);
    s->dirty_pages_per_s = pages_per_s(s->round.dirty_pages, after_ns - s->last_clean_ns);
    s->round.dirty_pages_per_s = s->dirty_pages_per_s;
    s->last_clean_ns = after_ns;
    return 0;
}

static struct stop_decision judge_round(struct source *s)
{
    const struct stop_input in = {
        .rounds_done = s->total->rounds,
        .left_pages = s->round.dirty_pages + s->round.deferred_pages,
        .send_pages_per_s = s->send_pages_per_s,
        .dirty_pages_per_s = s->dirty_pages_per_s,
        .suspend_ns = s->p->suspend_estimate_ns,
        .clean_ns = s->clean_ns,
        .state_ns = STATE_ESTIMATE_NS,
        .receiver_ns = s->p->receiver_estimate_ns,
        .max_downtime_ns = s->p->max_downtime_ns,
        .max_rounds = s->p->max_rounds,
    };
    const struct stop_decision d = decide_stop(in);

    s->predicted_downtime_ns = d.predicted_downtime_ns;
    s->round.predicted_downtime_ns = d.predicted_downtime_ns;
    return d;
}

static void report_round(struct source *s)
{
    s->p->report->round(s->p->report->arg, &s->round);
}

/*
 * The round before the suspend left pages that a suspended guest would not let us read either:
 * tables that name frames of another domain. Make sure of it while the guest still runs, because
 * after the suspend there is no way but to fail.
 */
static int settle_stuck(struct source *s, struct round_counts *counts, struct err *e)
{
    uint64_t *const last = s->bitmap;
    int rc = 0;

    for (int i = 0; i < SETTLE_TRIES && counts->stuck_pages && !rc; i++) {
        sleep_until_ns(deadline_in(SETTLE_PAUSE_NS));
        memset(s->found, 0, bitmap_words(s->guest->frames) * sizeof(*s->found));
        frame_maps_join(&s->maps, s->guest, s->found);
        s->bitmap = s->found;
        rc = send_round(s, false, counts, e);
        s->bitmap = last;
        if (!rc)
            report_round(s);
    }
    if (!rc && counts->stuck_pages) {
        rc = page_fault_explain(&counts->fault, s->p->domid, e);
        err_prepend(e, "not suspended, because it could not be moved");
    }
    return rc;
}

/* Rounds while the guest runs, until what is left is small enough to let it stand still for. */
static int send_live_rounds(struct source *s, enum stop_reason *reason, struct err *e)
{
    struct round_counts counts;
    int rc;

    bitmap_fill(s->bitmap, s->guest->frames);
    for (;;) {
        rc = send_round(s, false, &counts, e);
        if (!rc)
            rc = domain_check_running(&s->xen, s->p->domid, e);
        if (!rc)
            rc = read_dirty(s, e);
        if (rc)
            return rc;
        *reason = judge_round(s).reason;
        report_round(s);
        if (*reason != STOP_CONTINUE)
            break;
        frame_maps_join(&s->maps, s->guest, s->bitmap);
    }
    return counts.stuck_pages ? settle_stuck(s, &counts, e) : 0;
}

/* ---- the pause ---- */

static int suspend_guest(struct source *s, const char *reason, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const struct report_ops *r = s->p->report;
    const int64_t asked_ns = now_ns();

    if (cancel_is_fired(s->p->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    s->total->predicted_downtime_ns = s->predicted_downtime_ns;
    r->suspending(r->arg, reason, s->predicted_downtime_ns);

    int rc = t->suspend(t->arg, e);

    if (!rc)
        rc = domain_check_suspended(&s->xen, s->p->domid, e);
    if (rc)
        return rc;
    s->total->downtime.suspend_ns = now_ns() - asked_ns;
    r->suspended(r->arg);
    return 0;
}

/* What is left: with log-dirty, what was found at the last CLEAN and since; without, everything. */
static int collect_last_round(struct source *s, struct err *e)
{
    if (!s->p->live) {
        bitmap_fill(s->bitmap, s->guest->frames);
        return 0;
    }

    int rc = s->log->ops->check_enabled(s->log, e);

    if (!rc)
        rc = s->log->ops->read(s->log, s->found, true, e);
    if (rc)
        return rc;
    bitmap_or(s->bitmap, s->found, s->guest->frames);
    frame_maps_join(&s->maps, s->guest, s->bitmap);
    return 0;
}

static int send_last_round(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    struct round_counts counts;
    int rc = collect_last_round(s, e);

    if (!rc)
        rc = send_round(s, true, &counts, e);
    if (!rc)
        rc = s->sink->ops->pages_done(s->sink, e);
    if (rc)
        return rc;
    s->total->downtime.last_round_ns = now_ns() - before_ns;
    report_round(s);
    return 0;
}

/* Everything once more, for a receiver that compares. */
static int send_verify_round(struct source *s, struct err *e)
{
    struct round_counts counts;
    int rc = s->sink->ops->verify(s->sink, e);

    bitmap_fill(s->bitmap, s->guest->frames);
    if (!rc)
        rc = send_round(s, true, &counts, e);
    if (!rc)
        report_round(s);
    return rc;
}

static int send_state(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    int rc = s->guest->ops->send_state(s->guest, s->sink, e);

    if (!rc)
        rc = s->sink->ops->end(s->sink, e);
    s->total->downtime.state_ns = now_ns() - before_ns;
    return rc;
}

static int await_receiver(struct source *s, struct err *e)
{
    struct sink_result result;
    const int rc = s->sink->ops->wait_result(
        s->sink, deadline_in(s->p->result_limit_ns), &result, e);

    s->total->downtime.receiver_ns = rc ? 0 : result.finish_ns;
    return rc;
}

/* ---- cleanup ---- */

/* Whatever happened: log-dirty off, nothing mapped. What goes wrong here changes no outcome. */
static void clean_up(struct source *s)
{
    const struct source_toolstack *t = s->p->toolstack;
    struct err late = ERR_INIT;

    if (s->log) {
        s->log->ops->disable(s->log, &late);
        s->log->ops->close(s->log);
    }
    if (s->qemu_logs)
        t->switch_qemu_logdirty(t->arg, false, &late);
    if (err_is_set(&late))
        log_warn(s->p->log, "%s", late.text);
    if (s->sink) {
        s->total->wire_bytes = s->sink->ops->wire_bytes(s->sink);
        s->sink->ops->close(s->sink);
    }
    frame_maps_destroy(&s->maps);
    free(s->bitmap);
    free(s->found);
    if (s->guest)
        s->guest->ops->close(s->guest);
    xen_close(&s->xen);
    s->total->total_ns = now_ns() - s->start_ns;
}

int source_run(const struct source_params *p, struct total_report *total, struct err *e)
{
    struct source s = {.p = p, .total = total, .start_ns = now_ns()};
    enum stop_reason reason = STOP_CONTINUE;

    *total = (struct total_report){0};

    int rc = set_up(&s, e);

    if (!rc)
        rc = send_head(&s, e);
    if (!rc && p->live)
        rc = send_live_rounds(&s, &reason, e);
    if (!rc)
        rc = suspend_guest(&s, p->live ? stop_reason_name(reason) : "offline", e);
    if (!rc)
        rc = send_last_round(&s, e);
    if (!rc && p->verify && s.sink->ops->verify)
        rc = send_verify_round(&s, e);
    if (!rc)
        rc = send_state(&s, e);
    if (!rc)
        rc = await_receiver(&s, e);
    clean_up(&s);
    return rc;
}
