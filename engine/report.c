/* SPDX-License-Identifier: MIT */
#include "engine/report.h"

#include "sched/precopy.h"

void report_precopy_decision(
    const struct report_ops *report, unsigned round, const struct precopy *p)
{
    struct decision_report r = {
        .round = round,
        .action = p->decision.action,
        .reason = p->decision.reason,
        .now = p->decision.now,
        .next = p->decision.next,
    };

    decision_words(&p->stats, &p->limits, &p->decision, r.words);
    report->decision(report->arg, &r);
}
