/*
 * Start_info and vCPUs of a PV guest at the destination. Frame numbers in them are PFNs, which the
 * guest (start_info) and the source (contexts) made of the old host's.
 */
#include "engine/guest/page_any.h"
#include "engine/xen/foreign.h"
#include "engine/xen/hbuf.h"
#include "engine/guest/pv_load.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* The guest's start_info, whose frame numbers it made PFNs before it suspended. */
static int put_start_info(
    struct restore *r, uint64_t mfn, struct dest_result *result, struct err *e)
{
    const struct pv_state *s = r->guest;
    const unsigned width = s->width_bytes;
    start_info_any_t *info = foreign_map(
        &r->xen, r->p->domid, PROT_READ | PROT_WRITE, &mfn, 1, "the start info", e);

    if (!info)
        return -e->code;

    int rc = pv_find_frame(r, "the xenstore ring", get_any(info, store_mfn, width), V3_PAGE_NOTAB,
        &result->store_gfn, e);

    if (!rc)
        rc = pv_find_frame(r, "the console ring", get_any(info, console.domU.mfn, width),
            V3_PAGE_NOTAB, &result->console_gfn, e);
    if (!rc) {
        set_any(info, store_mfn, result->store_gfn, width);
        set_any(info, store_evtchn, r->p->store_evtchn, width);
        set_any(info, console.domU.mfn, result->console_gfn, width);
        set_any(info, console.domU.evtchn, r->p->console_evtchn, width);
        set_any(info, nr_pages, s->max_pfn + 1, width);
        set_any(info, shared_info, r->domain.shared_info_frame << XC_PAGE_SHIFT, width);
        set_any(info, flags, 0, width);
    }
    foreign_unmap(&r->xen, info, 1);
    return rc;
}

static int place_gdt(struct restore *r, unsigned id, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = ((struct pv_state *)r->guest)->width_bytes;
    const uint64_t entries = get_any(c, gdt_ents, width);

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return err_set(e, ERR_PEER, EPROTO, "vCPU %u has a GDT of %llu entries", id,
            (unsigned long long)entries);
    for (unsigned i = 0; i < (entries + 511) / 512; i++) {
        uint64_t mfn;
        const int rc = pv_find_frame(
            r, "a vCPU's GDT", get_any(c, gdt_frames[i], width), V3_PAGE_NOTAB, &mfn, e);

        if (rc)
            return rc;
        set_any(c, gdt_frames[i], mfn, width);
    }
    return 0;
}

/* cr3 of both widths, and the 64-bit guest's user tables in cr1. */
static int place_tables(struct restore *r, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = ((struct pv_state *)r->guest)->width_bytes;
    uint64_t mfn;
    int rc = pv_find_frame(r, "a vCPU's page table (cr3)",
        cr3_to_frame(get_any(c, ctrlreg[3], width), width), r->levels, &mfn, e);

    if (rc)
        return rc;
    if (width == 4 && mfn > UINT32_MAX)
        return err_set(e, ERR_LOCAL, ERANGE,
            "a 32-bit guest's page table came to lie above 16 TiB of machine memory");
    set_any(c, ctrlreg[3], frame_to_cr3(mfn, width), width);
    if (width == 8 && (c->x64.ctrlreg[1] & 1)) {
        rc = pv_find_frame(r, "a vCPU's user page table (cr1)", c->x64.ctrlreg[1] >> XC_PAGE_SHIFT,
            r->levels, &mfn, e);
        if (rc)
            return rc;
        c->x64.ctrlreg[1] = mfn << XC_PAGE_SHIFT;
    }
    return 0;
}

static int set_basic(
    struct restore *r, unsigned id, const struct blob *b, struct dest_result *result, struct err *e)
{
    const unsigned width = ((struct pv_state *)r->guest)->width_bytes;
    vcpu_guest_context_any_t c = {0};
    int rc = 0;

