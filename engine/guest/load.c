#include "engine/guest/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenguest.h>

int blob_keep(struct blob *b, const void *body, size_t len_bytes, struct err *e)
{
    void *copy = malloc(len_bytes ? len_bytes : 1);

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory to keep %zu bytes of state", len_bytes);
    memcpy(copy, body, len_bytes);
    blob_free(b);
    *b = (struct blob){copy, len_bytes};
    return 0;
}

void blob_free(struct blob *b)
{
    free(b->data);
    *b = (struct blob){0};
}

static int check_type(const struct restore *r, uint32_t v3_guest_type, struct err *e)
{
    const uint32_t here = r->domain.hvm ? V3_GUEST_HVM : V3_GUEST_PV;

    if (here != v3_guest_type)
        return err_set(e, ERR_PEER, EPROTO, "the stream is of %s guest, domain %u here is %s",
            v3_guest_type == V3_GUEST_PV ? "a PV" : "an HVM or PVH", r->p->domid,
            here == V3_GUEST_PV ? "PV" : "HVM or PVH");
    return 0;
}

int restore_open(struct restore *r, const struct dest_params *p, uint32_t v3_guest_type,
    uint64_t frame_limit, struct err *e)
{
    *r = (struct restore){.p = p};

    int rc = xen_open(&r->xen, p->log, e);

    if (!rc)
        rc = domain_read(&r->xen, p->domid, &r->domain, e);
    if (!rc)
        rc = check_type(r, v3_guest_type, e);
    if (!rc)
        rc = r->domain.hvm ? restore_hvm_init(r, frame_limit, e) : restore_pv_init(r, e);
    return rc;
}

void restore_close(struct restore *r)
{
    if (r->ops)
        r->ops->destroy(r);
    frames_destroy(&r->frames);
    blob_free(&r->cpuid);
    blob_free(&r->msrs);
    xen_close(&r->xen);
}

static int take_tsc(struct restore *r, const void *body, size_t len_bytes, struct err *e)
{
    struct v3_tsc_info tsc;
    const int rc = v3_decode_tsc_info(body, len_bytes, &tsc, e);

    if (rc)
        return rc;
    if (xc_domain_set_tsc_info(
            r->xen.xch, r->p->domid, tsc.mode, tsc.nsec, tsc.khz, tsc.incarnation))
        return err_sys(
            e, ERR_LOCAL, errno, "Xen refused the TSC settings of domain %u", r->p->domid);
    return 0;
}

int restore_take(
    struct restore *r, uint32_t type, const void *body, size_t len_bytes, struct err *e)
{
    switch (type) {
    case V3_STATIC_DATA_END:
        return restore_static_done(r, e);
    case V3_X86_CPUID_POLICY:
    case V3_X86_MSR_POLICY: {
        const int rc = v3_check_blob(type, len_bytes, e);

        if (rc)
            return rc;
        if (r->static_done)
            return err_set(e, ERR_PEER, EPROTO, "%s came after STATIC_DATA_END", v3_name(type));
        return blob_keep(type == V3_X86_CPUID_POLICY ? &r->cpuid : &r->msrs, body, len_bytes, e);
    }
    case V3_X86_TSC_INFO:
        return take_tsc(r, body, len_bytes, e);
    default:
        return r->ops->take(r, type, body, len_bytes, e);
    }
}

static int set_policies(struct restore *r, struct err *e)
{
    uint32_t leaf = UINT32_MAX, subleaf = UINT32_MAX, msr = UINT32_MAX;
    const uint32_t leaves = (uint32_t)(r->cpuid.len_bytes / sizeof(xen_cpuid_leaf_t));
    const uint32_t msrs = (uint32_t)(r->msrs.len_bytes / sizeof(xen_msr_entry_t));

    if (!leaves && !msrs)
        return 0;
    if (xc_set_domain_cpu_policy(r->xen.xch, r->p->domid, leaves, r->cpuid.data, msrs, r->msrs.data,
            &leaf, &subleaf, &msr))
        return err_sys(e, ERR_LOCAL, errno,
            "this host's CPU cannot give domain %u what it had (CPUID leaf %#x/%#x, MSR %#x)",
            r->p->domid, leaf, subleaf, msr);
    return 0;
}

int restore_static_done(struct restore *r, struct err *e)
{
    const struct dest_toolstack *t = r->p->toolstack;
    const unsigned missing = (r->cpuid.data ? 0 : XGR_SDD_MISSING_CPUID) |
                             (r->msrs.data ? 0 : XGR_SDD_MISSING_MSR);

    if (r->static_done)
        return err_set(e, ERR_PEER, EPROTO, "STATIC_DATA_END came twice");
    r->static_done = true;

    const int rc = set_policies(r, e);

    return rc ? rc : t->static_data_done(t->arg, missing, e);
}

int restore_check_ready(struct restore *r, struct err *e)
{
    if (!r->static_done)
        return err_set(e, ERR_PEER, EPROTO, "pages came before STATIC_DATA_END");
    return r->ops->check_ready(r, e);
}

int restore_complete(struct restore *r, struct dest_result *result, struct err *e)
{
    return r->ops->complete(r, result, e);
}
