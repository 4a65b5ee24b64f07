/* SPDX-License-Identifier: MIT */
#include "engine/guest/pv_rings.h"

#include "engine/guest/page_any.h"
#include "engine/xen/foreign.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

enum { PATH_BYTES = 64 };

static bool find_ring(
    struct xs_handle *xs, const struct pv_memory *m, const char *which, uint64_t *pfn)
{
    char path[PATH_BYTES];
    uint64_t mfn;

    snprintf(path, sizeof(path), "/local/domain/%u/%s/ring-ref", m->domid, which);
    return xenstore_read_number(xs, path, m->m2p.entries, &mfn) && pv_mfn_to_pfn(m, mfn, pfn);
}

void pv_rings_find(struct xs_handle *xs, const struct pv_memory *m, struct pv_rings *r)
{
    r->known = find_ring(xs, m, "store", &r->store_pfn) &&
               find_ring(xs, m, "console", &r->console_pfn) && r->store_pfn != r->console_pfn;
}

/* The guest turned frame numbers in it into PFNs before it suspended. */
int pv_rings_check(struct xen *x, const struct pv_memory *m, const struct pv_rings *r,
    uint64_t start_info_pfn, struct err *e)
{
    const uint64_t mfn = pv_pfn_to_mfn(m, start_info_pfn);
    const start_info_any_t *info = foreign_map(
        x, m->domid, PROT_READ, &mfn, 1, "the start info", e);

    if (!info)
        return -e->code;

    const bool same = get_any(info, store_mfn, m->width_bytes) == r->store_pfn &&
                      get_any(info, console.domU.mfn, m->width_bytes) == r->console_pfn &&
                      start_info_pfn != r->store_pfn && start_info_pfn != r->console_pfn;

    foreign_unmap(x, (void *)info, 1);
    return same ? 0
                : err_set(e, ERR_GUEST, ESTALE,
                      "the rings of domain %u are not where the destination was prepared for them",
                      m->domid);
}
