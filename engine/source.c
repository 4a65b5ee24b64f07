#include "engine/source.h"

#include "base/bitmap.h"
#include "base/deadline.h"
#include "engine/batch.h"
#include "engine/guest/save.h"
#include "engine/out/out.h"
#include "engine/xen/logdirty.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A PEEK stops the guest for as long as a bitmap takes to copy: not more often than every so many
 * bytes sent, and never more than this share of the guest's time. */
#define PEEK_LEAST_BYTES  (4 << 20)
#define PEEK_COST_FACTOR  50
#define PROGRESS_EVERY_NS (200 * NS_PER_MS)

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
    struct out *sink;
    struct dirtylog *log;
    bool qemu_logs;

    uint64_t *bitmap; /* of the round that runs or comes next */
    uint64_t *found;  /* what the last CLEAN found, or all those of a watch */
    uint64_t *before; /* what the one before found */
    uint64_t *kept;   /* not in this round, but in the next one */
    uint64_t kept_pages;
    uint64_t *again;     /* as the last PEEK found: dirty again in this round. Lanes read it.
                          * Between rounds: what a look at the guest found */
    bool again_is_clear; /* as it is until the first PEEK of a round */
    bool stuck; /* the last round met pages that a suspend would not put right: none is left out */

    /* The round that runs. */
    struct round_report round;
    int64_t round_start_ns;
    uint64_t round_start_bytes;

    /* While it runs: when and where the last look at it was taken. */
    int64_t progress_ns, speed_ns, peek_ns;
    uint64_t speed_pages, speed_absent_pages, peek_bytes;
    int64_t peek_cost_ns;

    struct seen seen;
    int64_t last_clean_ns; /* when the last CLEAN (or ENABLE) returned */
    int64_t cpu_look_ns;   /* when the guest's processor time was looked at, */
    uint64_t cpu_ns;       /* what it was, */
    double cpu_percent;    /* and how much of one processor it had used since the look before */
    struct decision decision;
};

/* ---- setup ---- */

static void report_progress(struct source *s, const struct round_counts *counts)
{
    const int64_t spent_ns = now_ns() - s->round_start_ns;
    const bool watching = s->decision.action == ACT_WATCH;
    const struct progress_report r = {
        .round = s->round.round,
        .round_pages = s->round.pages,
        .round_done_pages = counts->done_pages,
        .round_sent_pages = counts->data_pages + counts->zero_pages,
        .wire_bytes = s->sink->ops->wire_bytes(s->sink),
        .send_pages_per_s = watching
                                ? 0
                                : pages_per_s(counts->data_pages + counts->zero_pages, spent_ns),
        .dirty_pages_per_s = s->seen.dirty_pages_per_s,
        .predicted_downtime_ns = s->decision.now.whole_ns,
    };

    s->p->report->progress(s->p->report->arg, &r);
    s->progress_ns = now_ns();
}

/* Marks for zero pages fill the first round and would flatter. Without them a link would seem to
 * stand still where nearly all is zero: there one counts as an eighth of a page, which is about
 * what it costs. What is dirtied later is like what will be. */
static void see_speed(struct source *s, const struct round_counts *counts)
{
    const uint64_t zero_pages = s->seen.rounds ? counts->zero_pages : counts->zero_pages / 8;
    const uint64_t pages = counts->data_pages + zero_pages;
    const int64_t at_ns = now_ns();

    seen_speed(&s->seen, pages - s->speed_pages, counts->absent_pages - s->speed_absent_pages,
        at_ns - s->speed_ns);
    s->speed_ns = at_ns;
    s->speed_pages = pages;
    s->speed_absent_pages = counts->absent_pages;
}

/* How much is dirty by now. Whoever cannot be told waits for the CLEAN: not a reason to fail. */
static bool look_at_dirty(struct source *s, uint64_t *dirty_pages)
{
    struct err e = ERR_INIT;
    const int64_t before_ns = now_ns();

    s->again_is_clear = false;

    const int rc = s->log->ops->peek(s->log, s->again, &e);

    s->peek_ns = now_ns();
    s->peek_bytes = s->sink->ops->wire_bytes(s->sink);
    if (rc) {
        log_debug(s->p->log, "%s", e.text);
        return false;
    }
    s->peek_cost_ns = s->peek_ns - before_ns;
    *dirty_pages = bitmap_count(s->again, s->guest->frames);
    seen_peek(&s->seen, s->peek_ns - s->last_clean_ns, *dirty_pages);
    return true;
}

