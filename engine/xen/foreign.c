/* SPDX-License-Identifier: MIT */
#include "engine/xen/foreign.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "frame arrays are handed to Xen as they are");

void *foreign_map(struct xen *x, uint32_t domid, int prot, const uint64_t *frames, size_t count,
    const char *what, struct err *e)
{
    void *mem = xenforeignmemory_map(x->fmem, domid, prot, count, frames, NULL);

    if (!mem)
        err_sys(e, ERR_LOCAL, errno, "cannot map %s of domain %u (%zu frames)", what, domid, count);
    return mem;
}

void *foreign_map_some(struct xen *x, uint32_t domid, int prot, const uint64_t *frames,
    size_t count, int *errors, struct err *e)
{
    void *mem = xenforeignmemory_map(x->fmem, domid, prot, count, frames, errors);

    if (!mem)
        err_sys(e, ERR_LOCAL, errno, "cannot map memory of domain %u (%zu frames)", domid, count);
    return mem;
}

void foreign_unmap(struct xen *x, void *mem, size_t count)
{
    if (mem)
        xenforeignmemory_unmap(x->fmem, mem, count);
}

int frame_types_read(struct xen *x, uint32_t domid, struct hbuf *scratch, const uint64_t *frames,
    unsigned count, uint8_t *types, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_getpageframeinfo3,
        .domain = (domid_t)domid,
        .u.getpageframeinfo3.num = count,
    };
    uint64_t *words = scratch->mem;

    memcpy(words, frames, count * sizeof(*words));
    set_xen_guest_handle_raw(domctl.u.getpageframeinfo3.array, scratch->mem);
    if (xc_domctl(x->xch, &domctl) < 0)
        return err_sys(
            e, ERR_LOCAL, errno, "cannot ask Xen for the page types of domain %u", domid);
    for (unsigned i = 0; i < count; i++)
        types[i] = (uint8_t)(words[i] >> XEN_DOMCTL_PFINFO_LTAB_SHIFT & 0xf);
    return 0;
}
