/* SPDX-License-Identifier: MIT */
#include "engine/prepare.h"

#include "base/deadline.h"
#include "engine/out/out.h"

#include <errno.h>

int prepare_begin(struct preparation *r, struct err *e)
{
    const struct guest_ops *g = r->guest->ops;

    r->wanted = r->wanted && g->send_ahead && r->out->ops->prepare;
    return r->wanted ? g->send_ahead(r->guest, r->out, e) : 0;
}

int prepare_ask(struct preparation *r, struct err *e)
{
    if (!r->wanted || r->limit_ns)
        return 0;
    r->limit_ns = deadline_in(r->span_ns);
    log_debug(r->log, "the destination is told to build the rest of the domain");
    return r->out->ops->prepare(r->out, e);
}

bool prepare_is_done(const struct preparation *r)
{
    return !r->wanted || r->is_done(r->arg);
}

int prepare_check_time(const struct preparation *r, struct err *e)
{
    if (!deadline_passed(r->limit_ns))
        return 0;
    return err_set(e, ERR_PEER, ETIMEDOUT,
        "the destination did not get the domain's devices ready in time, so the guest was not "
        "suspended");
}

int prepare_check_unchanged(const struct preparation *r, struct err *e)
{
    const struct domain *then = &r->guest->dom;
    struct domain now;
    int rc = 0;

    if (r->wanted)
        rc = domain_read(r->guest->xen, then->domid, &now, e);
    if (rc || !r->wanted)
        return rc;
    if (now.max_pages == then->max_pages && now.max_vcpu_id == then->max_vcpu_id)
        return 0;
    return err_set(e, ERR_GUEST, ESTALE,
        "domain %u was given other limits of memory or vCPUs after the destination was prepared "
        "for "
        "it",
        then->domid);
}