static bool peek_is_due(const struct source *s)
{
    return now_ns() - s->peek_ns >= PEEK_COST_FACTOR * s->peek_cost_ns;
}

static void watch_round(void *arg, const struct round_counts *counts)
{
    struct source *s = arg;
    uint64_t dirty_pages;

    if (s->log && !s->round.last && peek_is_due(s) &&
        s->sink->ops->wire_bytes(s->sink) - s->peek_bytes >= PEEK_LEAST_BYTES)
        look_at_dirty(s, &dirty_pages);
    if (now_ns() - s->progress_ns < PROGRESS_EVERY_NS)
        return;
    see_speed(s, counts);
    report_progress(s, counts);
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
    if (!rc && s->p->live)
        rc = start_logging(s, e);
    return rc;
}

/* ---- head ---- */

static int send_head(struct source *s, struct err *e)
{
    int rc = s->sink->ops->begin(s->sink, s->guest, &s->maps, e);

    if (!rc)
        rc = s->guest->ops->send_static(s->guest, s->sink, e);
    if (!rc)
        rc = s->sink->ops->state(s->sink, V3_STATIC_DATA_END, NULL, 0, e);
    if (!rc)
        rc = s->guest->ops->send_memory_head(s->guest, s->sink, e);
    return rc;
}

/* ---- rounds ---- */

static void begin_looking(struct source *s)
{
    s->round_start_ns = s->progress_ns = s->speed_ns = s->peek_ns = now_ns();
    s->round_start_bytes = s->peek_bytes = s->sink->ops->wire_bytes(s->sink);
    s->speed_pages = s->speed_absent_pages = 0;
    if (!s->again_is_clear)
        memset(s->again, 0, bitmap_words(s->guest->frames) * sizeof(*s->again));
    s->again_is_clear = true;
}

