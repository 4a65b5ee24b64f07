/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/pace.h"

#include "cmd/xmigrate/ui/events.h"

#include <string.h>

/* A guest that takes longer to suspend does not keep others from sending. */
#define ANSWER_NS (2 * NS_PER_S)

/* A helper that dies now is seen at the next turn. */
static void tell(const struct pace *p, int link_sock)
{
    const struct link_tune now = {
        .bandwidth_bits_per_s = p->job->bandwidth_bits_per_s,
        .max_downtime_ns = p->job->limits.max_downtime_ns,
        .on_stall = p->job->limits.on_stall,
    };
    struct err ignored = ERR_INIT;

    if (link_sock >= 0)
        link_send_tune(link_sock, &now, &ignored);
}

int pace_begin(struct pace *p, struct link_job *job, struct admin_socket *admin, struct err *e)
{
    const int rc = budget_join(&p->budget, job->bandwidth_bits_per_s, e);

    p->job = job;
    p->admin = admin;
    job->bandwidth_bits_per_s = budget_bits_per_s(&p->budget);
    admin_note_share(admin, p->budget.share_bits_per_s);
    return rc;
}

void pace_tune(struct pace *p, int link_sock)
{
    struct link_tune wanted;

    if (!admin_take_tune(p->admin, &wanted))
        return;
    p->budget.own_bits_per_s = wanted.bandwidth_bits_per_s;
    p->job->bandwidth_bits_per_s = budget_bits_per_s(&p->budget);
    p->job->limits.max_downtime_ns = wanted.max_downtime_ns;
    p->job->limits.on_stall = wanted.on_stall;
    tell(p, link_sock);
}

void pace_look(struct pace *p, bool first, int64_t asked_ns, int link_sock)
{
    const bool in_vain = asked_ns && deadline_passed(asked_ns + ANSWER_NS);
    const uint64_t before = p->budget.share_bits_per_s;

    budget_come_first(&p->budget, first && !in_vain);
    budget_look(&p->budget);
    if (p->budget.share_bits_per_s != before)
        admin_note_share(p->admin, p->budget.share_bits_per_s);
    if (p->job->bandwidth_bits_per_s == budget_bits_per_s(&p->budget))
        return;
    p->job->bandwidth_bits_per_s = budget_bits_per_s(&p->budget);
    tell(p, link_sock);
}

void pace_note(struct pace *p, const json_t *event)
{
    struct progress_report r;

    if (strcmp(event_name(event), "progress") || !event_read_progress(event, &r))
        return;
    if (r.watch_left_ns)
        budget_note_watching(&p->budget);
    else
        budget_note_sent(&p->budget, r.wire_bytes);
}

void pace_end(struct pace *p)
{
    budget_leave(&p->budget);
    admin_note_share(p->admin, 0);
}
