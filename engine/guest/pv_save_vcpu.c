#include "engine/guest/pv_save_vcpu.h"

#include "engine/guest/page_any.h"
#include "engine/xen/hbuf.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(vcpu_guest_context_x86_64_t) == V3_VCPU_BASIC_64_BYTES, "a 64-bit vCPU");
_Static_assert(sizeof(vcpu_guest_context_x86_32_t) == V3_VCPU_BASIC_32_BYTES, "a 32-bit vCPU");

enum { GDT_ENTRIES_PER_FRAME = 512 };

/* ---- registers ---- */

static int to_pfn(const struct pv_memory *m, uint32_t vcpu, const char *what, uint64_t mfn,
    uint64_t *pfn, struct err *e)
{
    if (pv_mfn_to_pfn(m, mfn, pfn))
        return 0;
    return err_set(e, ERR_GUEST, ERANGE,
        "%s of vCPU %u of domain %u is frame %#" PRIx64 ", which is not the domain's own", what,
        vcpu, m->domid, mfn);
}

static int canonicalise_gdt(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = m->width_bytes;
    const uint64_t entries = get_any(c, gdt_ents, width);

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return err_set(e, ERR_GUEST, ERANGE,
            "vCPU %u of domain %u has a GDT of %" PRIu64 " entries; %u is the most there can be",
            vcpu, m->domid, entries, FIRST_RESERVED_GDT_ENTRY);
    for (uint64_t i = 0; i * GDT_ENTRIES_PER_FRAME < entries; i++) {
        uint64_t pfn;
        const int rc = to_pfn(m, vcpu, "the GDT", get_any(c, gdt_frames[i], width), &pfn, e);

        if (rc)
            return rc;
        set_any(c, gdt_frames[i], pfn, width);
    }
    return 0;
}

/* vCPU 0 made the suspend call, with its start_info's frame as the argument. */
static int canonicalise_start_info(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = m->width_bytes;
    uint64_t pfn;
    const int rc = to_pfn(m, vcpu, "start_info (edx)", get_any(c, user_regs.edx, width), &pfn, e);

    if (!rc)
        set_any(c, user_regs.edx, pfn, width);
    return rc;
}

static int canonicalise_roots(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = m->width_bytes;
    uint64_t pfn;
    int rc = to_pfn(m, vcpu, "cr3", cr3_to_frame(get_any(c, ctrlreg[3], width), width), &pfn, e);

    if (rc)
        return rc;
    set_any(c, ctrlreg[3], frame_to_cr3(pfn, width), width);
    if (width == 4 || !c->x64.ctrlreg[1])
        return 0;
    rc = to_pfn(m, vcpu, "cr1", cr3_to_frame(c->x64.ctrlreg[1], width), &pfn, e);
    /* Bit 0 says that it is set: PFN 0 is a page like any other. */
    c->x64.ctrlreg[1] = frame_to_cr3(pfn, width) | 1;
    return rc;
}

int canonicalise_vcpu(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e)
{
    int rc = vcpu == 0 ? canonicalise_start_info(m, vcpu, context, e) : 0;

    if (!rc)
        rc = canonicalise_gdt(m, vcpu, context, e);
    if (!rc)
        rc = canonicalise_roots(m, vcpu, context, e);
    return rc;
}

/* ---- reading ---- */

static int copy_blob(struct vcpu_blob *blob, const void *mem, size_t len_bytes, struct err *e)
{
    *blob = (struct vcpu_blob){malloc(len_bytes), len_bytes};
    if (!blob->mem)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for %zu bytes of a vCPU", len_bytes);
    memcpy(blob->mem, mem, len_bytes);
    return 0;
}

static int cannot_read(const char *what, uint32_t vcpu, uint32_t domid, int code, struct err *e)
{
    return err_sys(
        e, ERR_LOCAL, code, "cannot read the %s of vCPU %u of domain %u", what, vcpu, domid);
}

int vcpu_is_online(struct xen *x, uint32_t domid, uint32_t vcpu, bool *online, struct err *e)
{
    xc_vcpuinfo_t info;

    if (xc_vcpu_getinfo(x->xch, domid, vcpu, &info))
        return cannot_read("status", vcpu, domid, errno, e);
    *online = info.online;
    return 0;
}

int vcpu_read_basic(
    struct xen *x, const struct pv_memory *m, uint32_t vcpu, struct vcpu_blob *blob, struct err *e)
{
    vcpu_guest_context_any_t context;

    if (xc_vcpu_getcontext(x->xch, m->domid, vcpu, &context))
        return cannot_read("registers", vcpu, m->domid, errno, e);

    const int rc = canonicalise_vcpu(m, vcpu, &context, e);

    if (rc)
        return rc;
    return copy_blob(
        blob, &context, m->width_bytes == 8 ? sizeof(context.x64) : sizeof(context.x32), e);
}

int vcpu_read_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_get_ext_vcpucontext,
        .domain = (domid_t)domid,
        .u.ext_vcpucontext.vcpu = vcpu,
    };

    *blob = (struct vcpu_blob){0};
    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("extended context", vcpu, domid, errno, e);
    if (!domctl.u.ext_vcpucontext.size)
        return 0;
    if (domctl.u.ext_vcpucontext.size > V3_VCPU_EXTENDED_MAX_BYTES)
        return cannot_read("extended context", vcpu, domid, E2BIG, e);
    return copy_blob(blob, &domctl.u.ext_vcpucontext, domctl.u.ext_vcpucontext.size, e);
}

int vcpu_read_xsave(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_getvcpuextstate,
        .domain = (domid_t)domid,
        .u.vcpuextstate.vcpu = vcpu,
    };
    struct xen_domctl_vcpuextstate *const state = &domctl.u.vcpuextstate;
    struct hbuf buffer;

    *blob = (struct vcpu_blob){0};
    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("xsave size", vcpu, domid, errno, e);
    if (!state->xfeature_mask || !state->size)
        return 0;

    int rc = hbuf_alloc(x, &buffer, state->size, e);

    if (rc)
        return rc;
    set_xen_guest_handle_raw(state->buffer, buffer.mem);
    if (xc_domctl(x->xch, &domctl) < 0)
        rc = cannot_read("xsave state", vcpu, domid, errno, e);
    else if (state->size)
        rc = copy_blob(blob, buffer.mem, state->size, e);
    hbuf_free(x, &buffer);
    return rc;
}

int vcpu_read_msrs(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_get_vcpu_msrs,
        .domain = (domid_t)domid,
        .u.vcpu_msrs.vcpu = vcpu,
    };
    struct xen_domctl_vcpu_msrs *const msrs = &domctl.u.vcpu_msrs;
    struct hbuf buffer;

    *blob = (struct vcpu_blob){0};
    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("number of MSRs", vcpu, domid, errno, e);
    if (!msrs->msr_count)
        return 0;

    int rc = hbuf_alloc(x, &buffer, msrs->msr_count * sizeof(xen_domctl_vcpu_msr_t), e);

    if (rc)
        return rc;
    set_xen_guest_handle_raw(msrs->msrs, buffer.mem);
    if (xc_domctl(x->xch, &domctl) < 0)
        rc = cannot_read("MSRs", vcpu, domid, errno, e);
    else if (msrs->msr_count)
        rc = copy_blob(blob, buffer.mem, msrs->msr_count * sizeof(xen_domctl_vcpu_msr_t), e);
    hbuf_free(x, &buffer);
    return rc;
}
