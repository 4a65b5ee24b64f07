/* SPDX-License-Identifier: MIT */
#include "engine/page_fault.h"

#include "base/libc.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int page_fault_explain(const struct page_fault *f, uint32_t domid, struct err *e)
{
    if (!f->level)
        return err_set(e, ERR_GUEST, f->code,
            "page %#" PRIx64 " (frame %#" PRIx64 ") of domain %u cannot be mapped: %s", f->pfn,
            f->frame, domid, strerrordesc_np(f->code) ?: "unknown error");
    if (f->code == E2BIG)
        return err_set(e, ERR_GUEST, E2BIG,
            "entry %u of the L%u page table %#" PRIx64 " (frame %#" PRIx64
            ") of domain %u is a superpage, which cannot be moved",
            f->index, f->level, f->pfn, f->frame, domid);
    if (f->code == EINVAL)
        return err_set(e, ERR_GUEST, EINVAL,
            "page %#" PRIx64 " (frame %#" PRIx64
            ") of domain %u is an L%u page table, which such a guest cannot have",
            f->pfn, f->frame, domid, f->level);
    return err_set(e, ERR_GUEST, ERANGE,
        "entry %u of the L%u page table %#" PRIx64 " (frame %#" PRIx64
        ") of domain %u names frame %#" PRIx64
        ", which is not the domain's own: it maps a page of another domain or of a device",
        f->index, f->level, f->pfn, f->frame, domid, f->target);
}
