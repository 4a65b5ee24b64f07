/* SPDX-License-Identifier: MIT */
#include "engine/guest/pv_save_vcpu.h"

#include "engine/guest/page_any.h"

#include <errno.h>
#include <inttypes.h>

enum { GDT_ENTRIES_PER_FRAME = 512 };

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
    /* Bit 0 marks it as set: PFN 0 is a page like any other. */
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
