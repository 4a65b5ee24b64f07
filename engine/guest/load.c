/* SPDX-License-Identifier: MIT */
#include "engine/guest/load.h"

#include "engine/guest/common.h"
#include "engine/guest/hvm_load.h"
#include "engine/guest/pv_load.h"
#include "transport/v3.h"

#include <errno.h>

static int check_type(const struct loader *l, uint32_t v3_guest_type, struct err *e)
{
    const uint32_t here = l->domain.hvm ? V3_GUEST_HVM : V3_GUEST_PV;

    if (here != v3_guest_type)
        return err_set(e, ERR_PEER, EPROTO, "the stream is of %s guest, domain %u here is %s",
            v3_guest_type == V3_GUEST_PV ? "a PV" : "an HVM or PVH", l->p->domid,
            here == V3_GUEST_PV ? "PV" : "HVM or PVH");
    return 0;
}

int load_open(struct loader *l, const struct loader_params *p, uint32_t v3_guest_type,
    uint64_t frame_limit, struct err *e)
{
    *l = (struct loader){.p = p};

    int rc = xen_open(&l->xen, p->log, e);

    if (!rc)
        rc = domain_read(&l->xen, p->domid, &l->domain, e);
    if (!rc)
        rc = check_type(l, v3_guest_type, e);
    if (!rc)
        rc = l->domain.hvm ? hvm_load_open(l, frame_limit, e) : pv_load_open(l, e);
    return rc;
}

void load_close(struct loader *l)
{
    if (l->ops)
        l->ops->destroy(l);
    frames_destroy(&l->frames);
    blob_free(&l->cpuid);
    blob_free(&l->msrs);
    xen_close(&l->xen);
}

int load_state(struct loader *l, const struct in_event *state, struct err *e)
{
    const uint32_t type = state->v3_type;
    const void *body = state->body;
    const size_t len_bytes = state->len_bytes;

    switch (type) {
    case V3_X86_CPUID_POLICY:
    case V3_X86_MSR_POLICY:
        return load_cpu_policy(l, type, body, len_bytes, e);
    case V3_X86_TSC_INFO:
        return load_tsc_info(l, body, len_bytes, e);
    default:
        return l->ops->state(l, state, e);
    }
}

int load_static_done(struct loader *l, unsigned *missing, struct err *e)
{
    if (l->static_done)
        return err_set(e, ERR_PEER, EPROTO, "STATIC_DATA_END came twice");
    l->static_done = true;
    *missing = (l->cpuid.data ? 0 : CPU_POLICY_NO_LEAVES) | (l->msrs.data ? 0 : CPU_POLICY_NO_MSRS);
    return set_cpu_policy(l, e);
}

int load_check_ready(struct loader *l, struct err *e)
{
    if (!l->static_done)
        return err_set(e, ERR_PEER, EPROTO, "pages came before STATIC_DATA_END");
    return l->ops->check_ready(l, e);
}

int load_prepare(struct loader *l, struct guest_rings *rings, struct err *e)
{
    if (!l->ops->prepare)
        return err_set(e, ERR_PEER, EPROTO, "a PREPARE for a PV guest");
    if (l->prepared)
        return err_set(e, ERR_PEER, EPROTO, "PREPARE came twice");
    l->prepared = true;
    return l->ops->prepare(l, rings, e);
}

int load_complete(struct loader *l, struct guest_rings *rings, struct err *e)
{
    return l->ops->complete(l, rings, e);
}
