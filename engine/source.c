#include "engine/source.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "engine/batch.h"
#include "engine/guest.h"
#include "engine/sink.h"
#include "engine/xen/logdirty.h"
#include "sched/precopy.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_EVERY_NS (200 * NS_PER_MS)

_Static_assert(ROUND_WATCH_NS == PRECOPY_POLL_NS, "sinks tell of a round as often as it is polled");

/* A page that is stuck may be so only for a moment (a grant mapped for one request, a frame that
 * changes hands): it is tried again this often, with such pauses, before the migration gives up. */
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
    uint64_t *found;  /* what the last CLEAN found, or all those of a watch */
    uint64_t *before; /* what the one before found */
    uint64_t *kept;   /* not in this round, but in the next one */
    uint64_t kept_pages;
    uint64_t *again;     /* as the last PEEK found: dirty again in this round. Lanes read it.
                          * Between rounds: what a sample of the guest found */
    bool again_is_clear; /* as it is until the first PEEK of a round */

    /* The current round, or the last one. */
    struct round_report round;
    struct round_counts counts;
    int64_t round_start_ns;
    uint64_t round_start_bytes;
    bool live_round;     /* of the round loop, which is told how it goes */
    int64_t progress_ns; /* when progress was last reported */

    struct precopy precopy; /* the round loop; its decision is the last one made */
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
        .wire_bytes = s->sink->ops->wire_bytes(s->sink),
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
        .wire_bytes = s->sink->ops->wire_bytes(s->sink) - s->round_start_bytes,
        .kept_pages = s->kept_pages,
        .deferred_pages = counts->deferred_pages,
        .stuck_pages = counts->stuck_pages,
    };
}

/* Called by the sink while a round runs. */
static void watch_round(void *arg, const struct round_counts *counts)
{
    struct source *s = arg;

    if (s->live_round) {
        const struct round_stats so_far = round_stats_of(s, counts);

        precopy_poll(&s->precopy, &so_far);
    }
    if (now_ns() - s->progress_ns >= PROGRESS_EVERY_NS)
        report_progress(s, counts);
}

static int open_sink(struct source *s, struct err *e)
{
    const struct sink_parts parts = {s->p, s->guest, &s->maps, {watch_round, s}};

    return s->p->trunk ? sink_lanes_create(&parts, &s->sink, e)
                       : sink_plain_create(&parts, &s->sink, e);
}

static int allocate_bitmaps(struct source *s, struct err *e)
{
    uint64_t **const maps[] = {&s->bitmap, &s->found, &s->before, &s->kept, &s->again};

    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        *maps[i] = bitmap_alloc(s->guest->frames);
        if (!*maps[i])
            return err_set(e, ERR_LOCAL, ENOMEM, "no memory for bitmaps of the guest");
    }
    return frame_maps_init(&s->maps, s->guest->frames, e);
}

