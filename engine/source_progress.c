/* SPDX-License-Identifier: MIT */
/* What the source's story reports of its rounds. */
#include "engine/round_span.h"
#include "engine/source.h"
#include "engine/source_private.h"

#include "base/deadline.h"
#include "engine/guest/common.h"

#define PROGRESS_EVERY_NS (200 * NS_PER_MS)

/* How far the round is. */
static void report_round_so_far(
    const struct source *s, const struct round_counts *counts, struct progress_report *r)
{
    const struct round_span span = round_span_of(counts, s->round.pages, s->guest->present_pages);

    r->round_pages = span.pages;
    r->round_done_pages = span.done_pages;
    r->round_sent_pages = span.sent_pages;
    r->round_aux_bytes = counts->aux_bytes;
    r->send_pages_per_s = pages_per_s(
        counts->data_pages + counts->zero_pages + aux_pages(counts->aux_bytes),
        now_ns() - s->round_start_ns);
}

/* Nothing is sent meanwhile, and what is left grows. */
static void report_watching(const struct source *s, struct progress_report *r)
{
    const struct precopy *p = &s->precopy;
    const int64_t left_ns = p->logged_ns + p->decision.observe_left_ns - now_ns();

    r->round_pages = p->stats.last.left_pages;
    r->watch_left_ns = left_ns > 0 ? left_ns : 1;
}

void source_report_progress(struct source *s, const struct round_counts *counts)
{
    if (now_ns() - s->progress_ns < PROGRESS_EVERY_NS)
        return;

    struct progress_report r = {
        .round = s->round.round,
        .wire_bytes = s->out->ops->wire_bytes(s->out),
        .dirty_pages_per_s = s->precopy.stats.dirty_pages_per_s,
        .predicted_downtime_ns = s->precopy.decision.now.whole_ns,
    };

    if (s->precopy.decision.action == ACT_OBSERVE)
        report_watching(s, &r);
    else
        report_round_so_far(s, counts, &r);
    s->p->report->progress(s->p->report->arg, &r);
    s->progress_ns = now_ns();
}

void source_report_round(struct source *s)
{
    s->p->report->round(s->p->report->arg, &s->round);
}