/* Send what s->bitmap says, fill s->round but for what the next CLEAN will say. */
static int send_round(struct source *s, bool suspended, struct round_counts *counts, struct err *e)
{
    const struct round_job job = {
        .bitmap = s->bitmap,
        .skip = s->log && !suspended && !s->stuck ? s->again : NULL,
        .pages = bitmap_count(s->bitmap, s->guest->frames),
        .round = ++s->total->rounds,
        .suspended = suspended,
        .last = suspended,
        .hook = {watch_round, s},
    };

    s->round = (struct round_report){.round = job.round, .last = suspended, .pages = job.pages};
    begin_looking(s);

    int rc = s->sink->ops->round(s->sink, &job, counts, e);

    if (!rc)
        rc = s->guest->ops->check(s->guest, e);
    if (!rc && !suspended)
        see_speed(s, counts);
    s->stuck = counts->stuck_pages > 0;
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

/* The guest runs, and nothing is sent. */
static int wait_until(
    struct source *s, int64_t until_ns, const struct round_counts *counts, struct err *e)
{
    while (!deadline_passed(until_ns)) {
        if (cancel_is_fired(s->p->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        sleep_until_ns(deadline_earlier(until_ns, deadline_in(ROUND_WATCH_NS)));
        if (now_ns() - s->progress_ns >= PROGRESS_EVERY_NS)
            report_progress(s, counts);
    }
    return 0;
}

/* A guest that was slowed down has to be seen for a while, even if there is little to send. */
static int fill_round(struct source *s, const struct round_counts *counts, struct err *e)
{
    const int64_t until_ns = s->round_start_ns + s->decision.least_round_ns;
    uint64_t dirty_pages;
    int rc = 0;

    while (!rc && !deadline_passed(until_ns)) {
        rc = wait_until(s, deadline_earlier(until_ns, deadline_in(ROUND_WATCH_NS)), counts, e);
        if (!rc && peek_is_due(s))
            look_at_dirty(s, &dirty_pages);
    }
    return rc;
}

/* It has to run still; and how much of a processor does it use? */
static int look_at_guest(struct source *s, struct err *e)
{
    const uint64_t before_ns = s->cpu_ns;
    const int64_t at_ns = now_ns(), span_ns = at_ns - s->cpu_look_ns;
    const int rc = domain_check_running(&s->xen, s->p->domid, &s->cpu_ns, e);

    if (!rc && s->cpu_look_ns && span_ns > 0 && s->cpu_ns >= before_ns)
        s->cpu_percent = cpu_used_percent(s->cpu_ns - before_ns, span_ns);
    s->cpu_look_ns = at_ns;
    return rc;
}

/*
 * A CLEAN has been read into found: make the bitmap of the next round what it is to be, and count.
 * A huge guest's bitmaps are most of what a round of few pages costs: one pass over them, and
 * nothing is written where nothing is.
 */
static void sort_found(struct source *s, struct seen_round *r)
{
    const uint64_t frames = s->guest->frames;
    const size_t words = bitmap_words(frames);

    if (frames % 64)
        s->found[words - 1] &= (1ull << (frames % 64)) - 1;
    for (size_t i = 0; i < words; i++) {
        if (!(s->found[i] | s->kept[i] | s->bitmap[i]))
            continue;
        s->bitmap[i] = s->found[i] | s->kept[i];
        r->dirty_pages += (uint64_t)__builtin_popcountll(s->found[i]);
        r->left_pages += (uint64_t)__builtin_popcountll(s->bitmap[i]);
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
static int read_dirty(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns(), window_from_ns = s->last_clean_ns;

    swap_found(s);

    const int rc = s->log->ops->read(s->log, s->found, false, e);

    if (rc)
        return rc;
    s->last_clean_ns = now_ns();

    struct seen_round r = {
        .elapsed_ns = s->last_clean_ns - s->start_ns,
        .window_ns = s->last_clean_ns - window_from_ns,
        .clean_ns = s->last_clean_ns - before_ns,
        .sent_pages = s->round.data_pages + s->round.zero_pages,
        .wire_bytes = s->round.wire_bytes,
        .left_pages = s->round.deferred_pages,
        .kept_pages = s->kept_pages,
        .cpu_percent = s->cpu_percent,
    };

    sort_found(s, &r);
    seen_round(&s->seen, &r);
    s->round.clean_ns = r.clean_ns;
    s->round.dirty_pages = r.dirty_pages;
    s->round.dirty_pages_per_s = s->seen.dirty_pages_per_s;
    return 0;
}

/* What was dirtied since the last CLEAN joins the next round. */
static int read_look(struct source *s, struct err *e)
{
    const uint64_t frames = s->guest->frames;
    const int64_t before_ns = now_ns(), window_from_ns = s->last_clean_ns;

    s->again_is_clear = false;

    const int rc = s->log->ops->read(s->log, s->again, false, e);

    if (rc)
        return rc;
    s->last_clean_ns = now_ns();
    bitmap_or(s->found, s->again, frames);
    bitmap_or(s->bitmap, s->again, frames);

    const struct seen_look l = {
        .elapsed_ns = s->last_clean_ns - s->start_ns,
        .window_ns = s->last_clean_ns - window_from_ns,
        .clean_ns = s->last_clean_ns - before_ns,
        .dirty_pages = bitmap_count(s->again, frames),
        .left_pages = s->round.deferred_pages + bitmap_count(s->bitmap, frames),
    };

    seen_look(&s->seen, &l);
    return 0;
}

static void report_decision(const struct source *s)
{
    struct decision_report r = {
        .round = s->round.round,
        .action = s->decision.action,
        .reason = s->decision.reason,
        .now = s->decision.now,
        .next = s->decision.next,
    };

    decision_words(&s->seen, &s->p->limits, &s->decision, r.words);
    s->p->report->decision(s->p->report->arg, &r);
}

/* What was seen last, a round or a look. */
static void judge(struct source *s)
{
    const struct decide_costs costs = {
        .suspend_ns = s->p->suspend_estimate_ns,
        .state_ns = SOURCE_STATE_ESTIMATE_NS,
        .receiver_ns = s->p->receiver_estimate_ns,
    };

    s->decision = decide(&s->seen, &s->p->limits, &costs);
    seen_stall(&s->seen, s->decision.stalled);
}

/* Rounds do not help: let the guest run, and see whether it does something else. */
static int watch_guest(struct source *s, const struct round_counts *counts, struct err *e)
{
    int rc = 0;

    swap_found(s);
    memset(s->found, 0, bitmap_words(s->guest->frames) * sizeof(*s->found));
    while (!rc && s->decision.action == ACT_WATCH) {
        rc = wait_until(s, s->last_clean_ns + s->decision.look_ns, counts, e);
        if (!rc)
            rc = look_at_guest(s, e);
        if (!rc)
            rc = read_look(s, e);
        if (!rc)
            judge(s);
    }
    if (!rc)
        report_decision(s);
    return rc;
}

static int slow_down(struct source *s, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;

    seen_slow_down(&s->seen, s->decision.cap_percent);
    return t->cap(t->arg, s->decision.cap_percent, e);
}

/* What the decision says of the next round: pages that would only be sent in vain are kept. */
static void plan_round(struct source *s)
{
    const uint64_t frames = s->guest->frames;

    if (s->kept_pages)
        memset(s->kept, 0, bitmap_words(frames) * sizeof(*s->kept));
    s->kept_pages = 0;
    if (s->decision.leave_repeats && !s->stuck) {
        for (size_t i = 0; i < bitmap_words(frames); i++)
            s->kept[i] = s->found[i] & s->before[i];
        bitmap_and_not(s->bitmap, s->kept, frames);
        s->kept_pages = bitmap_count(s->kept, frames);
    }
    frame_maps_join(&s->maps, s->guest, s->bitmap);
}

static int give_up(const struct source *s, struct err *e)
{
    char words[DECISION_WORDS_BYTES];

    decision_words(&s->seen, &s->p->limits, &s->decision, words);
    return err_set(e, ERR_GUEST, EBUSY, "%s", words);
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

/* Rounds while the guest runs, until the scheduler says that it has to stand still. */
static int send_live_rounds(struct source *s, struct err *e)
{
    struct round_counts counts;
    int rc = look_at_guest(s, e);

    bitmap_fill(s->bitmap, s->guest->frames);
    for (;;) {
        if (!rc)
            rc = send_round(s, false, &counts, e);
        if (!rc)
            rc = fill_round(s, &counts, e);
        if (!rc)
            rc = look_at_guest(s, e);
        if (!rc)
            rc = read_dirty(s, e);
        if (rc)
            return rc;
        judge(s);
        s->round.predicted_downtime_ns = s->decision.now.whole_ns;
        report_round(s);
        report_decision(s);
        if (s->decision.action == ACT_WATCH)
            rc = watch_guest(s, &counts, e);
        if (rc)
            return rc;
        if (s->decision.action == ACT_GIVE_UP)
            return give_up(s, e);
        if (s->decision.action == ACT_SUSPEND)
            break;
        if (s->decision.action == ACT_THROTTLE)
            rc = slow_down(s, e);
        plan_round(s);
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
    s->total->predicted = s->decision.now;
    r->suspending(r->arg, reason, s->decision.now.whole_ns);

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
    const int rc = s->guest->ops->send_state(s->guest, s->sink, e);

    s->total->downtime.state_ns = now_ns() - before_ns;
    return rc;
}

static int hand_over(struct source *s, struct err *e)
{
    struct arrival arrival;
    const int rc = s->sink->ops->commit(
        s->sink, COMMIT_HANDOVER, s->p->result_limit_ns, &arrival, e);

    s->total->downtime.receiver_ns = rc ? 0 : arrival.finish_ns;
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
    s->total->wire_bytes = s->sink->ops->wire_bytes(s->sink);
    if (s->sink->ops->profile)
        s->sink->ops->profile(s->sink, s->total);
    s->sink->ops->close(s->sink);
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
    struct source s = {
        .p = p, .total = total, .sink = p->out, .start_ns = now_ns(), .again_is_clear = true};

    *total = (struct total_report){0};

    int rc = set_up(&s, e);

    if (!rc)
        rc = send_head(&s, e);
    if (!rc && p->live)
        rc = send_live_rounds(&s, e);
    if (!rc)
        rc = suspend_guest(&s, p->live ? reason_name(s.decision.reason) : "offline", e);
    if (!rc)
        rc = send_last_round(&s, e);
    if (!rc && p->verify && s.sink->ops->verify)
        rc = send_verify_round(&s, e);
    if (!rc)
        rc = send_state(&s, e);
    if (!rc)
        rc = hand_over(&s, e);
    clean_up(&s);
    return rc;
}
