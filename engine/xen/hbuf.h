/* SPDX-License-Identifier: MIT */
/*
 * Memory that hypercalls may use, kept for as long as its owner wants: libxenctrl's own macros
 * tie such a buffer to one function's scope. Freed with the handles it was made with.
 */
#ifndef ENGINE_XEN_HBUF_H
#define ENGINE_XEN_HBUF_H

#include "engine/xen/xen.h"

struct hbuf {
    xc_hypercall_buffer_t desc; /* for the calls that want it */
    void *mem;                  /* page-aligned; NULL: none */
    int pages;
};

int hbuf_alloc(struct xen *x, struct hbuf *h, size_t bytes, struct err *e);
/* Does nothing when none was allocated. */
void hbuf_free(struct xen *x, struct hbuf *h);

#endif
