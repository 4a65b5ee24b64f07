/* SPDX-License-Identifier: MIT */
#include "engine/source.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "dirtylog/pending.h"
#include "engine/batch.h"
#include "engine/drain.h"
#include "engine/guest/save.h"
#include "engine/out/out.h"
#include "engine/prepare.h"
#include "engine/xen/logdirty.h"
#include "sched/precopy.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>

#define PROGRESS_EVERY_NS (200 * NS_PER_MS)

_Static_assert(
    ROUND_PROGRESS_NS == PRECOPY_POLL_NS, "an out tells of a round as often as it is polled");

/* A page that is stuck may be so only for a moment (a grant mapped for one request, a frame that
 * changes hands): it is tried again this often, with such pauses, before the migration gives up. */
enum { SETTLE_TRIES = 8 };
#define SETTLE_PAUSE_NS (50 * NS_PER_MS)

/* How long the backends of the guest's disks may take to answer, once it is suspended. */
#define DRAIN_LIMIT_NS (10 * NS_PER_S)

struct source {
    const struct source_params *p; /* the caller's, until source_run() returns */
    struct total_report *total;    /* as above */
    int64_t start_ns;

    struct xen xen;
    struct guest *guest;
    struct pending pending;
    struct drain *drain;
    struct out *out;
    bool qemu_logs;

    /* The current round, or the last one. */
    struct round_report round;
    struct round_counts counts;
    int64_t round_start_ns;
    uint64_t round_start_bytes;
    bool live_round;     /* of the round loop, which is told how it goes */
    int64_t progress_ns; /* when progress was last reported */

    struct preparation preparation;
    struct precopy precopy; /* the round loop; its decision is the last one made */
    struct precopy_ops ops; /* its; without peek if the log cannot */
};

/* ---- setup ---- */

static void report_progress(struct source *s, const struct round_counts *counts)
{
    const int64_t spent_ns = now_ns() - s->round_start_ns;
    const bool observing = s->precopy.decision.action == ACT_OBSERVE;
    const struct progress_report r = {
        .round = s->round.round,
        .round_pages = s->round.pages,
        .round_done_pages = counts->done_pages,
        .round_sent_pages = counts->data_pages + counts->zero_pages,
        .wire_bytes = s->out->ops->wire_bytes(s->out),
        .send_pages_per_s = observing
                                ? 0
                                : pages_per_s(counts->data_pages + counts->zero_pages, spent_ns),
        .dirty_pages_per_s = s->precopy.stats.dirty_pages_per_s,
        .predicted_downtime_ns = s->precopy.decision.now.whole_ns,
    };

    s->p->report->progress(s->p->report->arg, &r);
    s->progress_ns = now_ns();
}

static struct round_stats round_stats_of(const struct source *s, const struct round_counts *counts)
{
    return (struct round_stats){
        .data_pages = counts->data_pages,
        .zero_pages = counts->zero_pages,
        .absent_pages = counts->absent_pages,
        .wire_bytes = s->out->ops->wire_bytes(s->out) - s->round_start_bytes,
        .kept_pages = s->pending.kept_pages,
        .deferred_pages = counts->deferred_pages,
        .stuck_pages = counts->stuck_pages,
    };
}

/* Called by the out while a round runs. */
static void round_progress(void *arg, const struct round_counts *counts)
{
    struct source *s = arg;

    if (s->live_round) {
        const struct round_stats so_far = round_stats_of(s, counts);

        precopy_poll(&s->precopy, &so_far);
    }
    if (now_ns() - s->progress_ns >= PROGRESS_EVERY_NS)
        report_progress(s, counts);
}

static bool frame_has_memory(const void *arg, uint64_t pfn)
{
    const struct guest *g = arg;

    return g->ops->frame_of(g, pfn) != GUEST_NO_FRAME;
}

/* From here on everything that the guest or its device model writes is noted. */
static int start_logging(struct source *s, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const bool pv = !s->guest->dom.hvm;
    struct dirty_source *log = NULL;
    int rc = logdirty_open(&s->xen, s->p->domid, pv, s->guest->frames, &log, e);

    pending_follow(&s->pending, log);
    if (!rc)
        rc = s->p->report->logging(s->p->report->arg, e);
    if (!rc)
        rc = log->ops->enable(log, e);
    if (!rc && !pv) {
        rc = t->switch_qemu_logdirty(t->arg, true, e);
        s->qemu_logs = !rc;
    }
    s->precopy.logged_ns = now_ns();
    return rc;
}

static int watch_disks(struct source *s, struct err *e)
{
    const int64_t limit_ns = s->p->result_limit_ns
                                 ? deadline_earlier(DRAIN_LIMIT_NS, s->p->result_limit_ns / 2)
                                 : DRAIN_LIMIT_NS;

    return drain_start(s->drain, limit_ns, e);
}

