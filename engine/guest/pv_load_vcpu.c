/* SPDX-License-Identifier: MIT */
/*
 * Start_info and vCPUs of a PV guest at the destination. Frame numbers in them are PFNs: the guest
 * (start_info) and the source (contexts) have translated the old host's.
 */
#include "engine/guest/pv_load_vcpu.h"

#include "engine/guest/page_any.h"
#include "engine/xen/foreign.h"
#include "engine/xen/vcpu.h"
#include "transport/v3.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* The guest's start_info, in which it turned frame numbers into PFNs before it suspended. */
static int put_start_info(struct loader *l, uint64_t mfn, struct guest_rings *rings, struct err *e)
{
    const struct pv_state *s = l->guest;
    const unsigned width = s->width_bytes;
    start_info_any_t *info = foreign_map(
        &l->xen, l->p->domid, PROT_READ | PROT_WRITE, &mfn, 1, "the start info", e);

    if (!info)
        return -e->code;

    const uint64_t store_pfn = get_any(info, store_mfn, width),
                   console_pfn = get_any(info, console.domU.mfn, width);
    int rc = l->prepared && (store_pfn != s->store_pfn || console_pfn != s->console_pfn)
                 ? err_set(e, ERR_PEER, EPROTO,
                       "the guest's start info names other rings than it was prepared with")
                 : 0;

    if (!rc)
        rc = pv_find_frame(l, "the xenstore ring", store_pfn, V3_PAGE_NOTAB, &rings->store_gfn, e);
    if (!rc)
        rc = pv_find_frame(
            l, "the console ring", console_pfn, V3_PAGE_NOTAB, &rings->console_gfn, e);
    if (!rc) {
        set_any(info, store_mfn, rings->store_gfn, width);
        set_any(info, store_evtchn, l->p->store_evtchn, width);
        set_any(info, console.domU.mfn, rings->console_gfn, width);
        set_any(info, console.domU.evtchn, l->p->console_evtchn, width);
        set_any(info, nr_pages, s->max_pfn + 1, width);
        set_any(info, shared_info, l->domain.shared_info_frame << XC_PAGE_SHIFT, width);
        set_any(info, flags, 0, width);
    }
    foreign_unmap(&l->xen, info, 1);
    return rc;
}

static int place_gdt(struct loader *l, unsigned id, vcpu_guest_context_any_t *c, struct err *e)
{
    const unsigned width = ((struct pv_state *)l->guest)->width_bytes;
    const uint64_t entries = get_any(c, gdt_ents, width);

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return err_set(e, ERR_PEER, EPROTO, "vCPU %u has a GDT of %llu entries", id,
            (unsigned long long)entries);
    for (unsigned i = 0; i < (entries + 511) / 512; i++) {
        uint64_t mfn;
        const int rc = pv_find_frame(
            l, "a vCPU's GDT", get_any(c, gdt_frames[i], width), V3_PAGE_NOTAB, &mfn, e);

        if (rc)
            return rc;
        set_any(c, gdt_frames[i], mfn, width);
    }
    return 0;
}

/* cr3 of both widths, and the 64-bit guest's user tables in cr1. */
static int place_tables(struct loader *l, vcpu_guest_context_any_t *c, struct err *e)
{
    const struct pv_state *s = l->guest;
    const unsigned width = s->width_bytes;
    uint64_t mfn;
    int rc = pv_find_frame(l, "a vCPU's page table (cr3)",
        cr3_to_frame(get_any(c, ctrlreg[3], width), width), s->levels, &mfn, e);

    if (rc)
        return rc;
    if (width == 4 && mfn > UINT32_MAX)
        return err_set(e, ERR_LOCAL, ERANGE,
            "a 32-bit guest's page table came to lie above 16 TiB of machine memory");
    set_any(c, ctrlreg[3], frame_to_cr3(mfn, width), width);
    if (width == 8 && (c->x64.ctrlreg[1] & 1)) {
        rc = pv_find_frame(l, "a vCPU's user page table (cr1)", c->x64.ctrlreg[1] >> XC_PAGE_SHIFT,
            s->levels, &mfn, e);
        if (rc)
            return rc;
        c->x64.ctrlreg[1] = mfn << XC_PAGE_SHIFT;
    }
    return 0;
}

static int set_basic(
    struct loader *l, unsigned id, const struct blob *b, struct guest_rings *rings, struct err *e)
{
    const unsigned width = ((struct pv_state *)l->guest)->width_bytes;
    vcpu_guest_context_any_t c = {0};
    int rc = 0;

    memcpy(&c, b->data, b->len_bytes);
    if (id == 0) {
        uint64_t mfn;

        /* Where the guest passed its start_info to the suspend call. */
        rc = pv_find_frame(
            l, "the start info", get_any(&c, user_regs.edx, width), V3_PAGE_NOTAB, &mfn, e);
        if (!rc)
            rc = put_start_info(l, mfn, rings, e);
        if (!rc)
            set_any(&c, user_regs.edx, mfn, width);
    }
    set_any(&c, flags, get_any(&c, flags, width) | VGCF_online, width);
    if (!rc)
        rc = place_gdt(l, id, &c, e);
    if (!rc)
        rc = place_tables(l, &c, e);
    if (!rc)
        rc = vcpu_set_context(&l->xen, l->p->domid, id, &c, e);
    return rc;
}

int pv_set_vcpus(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct pv_state *s = l->guest;
    int rc = 0;

    if (!s->vcpus[0].basic.data)
        return err_set(e, ERR_PEER, EPROTO, "the stream ended without the context of vCPU 0");
    for (unsigned id = 0; id < s->vcpu_count && !rc; id++) {
        const struct vcpu_state *v = &s->vcpus[id];

        if (v->basic.data)
            rc = set_basic(l, id, &v->basic, rings, e);
        if (!rc)
            rc = vcpu_set_extended(&l->xen, l->p->domid, id, &v->extended, e);
        if (!rc)
            rc = vcpu_set_xsave(&l->xen, l->p->domid, id, &v->xsave, e);
        if (!rc)
            rc = vcpu_set_msrs(&l->xen, l->p->domid, id, &v->msrs, e);
    }
    return rc;
}
