/* SPDX-License-Identifier: MIT */
#include "engine/xen/hbuf.h"

#include <errno.h>

int hbuf_alloc(struct xen *x, struct hbuf *h, size_t bytes, struct err *e)
{
    *h = (struct hbuf){
        .desc = {HYPERCALL_BUFFER_INIT_NO_BOUNCE},
        .pages = (int)((bytes + XC_PAGE_SIZE - 1) / XC_PAGE_SIZE),
    };
    h->mem = xc__hypercall_buffer_alloc_pages(x->xch, &h->desc, h->pages);
    if (!h->mem)
        return err_set(
            e, ERR_LOCAL, ENOMEM, "no memory for a hypercall buffer of %d pages", h->pages);
    return 0;
}

void hbuf_free(struct xen *x, struct hbuf *h)
{
    if (h->mem)
        xc__hypercall_buffer_free_pages(x->xch, &h->desc, h->pages);
    h->mem = NULL;
}