    memcpy(&c, b->data, b->len_bytes);
    if (id == 0) {
        uint64_t mfn;

        /* Where the guest passed its start_info to the suspend call. */
        rc = pv_find_frame(
            r, "the start info", get_any(&c, user_regs.edx, width), V3_PAGE_NOTAB, &mfn, e);
        if (!rc)
            rc = put_start_info(r, mfn, result, e);
        if (!rc)
            set_any(&c, user_regs.edx, mfn, width);
    }
    set_any(&c, flags, get_any(&c, flags, width) | VGCF_online, width);
    if (!rc)
        rc = place_gdt(r, id, &c, e);
    if (!rc)
        rc = place_tables(r, &c, e);
    if (!rc && xc_vcpu_setcontext(r->xen.xch, r->p->domid, id, &c))
        rc = err_sys(e, ERR_LOCAL, errno, "Xen refused the context of vCPU %u", id);
    return rc;
}

static int set_extended(struct restore *r, unsigned id, const struct blob *b, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_set_ext_vcpucontext, .domain = (domid_t)r->p->domid};

    if (!b->data)
        return 0;
    if (b->len_bytes > sizeof(domctl.u.ext_vcpucontext))
        return err_set(
            e, ERR_PEER, EPROTO, "vCPU %u has an extended context of %zu bytes", id, b->len_bytes);
    memcpy(&domctl.u.ext_vcpucontext, b->data, b->len_bytes);
    if (domctl.u.ext_vcpucontext.vcpu != id)
        return err_set(e, ERR_PEER, EPROTO, "the extended context of vCPU %u says that it is of %u",
            id, domctl.u.ext_vcpucontext.vcpu);
    if (xc_domctl(r->xen.xch, &domctl))
        return err_sys(e, ERR_LOCAL, errno, "Xen refused the extended context of vCPU %u", id);
    return 0;
}

/* XSAVE or MSRS: both go to Xen through a buffer of their own. */
static int set_buffered(
    struct restore *r, unsigned id, uint32_t cmd, const struct blob *b, struct err *e)
{
    struct xen_domctl domctl = {.cmd = cmd, .domain = (domid_t)r->p->domid};
    struct hbuf buffer;

    if (!b->data)
        return 0;

    int rc = hbuf_alloc(&r->xen, &buffer, b->len_bytes, e);

    if (rc)
        return rc;
    memcpy(buffer.mem, b->data, b->len_bytes);
    if (cmd == XEN_DOMCTL_setvcpuextstate) {
        domctl.u.vcpuextstate.vcpu = id;
        domctl.u.vcpuextstate.size = b->len_bytes;
        set_xen_guest_handle_raw(domctl.u.vcpuextstate.buffer, buffer.mem);
    } else {
        domctl.u.vcpu_msrs.vcpu = id;
        domctl.u.vcpu_msrs.msr_count = (uint32_t)(b->len_bytes / sizeof(xen_domctl_vcpu_msr_t));
        set_xen_guest_handle_raw(domctl.u.vcpu_msrs.msrs, buffer.mem);
    }
    if (xc_domctl(r->xen.xch, &domctl))
        rc = err_sys(e, ERR_LOCAL, errno, "Xen refused the %s of vCPU %u",
            cmd == XEN_DOMCTL_setvcpuextstate ? "xsave area" : "MSRs", id);
    hbuf_free(&r->xen, &buffer);
    return rc;
}

int pv_set_vcpus(struct restore *r, struct dest_result *result, struct err *e)
{
    const struct pv_state *s = r->guest;
    int rc = 0;

    if (!s->vcpus[0].basic.data)
        return err_set(e, ERR_PEER, EPROTO, "the stream ended without the context of vCPU 0");
    for (unsigned id = 0; id < s->vcpu_count && !rc; id++) {
        const struct vcpu_state *v = &s->vcpus[id];

        if (v->basic.data)
            rc = set_basic(r, id, &v->basic, result, e);
        if (!rc)
            rc = set_extended(r, id, &v->extended, e);
        if (!rc)
            rc = set_buffered(r, id, XEN_DOMCTL_setvcpuextstate, &v->xsave, e);
        if (!rc)
            rc = set_buffered(r, id, XEN_DOMCTL_set_vcpu_msrs, &v->msrs, e);
    }
    return rc;
}
