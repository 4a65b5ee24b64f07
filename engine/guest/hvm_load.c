/*
 * HVM containers (PVH, and HVM as far as the container goes): frames are what they are at the
 * source; parameters and the vCPU context follow the pages.
 */
#include "engine/guest/load.h"

#include <errno.h>
#include <stdlib.h>
#include <xen/hvm/params.h>
#include <xenguest.h>

struct hvm_state {
    struct blob context;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    int param_count;
};

static int take(struct restore *r, uint32_t type, const void *body, size_t len_bytes, struct err *e)
{
    struct hvm_state *s = r->guest;
    int rc;

    switch (type) {
    case V3_HVM_CONTEXT:
        rc = v3_check_blob(type, len_bytes, e);
        return rc ? rc : blob_keep(&s->context, body, len_bytes, e);
    case V3_HVM_PARAMS:
        rc = v3_decode_hvm_params(body, len_bytes, s->params, e);
        if (rc < 0)
            return rc;
        s->param_count = rc;
        return 0;
    default:
        return err_set(
            e, ERR_PEER, EPROTO, "a %s record has no place in an HVM or PVH guest", v3_name(type));
    }
}

static int check_ready(struct restore *r, struct err *e)
{
    (void)r, (void)e;
    return 0;
}

/* Rings whose old contents must not be seen by what serves them here. */
static bool is_ring(uint64_t index)
{
    return index == HVM_PARAM_CONSOLE_PFN || index == HVM_PARAM_STORE_PFN ||
           index == HVM_PARAM_IOREQ_PFN || index == HVM_PARAM_BUFIOREQ_PFN;
}

static int set_param(struct restore *r, uint32_t index, uint64_t value, struct err *e)
{
    int rc;

    do {
        rc = xc_hvm_param_set(r->xen.xch, r->p->domid, index, value);
    } while (rc && errno == EINTR);
    if (rc)
        return err_sys(e, ERR_LOCAL, errno, "cannot set HVM parameter %u of domain %u to %#llx",
            index, r->p->domid, (unsigned long long)value);
    return 0;
}

static int set_params(struct restore *r, struct dest_result *result, struct err *e)
{
    const struct hvm_state *s = r->guest;

    for (int i = 0; i < s->param_count; i++) {
        const struct v3_hvm_param *param = &s->params[i];

        if (param->index == HVM_PARAM_PAE_ENABLED)
            continue; /* only old streams have it; Xen no longer does */
        if (param->index == HVM_PARAM_CONSOLE_PFN)
            result->console_gfn = param->value;
        if (param->index == HVM_PARAM_STORE_PFN)
            result->store_gfn = param->value;
        if (is_ring(param->index) && xc_clear_domain_page(r->xen.xch, r->p->domid, param->value))
            return err_sys(e, ERR_LOCAL, errno, "cannot clear the ring at frame %#llx of domain %u",
                (unsigned long long)param->value, r->p->domid);

        const int rc = set_param(r, (uint32_t)param->index, param->value, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int complete(struct restore *r, struct dest_result *result, struct err *e)
{
    struct hvm_state *s = r->guest;
    int rc = set_params(r, result, e);

    if (!s->context.data)
        return err_set(e, ERR_PEER, EPROTO, "the stream ended without HVM_CONTEXT");
    if (!rc)
        rc = set_param(r, HVM_PARAM_STORE_EVTCHN, r->p->store_evtchn, e);
    if (!rc)
        rc = set_param(r, HVM_PARAM_CONSOLE_EVTCHN, r->p->console_evtchn, e);
    if (rc)
        return rc;
    if (xc_domain_hvm_setcontext(
            r->xen.xch, r->p->domid, s->context.data, (uint32_t)s->context.len_bytes))
        return err_sys(
            e, ERR_LOCAL, errno, "Xen refused the HVM context of domain %u", r->p->domid);
    if (xc_dom_gnttab_seed(r->xen.xch, r->p->domid, true, result->console_gfn, result->store_gfn,
            r->p->console_domid, r->p->store_domid))
        return err_sys(
            e, ERR_LOCAL, errno, "cannot seed the grant table of domain %u", r->p->domid);
    return 0;
}

static void destroy(struct restore *r)
{
    struct hvm_state *s = r->guest;

    blob_free(&s->context);
    free(s);
}

static const struct restore_ops hvm_ops = {
    .take = take,
    .check_ready = check_ready,
    .complete = complete,
    .destroy = destroy,
};

int restore_hvm_init(struct restore *r, uint64_t frame_limit, struct err *e)
{
    struct hvm_state *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    r->guest = s;
    r->ops = &hvm_ops;
    return frames_init(&r->frames, r->p->domid, false, frame_limit, e);
}