/* From here on everything that the guest or its device model writes is noted. */
static int start_logging(struct source *s, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const bool pv = !s->guest->dom.hvm;
    int rc = logdirty_open(&s->xen, s->p->domid, pv, s->guest->frames, &s->log, e);

    if (!rc)
        rc = s->p->report->logging(s->p->report->arg, e);
    if (!rc)
        rc = s->log->ops->enable(s->log, e);
    if (!rc && !pv) {
        rc = t->switch_qemu_logdirty(t->arg, true, e);
        s->qemu_logs = !rc;
    }
    s->precopy.logged_ns = now_ns();
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

static void begin_round(struct source *s)
{
    s->round_start_ns = s->progress_ns = now_ns();
    s->round_start_bytes = s->sink->ops->wire_bytes(s->sink);
    if (!s->again_is_clear)
        memset(s->again, 0, bitmap_words(s->guest->frames) * sizeof(*s->again));
    s->again_is_clear = true;
}

/* Send what s->bitmap says, fill s->round but for what the next CLEAN will say. plan: of the round
 * loop; NULL: none of its rounds. */
static int send_round(
    struct source *s, const struct round_plan *plan, bool suspended, struct err *e)
{
    const struct round_counts *const counts = &s->counts;
    const struct round_job job = {
        .bitmap = s->bitmap,
        .skip = plan && plan->skip_redirtied ? s->again : NULL,
        .pages = bitmap_count(s->bitmap, s->guest->frames),
        .round = ++s->total->rounds,
        .suspended = suspended,
        .last = suspended,
    };

    s->round = (struct round_report){.round = job.round, .last = suspended, .pages = job.pages};
    s->live_round = plan != NULL;
    begin_round(s);

    int rc = s->sink->ops->round(s->sink, &job, &s->counts, e);

    if (!rc)
        rc = s->guest->ops->check(s->guest, e);
    s->round.data_pages = counts->data_pages;
    s->round.zero_pages = counts->zero_pages;
    s->round.skipped_pages = counts->skipped_pages;
    s->round.kept_pages = s->kept_pages;
    s->round.deferred_pages = counts->deferred_pages;
    s->round.duration_ns = now_ns() - s->round_start_ns;
    s->round.wire_bytes = s->sink->ops->wire_bytes(s->sink) - s->round_start_bytes;
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

/* Pages that the guest keeps rewriting would only be sent in vain. */
static void keep_repeats(struct source *s, const struct round_plan *plan)
{
    const uint64_t frames = s->guest->frames;

    if (s->kept_pages)
        memset(s->kept, 0, bitmap_words(frames) * sizeof(*s->kept));
    s->kept_pages = 0;
    if (plan->keep_repeats) {
        for (size_t i = 0; i < bitmap_words(frames); i++)
            s->kept[i] = s->found[i] & s->before[i];
        bitmap_and_not(s->bitmap, s->kept, frames);
        s->kept_pages = bitmap_count(s->kept, frames);
    }
}

static int live_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct source *s = arg;

    keep_repeats(s, plan);
    frame_maps_join(&s->maps, s->guest, s->bitmap);

    const int rc = send_round(s, plan, false, e);

    *stats = round_stats_of(s, &s->counts);
    return rc;
}

static bool live_peek(void *arg, uint64_t *dirty_pages)
{
    struct source *s = arg;
    struct err e = ERR_INIT;

    s->again_is_clear = false;
    if (s->log->ops->peek(s->log, s->again, &e)) {
        log_debug(s->p->log, "%s", e.text);
        return false;
    }
    *dirty_pages = bitmap_count(s->again, s->guest->frames);
    return true;
}

/* Nothing is sent meanwhile. */
static int live_wait(void *arg, int64_t until_ns, struct err *e)
{
    struct source *s = arg;

    while (!deadline_passed(until_ns)) {
        if (cancel_is_fired(s->p->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        sleep_until_ns(deadline_earlier(until_ns, deadline_in(ROUND_WATCH_NS)));
        if (now_ns() - s->progress_ns >= PROGRESS_EVERY_NS)
            report_progress(s, &s->counts);
    }
    return 0;
}

static int live_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    struct source *s = arg;

    return domain_check_running(&s->xen, s->p->domid, cpu_ns, e);
}

/*
 * A CLEAN has been read into found: make the bitmap of the next round what it is to be, and count.
 * A huge guest's bitmaps are most of what a round of few pages costs: one pass over them, and
 * nothing is written where nothing is.
 */
static void sort_found(struct source *s, struct clean_stats *stats)
{
    const uint64_t frames = s->guest->frames;
    const size_t words = bitmap_words(frames);

    if (frames % 64)
        s->found[words - 1] &= (1ull << (frames % 64)) - 1;
    for (size_t i = 0; i < words; i++) {
        if (!(s->found[i] | s->kept[i] | s->bitmap[i]))
            continue;
        s->bitmap[i] = s->found[i] | s->kept[i];
        stats->dirty_pages += (uint64_t)__builtin_popcountll(s->found[i]);
        stats->left_pages += (uint64_t)__builtin_popcountll(s->bitmap[i]);
    }
}

/* A CLEAN comes: what the last one found becomes what the one before found. */
static void swap_found(struct source *s)
{
    uint64_t *const last_found = s->found;

    s->found = s->before;
    s->before = last_found;
}

/* What was dirtied since the last CLEAN, and what was kept, becomes the next round. */
static int clean_after_round(struct source *s, struct clean_stats *stats, struct err *e)
{
    swap_found(s);

    const int rc = s->log->ops->read(s->log, s->found, false, e);

    stats->cleared_ns = now_ns();
    if (!rc)
        sort_found(s, stats);
    return rc;
}

/* What was dirtied since the last CLEAN joins the next round. */
static int clean_for_sample(struct source *s, struct clean_stats *stats, struct err *e)
{
    const uint64_t frames = s->guest->frames;

    s->again_is_clear = false;

    const int rc = s->log->ops->read(s->log, s->again, false, e);

    stats->cleared_ns = now_ns();
    if (rc)
        return rc;
    bitmap_or(s->found, s->again, frames);
    bitmap_or(s->bitmap, s->again, frames);
    stats->dirty_pages = bitmap_count(s->again, frames);
    stats->left_pages = bitmap_count(s->bitmap, frames);
    return 0;
}

static int live_clean(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct source *s = arg;

    *stats = (struct clean_stats){0};
    if (after == CLEAN_AFTER_ROUND)
        return clean_after_round(s, stats, e);
    if (after == CLEAN_FIRST_SAMPLE) {
        swap_found(s);
        memset(s->found, 0, bitmap_words(s->guest->frames) * sizeof(*s->found));
    }
    return clean_for_sample(s, stats, e);
}

static int live_cap(void *arg, unsigned percent, struct err *e)
{
    const struct source_toolstack *t = ((struct source *)arg)->p->toolstack;

    return t->cap(t->arg, percent, e);
}

static void report_decision(const struct source *s)
{
    const struct precopy *p = &s->precopy;
    struct decision_report r = {
        .round = s->round.round,
        .action = p->decision.action,
        .reason = p->decision.reason,
        .now = p->decision.now,
        .next = p->decision.next,
    };

    decision_words(&p->stats, &p->limits, &p->decision, r.words);
    s->p->report->decision(s->p->report->arg, &r);
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
    report_decision(s);
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
 * The round before the suspend left pages that a suspended guest would not let us read either:
 * tables that name frames of another domain. Make sure of it while the guest still runs, because
 * after the suspend there is no way but to fail.
 */
static int settle_stuck(struct source *s, struct err *e)
{
    const struct round_counts *const counts = &s->counts;
    uint64_t *const last = s->bitmap;
    int rc = 0;

    for (int i = 0; i < SETTLE_TRIES && counts->stuck_pages && !rc; i++) {
        sleep_until_ns(deadline_in(SETTLE_PAUSE_NS));
        memset(s->found, 0, bitmap_words(s->guest->frames) * sizeof(*s->found));
        frame_maps_join(&s->maps, s->guest, s->found);
        s->bitmap = s->found;
        rc = send_round(s, NULL, false, e);
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

/* Rounds while the guest runs, until the scheduler says that it has to stand still. */
static int send_live_rounds(struct source *s, struct err *e)
{
    struct precopy *p = &s->precopy;

    p->ops = &live_ops;
    p->arg = s;
    p->begun_ns = s->start_ns;
    p->limits = s->p->limits;
    p->costs = (struct decide_costs){
        .suspend_ns = s->p->suspend_estimate_ns,
        .state_ns = SOURCE_STATE_ESTIMATE_NS,
        .receiver_ns = s->p->receiver_estimate_ns,
    };
    bitmap_fill(s->bitmap, s->guest->frames);

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
    int rc = collect_last_round(s, e);

    if (!rc)
        rc = send_round(s, NULL, true, e);
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
    int rc = s->sink->ops->verify(s->sink, e);

    bitmap_fill(s->bitmap, s->guest->frames);
    if (!rc)
        rc = send_round(s, NULL, true, e);
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
        if (s->sink->ops->profile)
            s->sink->ops->profile(s->sink, s->total);
        s->sink->ops->close(s->sink);
    }
    frame_maps_destroy(&s->maps);
    free(s->bitmap);
    free(s->found);
    free(s->before);
    free(s->kept);
    free(s->again);
    if (s->guest)
        s->guest->ops->close(s->guest);
    xen_close(&s->xen);
    s->total->total_ns = now_ns() - s->start_ns;
}

int source_run(const struct source_params *p, struct total_report *total, struct err *e)
{
    struct source s = {.p = p, .total = total, .start_ns = now_ns(), .again_is_clear = true};

    *total = (struct total_report){0};

    int rc = set_up(&s, e);

    if (!rc)
        rc = send_head(&s, e);
    if (!rc && p->live)
        rc = send_live_rounds(&s, e);
    if (!rc)
        rc = suspend_guest(&s, p->live ? reason_name(s.precopy.decision.reason) : "offline", e);
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