static int set_up(struct source *s, struct err *e)
{
    int rc = xen_open(&s->xen, s->p->log, e);

    if (!rc)
        rc = watch_disks(s, e);
    if (!rc)
        rc = guest_open(&s->xen, s->p->domid, &s->guest, e);
    if (!rc)
        rc = pending_init(&s->pending, s->guest->frames, frame_has_memory, s->guest, e);
    if (!rc && s->p->live)
        rc = start_logging(s, e);
    return rc;
}

/* ---- head ---- */

static int send_ahead(struct source *s, struct err *e)
{
    s->preparation = (struct preparation){
        .guest = s->guest,
        .out = s->out,
        .log = s->p->log,
        .wanted = s->p->early && s->p->live,
        .span_ns = s->p->prepare_limit_ns,
        .is_done = s->p->toolstack->is_prepared,
        .arg = s->p->toolstack->arg,
    };
    return prepare_begin(&s->preparation, e);
}

static int send_head(struct source *s, struct err *e)
{
    int rc = s->out->ops->begin(s->out, s->guest, &s->pending.notes, e);

    if (!rc)
        rc = s->guest->ops->send_static(s->guest, s->out, e);
    if (!rc)
        rc = s->out->ops->state(s->out, V3_STATIC_DATA_END, NULL, 0, e);
    if (!rc)
        rc = s->guest->ops->send_memory_head(s->guest, s->out, e);
    return rc ? rc : send_ahead(s, e);
}

/* ---- rounds ---- */

/* One pass over bitmap; fills s->round but for what the next CLEAN will say. plan: of the round
 * loop; NULL: none of its rounds. */
static int send_bitmap(struct source *s, const uint64_t *bitmap, const struct round_plan *plan,
    bool suspended, struct err *e)
{
    const struct round_counts *const counts = &s->counts;
    const struct round_job job = {
        .bitmap = bitmap,
        .skip = plan && plan->skip_redirtied ? s->pending.redirtied : NULL,
        .pages = bitmap_count(bitmap, s->guest->frames),
        .round = ++s->total->rounds,
        .suspended = suspended,
        .last = suspended,
        .hook = {round_progress, s},
    };

    s->round = (struct round_report){.round = job.round, .last = suspended, .pages = job.pages};
    s->live_round = plan != NULL;
    s->round_start_ns = s->progress_ns = now_ns();
    s->round_start_bytes = s->out->ops->wire_bytes(s->out);

    int rc = s->out->ops->round(s->out, &job, &s->counts, e);

    if (!rc)
        rc = s->guest->ops->check(s->guest, e);
    s->round.data_pages = counts->data_pages;
    s->round.zero_pages = counts->zero_pages;
    s->round.skipped_pages = counts->skipped_pages;
    s->round.kept_pages = s->pending.kept_pages;
    s->round.deferred_pages = counts->deferred_pages;
    s->round.duration_ns = now_ns() - s->round_start_ns;
    s->round.wire_bytes = s->out->ops->wire_bytes(s->out) - s->round_start_bytes;
    s->round.send_pages_per_s = pages_per_s(
        counts->data_pages + counts->zero_pages, s->round.duration_ns);
    s->total->data_pages += counts->data_pages;
    s->total->zero_pages += counts->zero_pages;
    return rc;
}

static void report_round(struct source *s)
{
    s->p->report->round(s->p->report->arg, &s->round);
}

/* ---- rounds while the guest runs: what sched/precopy.h asks for ---- */

static int live_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct source *s = arg;
    const struct precopy *p = &s->precopy;
    int rc = 0;

    if (p->stats.rounds && decision_ends_with_round(&p->decision, &p->limits))
        rc = prepare_ask(&s->preparation, e);
    if (rc)
        return rc;
    pending_begin_round(&s->pending, plan->keep_repeats);
    rc = send_bitmap(s, s->pending.round, plan, false, e);

    *stats = round_stats_of(s, &s->counts);
    return rc;
}

static bool live_peek(void *arg, uint64_t *dirty_pages)
{
    struct source *s = arg;
    struct err e = ERR_INIT;

    if (!pending_peek(&s->pending, dirty_pages, &e))
        return true;
    log_debug(s->p->log, "%s", e.text);
    return false;
}

