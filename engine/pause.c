/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"
#include "engine/source.h"
#include "engine/source_private.h"
#include "engine/xen/suspend.h"

#include <errno.h>

/* While the guest suspends what is left is sent, in parts that take so long, if it is at least one
 * of them. */
#define PART_NS (10 * NS_PER_MS)
enum { LEAST_PART_PAGES = 64 };

/* ---- while it suspends ---- */

/* A part of what is left, as much as goes within PART_NS. */
static uint64_t part_pages(const struct source *s)
{
    const double pages = s->round.send_pages_per_s * PART_NS / NS_PER_S;

    return pages > LEAST_PART_PAGES ? (uint64_t)pages : LEAST_PART_PAGES;
}

/* Linux takes its time over suspending, and writes to little once it has stopped its processes:
 * what is left then need not be sent in the pause. Part by part, because the pause begins any
 * moment. */
static int send_part(void *arg, int64_t *next_ns, struct err *e)
{
    struct source *s = arg;
    const struct pending_part part = pending_begin_part(&s->pending, part_pages(s));
    const int rc = part.pages ? source_send_part(s, &part, NULL, false, e) : 0;

    *next_ns = part.pages ? now_ns() : DEADLINE_NEVER;
    if (part.pages && !rc)
        source_report_round(s);
    return rc;
}

/* ---- the pause ---- */

int source_suspend_guest(struct source *s, const char *reason, struct err *e)
{
    const struct source_toolstack *t = s->p->toolstack;
    const struct report_ops *r = s->p->report;
    const struct suspend_work work = {send_part, s};
    const int64_t asked_ns = now_ns();

    if (cancel_is_fired(s->p->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    s->total->predicted = s->precopy.decision.now;
    r->suspending(r->arg, reason, s->precopy.decision.now.whole_ns);
    drain_suspending(s->drain);

    const bool worth = s->p->live && s->precopy.decision.now.pages_ns >= PART_NS;
    int rc = t->suspend(t->arg, worth ? &work : NULL, e);

    if (!rc)
        rc = domain_check_suspended(&s->xen, s->p->domid, e);
    if (rc)
        return rc;
    drain_suspended(s->drain);
    s->total->downtime.suspend_ns = now_ns() - asked_ns;
    r->suspended(r->arg);
    return 0;
}

int source_send_last_round(struct source *s, struct err *e)
{
    const int64_t before_ns = now_ns();
    int rc = pending_collect_last(&s->pending, e);
    const int64_t clean_ns = now_ns();

    if (!rc)
        rc = source_send_bitmap(s, s->pending.round, NULL, true, e);
    if (rc)
        return rc;
    s->total->downtime.clean_ns = clean_ns - before_ns;
    s->total->downtime.last_round_ns = now_ns() - clean_ns;
    s->is_untold = true;
    return 0;
}

/* People can wait for it, and the guest cannot. */
static void report_last_round(struct source *s)
{
    if (s->is_untold)
        source_report_round(s);
    s->is_untold = false;
}

int source_send_verify_round(struct source *s, struct err *e)
{
    int rc = s->out->ops->verify(s->out, e);

    report_last_round(s);
    pending_fill(&s->pending);
    s->pending.notes.source = NULL; /* what the receiver should have is to be sent, too */
    if (!rc)
        rc = source_send_bitmap(s, s->pending.round, NULL, true, e);
    if (!rc)
        source_report_round(s);
    return rc;
}

int source_send_state(struct source *s, struct err *e)
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

int source_hand_over(struct source *s, struct err *e)
{
    struct arrival arrival = {0};
    int rc = drain_is_cached(s->drain) ? await_disks(s, e) : 0;

    if (!rc && s->out->ops->end)
        rc = s->out->ops->end(s->out, e);
    if (!rc)
        rc = prepare_check_unchanged(&s->preparation, e);
    report_last_round(s);
    if (!rc)
        rc = s->out->ops->commit(s->out, COMMIT_HANDOVER, s->p->result_limit_ns, &arrival, e);
    s->total->downtime.receiver_ns = rc ? 0 : arrival.finish_ns;
    return rc ? rc : await_disks(s, e);
}
