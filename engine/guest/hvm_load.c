/* SPDX-License-Identifier: MIT */
/*
 * HVM containers (PVH, and HVM as far as the container goes): frames are what they are at the
 * source; parameters and the vCPU context follow the pages.
 */
#include "engine/guest/hvm_load.h"

#include "engine/guest/common.h"
#include "engine/guest/hvm_params.h"
#include "engine/xen/build.h"
#include "engine/xen/hvm.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct hvm_state {
    struct blob context;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    int param_count;
};

/* Rings whose old contents must not be seen by what serves them here. */
static bool is_ring(uint64_t index)
{
    return index == HVM_PARAM_CONSOLE_PFN || index == HVM_PARAM_STORE_PFN ||
           index == HVM_PARAM_IOREQ_PFN || index == HVM_PARAM_BUFIOREQ_PFN;
}

static int note_ring(struct loader *l, const struct v3_hvm_param *param, struct err *e)
{
    struct frames *f = &l->frames;

    if (param->value >= f->frame_count)
        return err_set(e, ERR_PEER, EPROTO,
            "bad HVM_PARAMS record: a ring at %#" PRIx64 ", beyond the guest's last frame",
            param->value);
    if (f->foreign_count == FRAMES_MAX_FOREIGN)
        return err_set(e, ERR_PEER, EPROTO, "bad HVM_PARAMS record: too many rings");
    f->foreign[f->foreign_count++] = param->value;
    return 0;
}

static int load_params(struct loader *l, const void *body, size_t len_bytes, struct err *e)
{
    struct hvm_state *s = l->guest;
    const int count = v3_decode_hvm_params(body, len_bytes, s->params, e);

    l->frames.foreign_count = 0;
    for (int i = 0; i < count; i++) {
        const uint64_t index = s->params[i].index;

        if (index != HVM_PARAM_PAE_ENABLED && !hvm_param_moves(index))
            return err_set(e, ERR_PEER, EPROTO,
                "bad HVM_PARAMS record: parameter %" PRIu64 " does not move with a guest", index);
        if (is_ring(index) && note_ring(l, &s->params[i], e))
            return -e->code;
    }
    s->param_count = count < 0 ? 0 : count;
    return count < 0 ? count : 0;
}

static int load_record(struct loader *l, const struct in_event *state, struct err *e)
{
    struct hvm_state *s = l->guest;
    const uint32_t type = state->v3_type;
    int rc;

    switch (type) {
    case V3_HVM_CONTEXT:
        rc = v3_check_blob(type, state->len_bytes, e);
        return rc ? rc : blob_keep(&s->context, state->body, state->len_bytes, e);
    case V3_HVM_PARAMS:
        return load_params(l, state->body, state->len_bytes, e);
    default:
        return err_set(
            e, ERR_PEER, EPROTO, "a %s record has no place in an HVM or PVH guest", v3_name(type));
    }
}

static int check_ready(struct loader *l, struct err *e)
{
    (void)l, (void)e;
    return 0;
}

static int set_params(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct hvm_state *s = l->guest;
    const uint32_t domid = l->p->domid;

    for (int i = 0; i < s->param_count; i++) {
        const struct v3_hvm_param *param = &s->params[i];
        int rc = 0;

        if (param->index == HVM_PARAM_PAE_ENABLED)
            continue; /* only old streams have it; Xen no longer does */
        if (param->index == HVM_PARAM_CONSOLE_PFN)
            rings->console_gfn = param->value;
        if (param->index == HVM_PARAM_STORE_PFN)
            rings->store_gfn = param->value;
        if (is_ring(param->index))
            rc = frames_populate(&l->frames, &l->xen, &param->value, 1, e);
        if (!rc && is_ring(param->index))
            rc = build_clear_page(&l->xen, domid, param->value, "the ring", e);
        if (!rc)
            rc = hvm_param_set(&l->xen, domid, (uint32_t)param->index, param->value, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int prepare(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct loader_params *p = l->p;
    int rc = set_params(l, rings, e);

    if (!rc)
        rc = hvm_param_set(&l->xen, p->domid, HVM_PARAM_STORE_EVTCHN, p->store_evtchn, e);
    if (!rc)
        rc = hvm_param_set(&l->xen, p->domid, HVM_PARAM_CONSOLE_EVTCHN, p->console_evtchn, e);
    return rc ? rc : seed_grants(l, rings, e);
}

static int prepare_early(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct hvm_state *s = l->guest;

    if (!s->param_count)
        return err_set(e, ERR_PEER, EPROTO, "PREPARE came without HVM_PARAMS");
    return prepare(l, rings, e);
}

static int complete(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct hvm_state *s = l->guest;
    int rc = 0;

    if (!s->context.data)
        return err_set(e, ERR_PEER, EPROTO, "the stream ended without HVM_CONTEXT");
    if (!l->prepared)
        rc = prepare(l, rings, e);
    return rc ? rc : hvm_context_set(&l->xen, l->p->domid, &s->context, e);
}

static void destroy(struct loader *l)
{
    struct hvm_state *s = l->guest;

    blob_free(&s->context);
    free(s);
}

static const struct loader_ops hvm_ops = {
    .state = load_record,
    .check_ready = check_ready,
    .prepare = prepare_early,
    .complete = complete,
    .destroy = destroy,
};

int hvm_load_open(struct loader *l, uint64_t frame_limit, struct err *e)
{
    struct hvm_state *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    l->guest = s;
    l->ops = &hvm_ops;
    return frames_init(&l->frames, l->p->domid, 0, frame_limit, l->domain.max_pages, e);
}
