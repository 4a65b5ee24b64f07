/* SPDX-License-Identifier: MIT */
/* A guest's transcendent memory, as a toolstack reaches it (tmem_op.h). */
#ifndef ENGINE_XEN_TMEM_H
#define ENGINE_XEN_TMEM_H

#include "engine/xen/hbuf.h"
#include "engine/xen/tmem_op.h"

/* A list and pages for one call. */
struct tmem_buffer {
    struct hbuf mem;
    struct tmem_entry *list;
    struct tmem_pool *pools; /* the same memory */
    uint8_t *pages;
};

int tmem_buffer_alloc(struct xen *x, struct tmem_buffer *b, struct err *e);
void tmem_buffer_free(struct xen *x, struct tmem_buffer *b);

/* The addresses in op are set here; buffer may be NULL for calls without. 0 or -errno, without a
 * message: -ENOSYS on a Xen that has none, -ENOENT for a domain that has none. */
int tmem_call(struct xen *x, struct tmem_op *op, const struct tmem_buffer *buffer);

/* Changes are noted no more; 0 also if they were not. */
int tmem_stop(struct xen *x, uint32_t domid, struct err *e);

#endif
