/* SPDX-License-Identifier: MIT */
#include "engine/xen/hvm.h"

#include <errno.h>
#include <stdlib.h>

int hvm_check_pod(struct xen *x, uint32_t domid, struct err *e)
{
    uint64_t total, cached = 0, entries = 0;

    /* A Xen without it has nothing to say. */
    if (xc_domain_get_pod_target(x->xch, domid, &total, &cached, &entries))
        return errno == ENOSYS || errno == EOPNOTSUPP
                   ? 0
                   : err_sys(e, ERR_LOCAL, errno,
                         "cannot ask Xen for the populate-on-demand target of domain %u", domid);
    if (entries <= cached)
        return 0;
    return err_set(e, ERR_REFUSED, ENOMEM,
        "domain %u was started with less memory than its maxmem, and its balloon driver has not "
        "given the rest back yet (%llu populate-on-demand pages, memory for %llu): reading it "
        "would crash it; wait, or start it with memory = maxmem",
        domid, (unsigned long long)entries, (unsigned long long)cached);
}

int hvm_context_read(struct xen *x, uint32_t domid, struct blob *context, struct err *e)
{
    const int room = xc_domain_hvm_getcontext(x->xch, domid, NULL, 0);

    if (room < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot size the HVM context of domain %u", domid);

    uint8_t *mem = malloc((size_t)room);

    if (!mem)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for an HVM context of %d bytes", room);

    const int len = xc_domain_hvm_getcontext(x->xch, domid, mem, (uint32_t)room);

    if (len < 0) {
        const int code = errno;

        free(mem);
        return err_sys(e, ERR_LOCAL, code, "cannot read the HVM context of domain %u", domid);
    }
    *context = (struct blob){mem, (size_t)len};
    return 0;
}

int hvm_context_set(struct xen *x, uint32_t domid, const struct blob *context, struct err *e)
{
    if (xc_domain_hvm_setcontext(x->xch, domid, context->data, (uint32_t)context->len_bytes))
        return err_sys(e, ERR_LOCAL, errno, "Xen refused the HVM context of domain %u", domid);
    return 0;
}

int hvm_param_read(struct xen *x, uint32_t domid, uint32_t index, uint64_t *value, struct err *e)
{
    if (xc_hvm_param_get(x->xch, domid, index, value))
        return err_sys(
            e, ERR_LOCAL, errno, "cannot read HVM parameter %u of domain %u", index, domid);
    return 0;
}

int hvm_param_set(struct xen *x, uint32_t domid, uint32_t index, uint64_t value, struct err *e)
{
    int rc;

    do {
        rc = xc_hvm_param_set(x->xch, domid, index, value);
    } while (rc && errno == EINTR);
    if (rc)
        return err_sys(e, ERR_LOCAL, errno, "cannot set HVM parameter %u of domain %u to %#llx",
            index, domid, (unsigned long long)value);
    return 0;
}
