/* SPDX-License-Identifier: MIT */
#include "engine/xen/tmem.h"

#include <errno.h>
#include <string.h>

enum {
    LIST_BYTES = 3 * 4096,
    BUFFER_BYTES = LIST_BYTES + TMEM_MAX_BATCH * TMEM_PAGE_BYTES,
};
_Static_assert(TMEM_MAX_BATCH * sizeof(struct tmem_entry) <= LIST_BYTES, "a list fits");
_Static_assert(TMEM_MAX_POOLS * sizeof(struct tmem_pool) <= LIST_BYTES, "and so is that of pools");

int tmem_buffer_alloc(struct xen *x, struct tmem_buffer *b, struct err *e)
{
    const int rc = hbuf_alloc(x, &b->mem, BUFFER_BYTES, e);

    if (rc)
        return rc;
    b->list = b->mem.mem;
    b->pools = b->mem.mem;
    b->pages = (uint8_t *)b->mem.mem + LIST_BYTES;
    return 0;
}

void tmem_buffer_free(struct xen *x, struct tmem_buffer *b)
{
    hbuf_free(x, &b->mem);
}

int tmem_call(struct xen *x, struct tmem_op *op, const struct tmem_buffer *buffer)
{
    struct xen_sysctl sysctl = {
        .cmd = TMEM_SYSCTL, .interface_version = XEN_SYSCTL_INTERFACE_VERSION};

    if (buffer) {
        op->list = (uintptr_t)buffer->list;
        op->pages = (uintptr_t)buffer->pages;
    }
    memcpy(&sysctl.u, op, sizeof(*op));

    const int rc = xc_sysctl(x->xch, &sysctl) ? -errno : 0;

    memcpy(op, &sysctl.u, sizeof(*op));
    return rc;
}

int tmem_stop(struct xen *x, uint32_t domid, struct err *e)
{
    struct tmem_op op = {.cmd = TMEM_SAVE_END, .domid = domid};
    const int rc = tmem_call(x, &op, NULL);

    /* -EPERM: FLASK, to what no Xen of today knows. */
    if (!rc || rc == -EPERM || rc == -ENOSYS || rc == -EOPNOTSUPP || rc == -ENOENT || rc == -ESRCH)
        return 0;
    return err_sys(
        e, ERR_LOCAL, -rc, "cannot leave the transcendent memory of domain %u alone", domid);
}