/* Nothing is sent meanwhile. */
static int live_wait(void *arg, int64_t until_ns, struct err *e)
{
    struct source *s = arg;

    while (!deadline_passed(until_ns)) {
        if (cancel_is_fired(s->p->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        sleep_until_ns(deadline_earlier(until_ns, deadline_in(ROUND_PROGRESS_NS)));
        if (now_ns() - s->progress_ns >= PROGRESS_EVERY_NS)
            report_progress(s, &s->counts);
    }
    return 0;
}

/* What the guest writes while the receiver is not prepared goes into further rounds. */
static int live_may_suspend(void *arg, bool *may, struct err *e)
{
    struct source *s = arg;
    const struct preparation *r = &s->preparation;
    const int64_t until_ns = deadline_in(PREPARE_ROUND_NS);
    int rc = prepare_ask(&s->preparation, e);

    *may = prepare_is_done(r);
    while (!rc && !prepare_is_done(r) && !deadline_passed(until_ns))
        rc = live_wait(s, deadline_in(PREPARE_POLL_NS), e);
    return rc ? rc : prepare_check_time(r, e);
}

static int live_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    struct source *s = arg;

    return domain_check_running(&s->xen, s->p->domid, cpu_ns, e);
}

static int live_clean(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct pending *p = &((struct source *)arg)->pending;
    struct pending_found found;
    const int rc = after == CLEAN_AFTER_ROUND
                       ? pending_collect(p, &found, e)
                       : pending_sample(p, after == CLEAN_FIRST_SAMPLE, &found, e);

    *stats = (struct clean_stats){found.dirty_pages, found.left_pages, found.cleared_ns};
    return rc;
}

static int live_cap(void *arg, unsigned percent, struct err *e)
{
    const struct source_toolstack *t = ((struct source *)arg)->p->toolstack;

    return t->cap(t->arg, percent, e);
}

static void live_decided(void *arg, const struct precopy *p)
{
    struct source *s = arg;

    if (!p->stats.observing) {
        s->round.clean_ns = p->stats.last.clean_ns;
        s->round.dirty_pages = p->stats.last.dirty_pages;
        s->round.dirty_pages_per_s = p->stats.dirty_pages_per_s;
        s->round.predicted_downtime_ns = p->decision.now.whole_ns;
        report_round(s);
    }
    report_precopy_decision(s->p->report, s->round.round, p);
}

static int64_t live_now(void *arg)
{
    (void)arg;
    return now_ns();
}

static const struct precopy_ops live_ops = {
    .send = live_send,
    .clean = live_clean,
    .peek = live_peek,
    .wait = live_wait,
    .may_suspend = live_may_suspend,
    .cap = live_cap,
    .cpu = live_cpu,
    .decided = live_decided,
    .now = live_now,
};

static int give_up(const struct source *s, struct err *e)
{
    char words[DECISION_WORDS_BYTES];

    decision_words(&s->precopy.stats, &s->precopy.limits, &s->precopy.decision, words);
    return err_set(e, ERR_GUEST, EBUSY, "%s", words);
}

/*
 * The round before the suspend left pages that could not be read with the guest suspended either:
 * tables that name frames of another domain. Make sure while the guest still runs, because after
 * the suspend we can only fail.
 */
static int settle_stuck(struct source *s, struct err *e)
{
    const struct round_counts *const counts = &s->counts;
    int rc = 0;

    for (int i = 0; i < SETTLE_TRIES && counts->stuck_pages && !rc; i++) {
        sleep_until_ns(deadline_in(SETTLE_PAUSE_NS));
        rc = send_bitmap(s, pending_begin_retry(&s->pending), NULL, false, e);
        if (!rc)
            report_round(s);
    }
    if (!rc && counts->stuck_pages) {
        rc = page_fault_explain(&counts->fault, s->p->domid, e);
        err_prepend(e, "not suspended, because it could not be moved");
    }
    return rc;
}

/* Rounds while the guest runs, until the scheduler says to suspend it. */
static int send_live_rounds(struct source *s, struct err *e)
{
    struct precopy *p = &s->precopy;

    s->ops = live_ops;
    p->ops = &s->ops;
    p->arg = s;
    p->begun_ns = s->start_ns;
    p->limits = s->p->limits;
    p->costs = s->p->costs;
    if (!s->pending.source->ops->peek)
        s->ops.peek = NULL;
    pending_fill(&s->pending);

    const int rc = precopy_run(p, e);

    if (rc)
        return rc;
    if (p->decision.action == ACT_GIVE_UP)
        return give_up(s, e);
    return s->counts.stuck_pages ? settle_stuck(s, e) : 0;
}

/* ---- the pause ---- */

static int suspend_guest(struct source *s, const char *reason, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const struct report_ops *r = s->p->report;
    const int64_t asked_ns = now_ns();

    if (cancel_is_fired(s->p->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    s->total->predicted = s->precopy.decision.now;
    r->suspending(r->arg, reason, s->precopy.decision.now.whole_ns);
    drain_suspending(s->drain);

    int rc = t->suspend(t->arg, e);

    if (!rc)
        rc = domain_check_suspended(&s->xen, s->p->domid, e);
    if (rc)
        return rc;
    drain_suspended(s->drain);
    s->total->downtime.suspend_ns = now_ns() - asked_ns;
    r->suspended(r->arg);
    return 0;
}

static int send_last_round(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    int rc = pending_collect_last(&s->pending, e);
    const int64_t clean_ns = now_ns();

    if (!rc)
        rc = send_bitmap(s, s->pending.round, NULL, true, e);
    if (rc)
        return rc;
    s->total->downtime.clean_ns = clean_ns - before_ns;
    s->total->downtime.last_round_ns = now_ns() - clean_ns;
    report_round(s);
    return 0;
}

/* Send everything once more, for a receiver that compares. */
static int send_verify_round(struct source *s, struct err *e)
{
    int rc = s->out->ops->verify(s->out, e);

    pending_fill(&s->pending);
    s->pending.notes.source = NULL; /* what the receiver should have is to be sent, too */
    if (!rc)
        rc = send_bitmap(s, s->pending.round, NULL, true, e);
    if (!rc)
        report_round(s);
    return rc;
}

static int send_state(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    const int rc = s->guest->ops->send_state(s->guest, s->out, e);

    s->total->downtime.state_ns = now_ns() - before_ns;
    return rc;
}

static int await_disks(struct source *s, struct err *e)
{
    return drain_wait(s->drain, s->p->cancel, &s->total->downtime.disks_ns, e);
}

/* The receiver's toolstack opens the disks as soon as it has the image, so what this host still has
 * of them in memory goes first. Requests in hand are awaited beside that: they have time until the
 * guest is given away, which is after this process has said that it is done. */
static int hand_over(struct source *s, struct err *e)
{
    struct arrival arrival = {0};
    int rc = drain_is_cached(s->drain) ? await_disks(s, e) : 0;

    if (!rc)
        rc = s->out->ops->commit(s->out, COMMIT_HANDOVER, s->p->result_limit_ns, &arrival, e);
    s->total->downtime.receiver_ns = rc ? 0 : arrival.finish_ns;
    return rc ? rc : await_disks(s, e);
}

/* ---- cleanup ---- */

/* Whatever happened. Errors here do not change the outcome. To ask the device model takes its time,
 * and after a handover that is the pause's. */
static void stop_logging(struct source *s, bool handed_over)
{
    const struct source_toolstack *t = s->p->toolstack;
    struct dirty_source *const log = s->pending.source;
    struct err late = ERR_INIT;

    if (log)
        log->ops->disable(log, &late);
    if (s->qemu_logs && !(handed_over && s->p->leaves_model_logging))
        t->switch_qemu_logdirty(t->arg, false, &late);
    if (err_is_set(&late))
        log_warn(s->p->log, "%s", late.text);
}

static void add_up(struct source *s)
{
    s->total->wire_bytes = s->out->ops->wire_bytes(s->out);
    if (s->out->ops->profile)
        s->out->ops->profile(s->out, s->total);
    s->total->total_ns = now_ns() - s->start_ns;
}

void source_close(struct source *s)
{
    struct dirty_source *const log = s->pending.source;

    if (log)
        log->ops->close(log);
    drain_close(s->drain);
    s->out->ops->close(s->out);
    pending_destroy(&s->pending);
    prepare_end(&s->preparation);
    if (s->guest)
        s->guest->ops->close(s->guest);
    xen_close(&s->xen);
    free(s);
}

static int tell_story(struct source *s, struct err *e)
{
    const struct source_params *p = s->p;
    int rc = set_up(s, e);

    if (!rc)
        rc = send_head(s, e);
    if (!rc && p->live)
        rc = send_live_rounds(s, e);
    if (!rc && p->live)
        out_await_sent(s->out, s->p->cancel);
    if (!rc)
        rc = suspend_guest(s, p->live ? reason_name(s->precopy.decision.reason) : "offline", e);
    if (!rc)
        rc = prepare_check_unchanged(&s->preparation, e);
    if (!rc)
        rc = send_last_round(s, e);
    if (!rc && p->verify && s->out->ops->verify)
        rc = send_verify_round(s, e);
    if (!rc)
        rc = send_state(s, e);
    if (!rc)
        rc = hand_over(s, e);
    return rc;
}

int source_run(
    const struct source_params *p, struct total_report *total, struct source **left, struct err *e)
{
    struct source *s = malloc(sizeof(*s));

    *total = (struct total_report){0};
    *left = NULL;
    if (!s) {
        p->out->ops->close(p->out);
        drain_close(p->drain);
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    }
    *s = (struct source){
        .p = p, .total = total, .out = p->out, .drain = p->drain, .start_ns = now_ns()};

    const int rc = tell_story(s, e);

    /* The peer may have seen it fail first, and had us stopped. */
    if (rc && s->xen.xch)
        domain_explain_end(&s->xen, p->domid, e);
    stop_logging(s, !rc);
    add_up(s);
    if (rc)
        source_close(s);
    else
        *left = s;
    return rc ? -e->code : 0;
}
