/* SPDX-License-Identifier: MIT */
#include "engine/xen/build.h"

#include <errno.h>
#include <xenguest.h>

_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "frame arrays are handed to Xen as they are");

int build_populate(struct xen *x, uint32_t domid, unsigned order, uint64_t *frames, unsigned count)
{
    const int done = xc_domain_populate_physmap(x->xch, domid, count, order, 0, frames);

    return done < 0 ? -errno : done;
}

int build_release(
    struct xen *x, uint32_t domid, const uint64_t *frames, unsigned count, struct err *e)
{
    xen_pfn_t *list = (xen_pfn_t *)frames; /* Xen only reads it */
    const int done = xc_domain_decrease_reservation(x->xch, domid, count, 0, list);

    if (done == (int)count)
        return 0;
    return err_sys(e, ERR_LOCAL, done < 0 ? errno : EBUSY,
        "cannot take memory back from domain %u (frame %#llx)", domid,
        (unsigned long long)frames[done < 0 ? 0 : done]);
}

int build_claim(struct xen *x, uint32_t domid, uint64_t pages, struct err *e)
{
    if (!xc_domain_claim_pages(x->xch, domid, pages))
        return 0;
    if (errno == ENOMEM)
        return err_set(e, ERR_LOCAL, ENOMEM,
            "the %llu MiB that domain %u was to get are not free any more: something else has "
            "taken memory meanwhile",
            (unsigned long long)pages / 256, domid);
    return err_sys(e, ERR_LOCAL, errno, "Xen does not %s for domain %u",
        pages ? "keep memory" : "give up what it keeps", domid);
}

int build_clear_page(struct xen *x, uint32_t domid, uint64_t frame, const char *what, struct err *e)
{
    if (xc_clear_domain_page(x->xch, domid, frame))
        return err_sys(e, ERR_LOCAL, errno, "cannot clear %s at frame %#llx of domain %u", what,
            (unsigned long long)frame, domid);
    return 0;
}

int build_set_width(struct xen *x, uint32_t domid, unsigned width_bytes, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_set_address_size,
        .domain = (domid_t)domid,
        .u.address_size.size = width_bytes * 8u,
    };

    if (xc_domctl(x->xch, &domctl))
        return err_sys(
            e, ERR_LOCAL, errno, "this Xen cannot run a %u-bit PV guest", width_bytes * 8u);
    return 0;
}

int build_pin_tables(
    struct xen *x, uint32_t domid, const struct build_pin *pins, unsigned count, struct err *e)
{
    static const unsigned commands[] = {
        0, MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE};
    struct mmuext_op ops[BUILD_MAX_PINS];

    for (unsigned i = 0; i < count; i++)
        ops[i] = (struct mmuext_op){.cmd = commands[pins[i].level], .arg1.mfn = pins[i].mfn};
    if (count && xc_mmuext_op(x->xch, ops, count, (domid_t)domid) < 0)
        return err_sys(
            e, ERR_LOCAL, errno, "Xen refused to pin %u page tables of domain %u", count, domid);
    return 0;
}

int build_seed_grants(struct xen *x, uint32_t domid, const struct build_rings *r, struct err *e)
{
    if (xc_dom_gnttab_seed(x->xch, domid, r->hvm, r->console_frame, r->store_frame,
            r->console_domid, r->store_domid))
        return err_sys(e, ERR_LOCAL, errno, "cannot seed the grant table of domain %u", domid);
    return 0;
}
