/* SPDX-License-Identifier: MIT */
#include "engine/xen/m2p.h"

#include "engine/xen/foreign.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Xen hands out its m2p in pieces of 2 MiB of contiguous frames. */
enum { CHUNK_FRAMES = 512, CHUNK_ENTRIES = (CHUNK_FRAMES << XC_PAGE_SHIFT) / 8 };

static int map_chunks(struct xen *x, struct m2p *m, const uint64_t *chunks, size_t chunk_count,
    uint64_t *frames, struct err *e)
{
    for (size_t i = 0; i < chunk_count; i++)
        for (size_t j = 0; j < CHUNK_FRAMES; j++)
            frames[i * CHUNK_FRAMES + j] = chunks[i] + j;
    m->frames = chunk_count * CHUNK_FRAMES;
    m->pfns = foreign_map(x, DOMID_XEN, PROT_READ, frames, m->frames, "the m2p", e);
    return m->pfns ? 0 : -e->code;
}

int m2p_map(struct xen *x, struct m2p *m, struct err *e)
{
    unsigned long max_mfn;

    *m = (struct m2p){0};
    if (xc_maximum_ram_page(x->xch, &max_mfn) < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen how much memory this host has");

    const size_t chunk_count = (max_mfn + CHUNK_ENTRIES - 1) / CHUNK_ENTRIES;
    uint64_t *chunks = calloc(chunk_count, sizeof(*chunks));
    uint64_t *frames = calloc(chunk_count * CHUNK_FRAMES, sizeof(*frames));
    int rc;

    if (!chunks || !frames)
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory to map the m2p");
    else if (xc_machphys_mfn_list(x->xch, chunk_count, chunks))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot ask Xen where its m2p is");
    else
        rc = map_chunks(x, m, chunks, chunk_count, frames, e);
    free(chunks);
    free(frames);
    m->entries = (uint64_t)chunk_count * CHUNK_ENTRIES;
    if (m->entries > max_mfn + 1)
        m->entries = max_mfn + 1;
    return rc;
}

void m2p_unmap(struct xen *x, struct m2p *m)
{
    foreign_unmap(x, (void *)m->pfns, m->frames);
    *m = (struct m2p){0};
}

int m2p_find_compat(struct xen *x, uint64_t *mfn, struct err *e)
{
    DECLARE_HYPERCALL_BUFFER(xen_pfn_t, frame);
    struct xen_machphys_mfn_list list = {.max_extents = 1};
    int code = 0;

    frame = xc_hypercall_buffer_alloc(x->xch, frame, sizeof(*frame));
    if (!frame)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a hypercall buffer");
    set_xen_guest_handle(list.extent_start, frame);
    if (xc_memory_op(x->xch, XENMEM_machphys_compat_mfn_list, &list, sizeof(list)))
        code = errno;
    else if (list.nr_extents != 1)
        code = ENOENT;
    *mfn = *frame;
    xc_hypercall_buffer_free(x->xch, frame);
    return code ? err_sys(e, ERR_LOCAL, code, "cannot find the m2p of 32-bit guests") : 0;
}
