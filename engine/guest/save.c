/* SPDX-License-Identifier: MIT */
#include "engine/guest/save.h"

#include "engine/guest/hvm_save.h"
#include "engine/guest/pv_save.h"

#include <errno.h>

int guest_open(
    struct xen *xen, uint32_t domid, const struct pte_marks *marks, struct guest **g, struct err *e)
{
    struct domain dom;
    const int rc = domain_read(xen, domid, &dom, e);

    if (rc)
        return rc;
    if (dom.dying)
        return err_set(e, ERR_GUEST, ESRCH, "domain %u is being destroyed", domid);
    if (dom.shut_down)
        return err_set(e, ERR_REFUSED, ESHUTDOWN,
            "domain %u does not run: it has shut down (reason %u)", domid, dom.shutdown_reason);
    return dom.hvm ? hvm_save_open(xen, &dom, g, e) : pv_save_open(xen, &dom, marks, g, e);
}
