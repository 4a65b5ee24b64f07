/* SPDX-License-Identifier: MIT */
#include "engine/source.h"
#include "engine/source_private.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "engine/batch.h"
#include "engine/guest/common.h"
#include "engine/xen/logdirty.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(
    ROUND_PROGRESS_NS == PRECOPY_POLL_NS, "an out tells of a round as often as it is polled");

/* A page that is stuck may be so only for a moment (a grant mapped for one request, a frame that
 * changes hands): it is tried again this often, with such pauses, before the migration gives up. */
enum { SETTLE_TRIES = 8 };
#define SETTLE_PAUSE_NS (50 * NS_PER_MS)

/* The receiver builds when what is left would not take longer. */
#define PREPARE_AHEAD_NS (3 * NS_PER_S)

/* How long the backends of the guest's disks may take to answer, once it is suspended. */
#define DRAIN_LIMIT_NS (10 * NS_PER_S)

/* ---- setup ---- */

static struct round_stats round_stats_of(const struct source *s, const struct round_counts *counts)
{
    return (struct round_stats){
        .data_pages = counts->data_pages + aux_pages(counts->aux_bytes),
        .zero_pages = counts->zero_pages,
        .delta_pages = counts->delta_pages,
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
    source_report_progress(s, counts);
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
        rc = guest_open(&s->xen, s->p->domid, &s->p->notes->marks, &s->guest, e);
    if (!rc)
        rc = aux_out_open(s->p->domid, s->p->log, &s->aux, e);
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

static int announce_aux(struct source *s, struct err *e)
{
    if (!s->aux || s->out->ops->aux)
        return s->aux ? s->out->ops->aux(s->out, s->aux, e) : 0;
    if (!aux_out_is_optional(s->aux))
        return aux_out_refuse(s->aux, s->p->domid, e);
    aux_out_close(s->aux);
    s->aux = NULL;
    return 0;
}

static int send_head(struct source *s, struct err *e)
{
    int rc = s->out->ops->begin(s->out, s->guest, &s->pending.notes, e);

    if (!rc)
        rc = announce_aux(s, e);
    if (!rc)
        rc = s->guest->ops->send_static(s->guest, s->out, e);
    if (!rc)
        rc = send_kernel_notes(s->p->notes, s->out, e);
    if (!rc)
        rc = s->out->ops->state(s->out, V3_STATIC_DATA_END, NULL, 0, e);
    if (!rc)
        rc = s->guest->ops->send_memory_head(s->guest, s->out, e);
    return rc ? rc : send_ahead(s, e);
}

/* ---- rounds ---- */

int source_send_part(struct source *s, const struct pending_part *part,
    const struct round_plan *plan, bool suspended, struct err *e)
{
    const struct round_counts *const counts = &s->counts;
    const struct round_job job = {
        .bitmap = part->bitmap,
        .first_frame = part->first,
        .end_frame = part->end,
        .skip = plan && plan->skip_redirtied ? s->pending.redirtied : NULL,
        .pages = part->pages,
        .round = ++s->total->rounds,
        .suspended = suspended,
        .last = suspended,
        .aux = s->aux,
        .hook = {round_progress, s},
    };

    s->round = (struct round_report){.round = job.round, .last = suspended, .pages = job.pages};
    s->live_round = plan != NULL;
    s->round_start_ns = s->progress_ns = now_ns();
    s->round_start_bytes = s->out->ops->wire_bytes(s->out);

    int rc = s->aux ? aux_out_look(s->aux, suspended, e) : 0;

    if (!rc)
        rc = s->out->ops->round(s->out, &job, &s->counts, e);
    if (!rc)
        rc = s->guest->ops->check(s->guest, e);
    s->round.data_pages = counts->data_pages;
    s->round.zero_pages = counts->zero_pages;
    s->round.delta_pages = counts->delta_pages;
    s->round.skipped_pages = counts->skipped_pages;
    s->round.kept_pages = s->pending.kept_pages;
    s->round.deferred_pages = counts->deferred_pages;
    s->round.aux_entries = counts->aux_entries;
    s->round.aux_bytes = counts->aux_bytes;
    s->round.duration_ns = now_ns() - s->round_start_ns;
    s->round.wire_bytes = s->out->ops->wire_bytes(s->out) - s->round_start_bytes;
    s->round.send_pages_per_s = pages_per_s(
        counts->data_pages + counts->zero_pages + aux_pages(counts->aux_bytes),
        s->round.duration_ns);
    s->total->data_pages += counts->data_pages;
    s->total->zero_pages += counts->zero_pages;
    s->total->delta_pages += counts->delta_pages;
    s->total->delta_saved_bytes += counts->delta_pages * PAGE_BYTES - counts->delta_bytes;
    s->total->aux_entries += counts->aux_entries;
    s->total->aux_bytes += counts->aux_bytes;
    return rc;
}

int source_send_bitmap(struct source *s, const uint64_t *bitmap, const struct round_plan *plan,
    bool suspended, struct err *e)
{
    const struct pending_part all = {
        .bitmap = bitmap,
        .end = s->guest->frames,
        .pages = bitmap_count(bitmap, s->guest->frames),
    };

    return source_send_part(s, &all, plan, suspended, e);
}

/* ---- rounds while the guest runs: what sched/precopy.h asks for ---- */

/* Is the end so near that the receiver should build? Devices take a second or more. */
static bool is_near(const struct precopy *p)
{
    return decision_ends_with_round(&p->decision, &p->limits) ||
           prediction_last_round_ns(&p->decision.now) <= PREPARE_AHEAD_NS;
}

static int live_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct source *s = arg;
    const struct precopy *p = &s->precopy;
    int rc = 0;

    if (p->stats.rounds && is_near(p))
        rc = prepare_ask(&s->preparation, e);
    if (rc)
        return rc;
    pending_begin_round(&s->pending, plan->keep_repeats);
    rc = source_send_bitmap(s, s->pending.round, plan, false, e);

    *stats = round_stats_of(s, &s->counts);
    return rc;
}

static bool live_peek(void *arg, uint64_t *dirty_pages)
{
    struct source *s = arg;
    struct err e = ERR_INIT;
    struct aux_left left = {0};
    int rc = pending_peek(&s->pending, dirty_pages, &e);

    if (!rc && s->aux)
        rc = aux_out_left(s->aux, &left, &e);
    if (rc) {
        log_debug(s->p->log, "%s", e.text);
        return false;
    }
    *dirty_pages += aux_pages(left.bytes);
    return true;
}

/* Nothing is sent meanwhile. */
static int live_wait(void *arg, int64_t until_ns, struct err *e)
{
    struct source *s = arg;

    while (!deadline_passed(until_ns)) {
        if (cancel_is_fired(s->p->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        sleep_until_ns(deadline_earlier(until_ns, deadline_in(ROUND_PROGRESS_NS)));
        source_report_progress(s, &s->counts);
    }
    return 0;
}

static int ask_toolstack(struct source *s, bool *may, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;

    *may = false;
    return t->may_suspend(t->arg, may, e);
}

/* What the guest writes while the receiver or the toolstack is not ready goes into further rounds.
 */
static int live_may_suspend(void *arg, bool *may, struct err *e)
{
    struct source *s = arg;
    const struct preparation *r = &s->preparation;
    const int64_t soon_ns = deadline_in(PREPARE_SOON_NS), until_ns = deadline_in(PREPARE_ROUND_NS);
    bool ready;
    int rc = prepare_ask(&s->preparation, e);

    if (!rc)
        rc = ask_toolstack(s, &ready, e);
    while (!rc && !(ready && prepare_is_done(r)) && !deadline_passed(until_ns)) {
        rc = live_wait(s, deadline_in(PREPARE_POLL_NS), e);
        if (!rc)
            rc = ask_toolstack(s, &ready, e);
    }
    *may = !rc && ready && prepare_is_done(r) && !deadline_passed(soon_ns);
    return rc ? rc : prepare_check_time(r, e);
}

/* Without rounds. */
static int await_toolstack(struct source *s, struct err *e)
{
    bool may;
    int rc = ask_toolstack(s, &may, e);

    while (!rc && !may) {
        rc = live_wait(s, deadline_in(PREPARE_POLL_NS), e);
        if (!rc)
            rc = ask_toolstack(s, &may, e);
    }
    return rc;
}

static int live_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    struct source *s = arg;

    return domain_check_running(&s->xen, s->p->domid, cpu_ns, e);
}

/* What has changed of the auxiliary data since the round began joins what is left. */
static int count_aux(
    struct source *s, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    const uint64_t before = after == CLEAN_AFTER_ROUND ? 0 : aux_pages(s->aux_left_bytes);
    struct aux_left left;
    const int rc = aux_out_left(s->aux, &left, e);

    if (rc)
        return rc;
    s->aux_left_bytes = left.bytes;
    stats->left_pages += aux_pages(left.bytes);
    stats->dirty_pages += aux_pages(left.bytes) - before;
    return 0;
}

/* decide() follows. */
static int live_clean(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct source *s = arg;
    struct pending *p = &s->pending;
    struct pending_found found;
    int rc = after == CLEAN_AFTER_ROUND ? pending_collect(p, &found, e)
                                        : pending_sample(p, after == CLEAN_FIRST_SAMPLE, &found, e);

    *stats = (struct clean_stats){
        .dirty_pages = found.dirty_pages,
        .left_pages = found.left_pages,
        .delta_pages = s->out->ops->count_deltas ? s->out->ops->count_deltas(s->out, p->round) : 0,
        .cleared_ns = found.cleared_ns,
    };
    if (!rc && s->aux)
        rc = count_aux(s, after, stats, e);
    return rc;
}

static void live_limits(void *arg, struct decide_limits *limits)
{
    const struct source_toolstack *t = ((struct source *)arg)->p->toolstack;

    if (t->limits)
        t->limits(t->arg, limits);
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
        s->round.dirty_pages = p->stats.last.dirty_pages - aux_pages(s->aux_left_bytes);
        s->round.aux_left_bytes = s->aux_left_bytes;
        s->round.dirty_pages_per_s = p->stats.dirty_pages_per_s;
        s->round.predicted_downtime_ns = p->decision.now.whole_ns;
        source_report_round(s);
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
    .limits = live_limits,
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
        rc = source_send_bitmap(s, pending_begin_retry(&s->pending), NULL, false, e);
        if (!rc)
            source_report_round(s);
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

/* ---- cleanup ---- */

/* Whatever happened. Errors here do not change the outcome. It takes its time, above all to ask the
 * device model, and after a handover that is the pause's. */
static void stop_logging(struct source *s, bool handed_over)
{
    const struct source_toolstack *t = s->p->toolstack;
    struct dirty_source *const log = s->pending.source;
    struct err late = ERR_INIT;

    if (handed_over && s->p->leaves_logging)
        return;
    if (log)
        log->ops->disable(log, &late);
    aux_out_stop(s->aux, &late);
    if (s->qemu_logs)
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

int source_finish(struct source *s, struct err *e)
{
    return s->out->ops->finish ? s->out->ops->finish(s->out, e) : 0;
}

void source_close(struct source *s)
{
    struct dirty_source *const log = s->pending.source;

    if (log)
        log->ops->close(log);
    drain_close(s->drain);
    s->out->ops->close(s->out);
    aux_out_close(s->aux);
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
    if (!rc && !p->live)
        rc = await_toolstack(s, e);
    if (!rc)
        rc = source_suspend_guest(
            s, p->live ? reason_name(s->precopy.decision.reason) : "offline", e);
    if (!rc)
        rc = source_send_last_round(s, e);
    if (!rc && p->verify && s->out->ops->verify)
        rc = source_send_verify_round(s, e);
    if (!rc)
        rc = source_send_state(s, e);
    if (!rc)
        rc = source_hand_over(s, e);
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
