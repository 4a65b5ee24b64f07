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

/*
 * A guest may take memory in at one place because it gave some back at another, and word of the
 * first may come before word of the second: only at the end does it have no more than it may. While
 * it is built it may have an eighth more, and 1 GiB at most.
 */
static int raise_limit(struct loader *l, struct err *e)
{
    const uint64_t most = (1ull << 30) / XC_PAGE_SIZE, eighth = l->domain.max_pages / 8;

    l->max_pages = l->domain.max_pages;
    l->domain.max_pages += eighth < most ? eighth : most;
    return domain_set_max_pages(&l->xen, l->p->domid, l->domain.max_pages, e);
}

/* Takes back what the guest does not have in the end. */
static int restore_limit(struct loader *l, struct err *e)
{
    const int rc = frames_release_absent(&l->frames, &l->xen, e);
    const uint64_t pages = atomic_load(&l->frames.populated_pages);

    if (rc)
        return rc;
    if (pages > l->max_pages)
        return err_set(e, ERR_LOCAL, ENOMEM,
            "domain %u has %llu pages and may have %llu: its maximum here is too small, or the "
            "source sent what the guest does not have",
            l->p->domid, (unsigned long long)pages, (unsigned long long)l->max_pages);
    return domain_set_max_pages(&l->xen, l->p->domid, l->max_pages, e);
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
        rc = raise_limit(l, e);
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

static int load_kernel_notes(struct loader *l, const void *body, size_t len_bytes, struct err *e)
{
    struct kernel_notes notes;
    const int rc = kernel_notes_decode(body, len_bytes, &notes, e);

    if (rc)
        return rc;
    if (l->static_done)
        return err_set(e, ERR_PEER, EPROTO, "KERNEL_NOTES came after STATIC_DATA_END");
    l->marks = notes.marks;
    return 0;
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
    case V3_KERNEL_NOTES:
        return load_kernel_notes(l, body, len_bytes, e);
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
    if (l->prepared)
        return err_set(e, ERR_PEER, EPROTO, "PREPARE came twice");
    l->prepared = true;
    return l->ops->prepare(l, rings, e);
}

int load_complete(struct loader *l, struct guest_rings *rings, struct err *e)
{
    int rc = restore_limit(l, e);

    /* With its vCPUs' state it would run, beside the guest at the source. */
    if (!rc)
        rc = domain_check_paused(&l->xen, l->p->domid, e);
    return rc ? rc : l->ops->complete(l, rings, e);
}
