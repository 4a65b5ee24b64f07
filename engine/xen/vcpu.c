/* SPDX-License-Identifier: MIT */
#include "engine/xen/vcpu.h"

#include "engine/xen/hbuf.h"

#include <errno.h>
#include <string.h>

static int cannot_read(const char *what, uint32_t vcpu, uint32_t domid, int code, struct err *e)
{
    return err_sys(
        e, ERR_LOCAL, code, "cannot read the %s of vCPU %u of domain %u", what, vcpu, domid);
}

int vcpu_is_online(struct xen *x, uint32_t domid, uint32_t vcpu, bool *online, struct err *e)
{
    xc_vcpuinfo_t info;

    if (xc_vcpu_getinfo(x->xch, domid, vcpu, &info))
        return cannot_read("status", vcpu, domid, errno, e);
    *online = info.online;
    return 0;
}

int vcpu_read_context(
    struct xen *x, uint32_t domid, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e)
{
    if (xc_vcpu_getcontext(x->xch, domid, vcpu, context))
        return cannot_read("registers", vcpu, domid, errno, e);
    return 0;
}

int vcpu_read_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_get_ext_vcpucontext,
        .domain = (domid_t)domid,
        .u.ext_vcpucontext.vcpu = vcpu,
    };
    struct xen_domctl_ext_vcpucontext *const context = &domctl.u.ext_vcpucontext;

    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("extended context", vcpu, domid, errno, e);
    if (!context->size)
        return 0;
    if (context->size > sizeof(domctl.u))
        return cannot_read("extended context", vcpu, domid, E2BIG, e);
    return blob_keep(blob, &domctl.u, context->size, e);
}

int vcpu_read_xsave(struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_getvcpuextstate,
        .domain = (domid_t)domid,
        .u.vcpuextstate.vcpu = vcpu,
    };
    struct xen_domctl_vcpuextstate *const state = &domctl.u.vcpuextstate;
    struct hbuf buffer;

    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("xsave size", vcpu, domid, errno, e);
    if (!state->xfeature_mask || !state->size)
        return 0;

    int rc = hbuf_alloc(x, &buffer, state->size, e);

    if (rc)
        return rc;
    set_xen_guest_handle_raw(state->buffer, buffer.mem);
    if (xc_domctl(x->xch, &domctl) < 0)
        rc = cannot_read("xsave state", vcpu, domid, errno, e);
    else if (state->size)
        rc = blob_keep(blob, buffer.mem, state->size, e);
    hbuf_free(x, &buffer);
    return rc;
}

int vcpu_read_msrs(struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e)
{
    struct xen_domctl domctl = {
        .cmd = XEN_DOMCTL_get_vcpu_msrs,
        .domain = (domid_t)domid,
        .u.vcpu_msrs.vcpu = vcpu,
    };
    struct xen_domctl_vcpu_msrs *const msrs = &domctl.u.vcpu_msrs;
    struct hbuf buffer;

    if (xc_domctl(x->xch, &domctl) < 0)
        return cannot_read("number of MSRs", vcpu, domid, errno, e);
    if (!msrs->msr_count)
        return 0;

    int rc = hbuf_alloc(x, &buffer, msrs->msr_count * sizeof(xen_domctl_vcpu_msr_t), e);

    if (rc)
        return rc;
    set_xen_guest_handle_raw(msrs->msrs, buffer.mem);
    if (xc_domctl(x->xch, &domctl) < 0)
        rc = cannot_read("MSRs", vcpu, domid, errno, e);
    else if (msrs->msr_count)
        rc = blob_keep(blob, buffer.mem, msrs->msr_count * sizeof(xen_domctl_vcpu_msr_t), e);
    hbuf_free(x, &buffer);
    return rc;
}

int vcpu_set_context(
    struct xen *x, uint32_t domid, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e)
{
    if (xc_vcpu_setcontext(x->xch, domid, vcpu, context))
        return err_sys(e, ERR_LOCAL, errno, "Xen refused the context of vCPU %u", vcpu);
    return 0;
}

int vcpu_set_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e)
{
    struct xen_domctl domctl = {.cmd = XEN_DOMCTL_set_ext_vcpucontext, .domain = (domid_t)domid};

    if (!blob->data)
        return 0;
    /* It says itself how much of it counts: old streams have all of the union. */
    if (blob->len_bytes > sizeof(domctl.u))
        return err_set(e, ERR_PEER, EPROTO, "vCPU %u has an extended context of %zu bytes", vcpu,
            blob->len_bytes);
    memcpy(&domctl.u, blob->data, blob->len_bytes);
    if (domctl.u.ext_vcpucontext.vcpu != vcpu)
        return err_set(e, ERR_PEER, EPROTO, "the extended context of vCPU %u says that it is of %u",
            vcpu, domctl.u.ext_vcpucontext.vcpu);
    if (xc_domctl(x->xch, &domctl))
        return err_sys(e, ERR_LOCAL, errno, "Xen refused the extended context of vCPU %u", vcpu);
    return 0;
}

/* XSAVE or MSRS: both go to Xen through a buffer of their own. */
static int set_buffered(struct xen *x, uint32_t domid, uint32_t vcpu, uint32_t cmd,
    const struct blob *blob, struct err *e)
{
    struct xen_domctl domctl = {.cmd = cmd, .domain = (domid_t)domid};
    struct hbuf buffer;

    if (!blob->data)
        return 0;

    int rc = hbuf_alloc(x, &buffer, blob->len_bytes, e);

    if (rc)
        return rc;
    memcpy(buffer.mem, blob->data, blob->len_bytes);
    if (cmd == XEN_DOMCTL_setvcpuextstate) {
        domctl.u.vcpuextstate.vcpu = vcpu;
        domctl.u.vcpuextstate.size = blob->len_bytes;
        set_xen_guest_handle_raw(domctl.u.vcpuextstate.buffer, buffer.mem);
    } else {
        domctl.u.vcpu_msrs.vcpu = vcpu;
        domctl.u.vcpu_msrs.msr_count = (uint32_t)(blob->len_bytes / sizeof(xen_domctl_vcpu_msr_t));
        set_xen_guest_handle_raw(domctl.u.vcpu_msrs.msrs, buffer.mem);
    }
    if (xc_domctl(x->xch, &domctl))
        rc = err_sys(e, ERR_LOCAL, errno, "Xen refused the %s of vCPU %u",
            cmd == XEN_DOMCTL_setvcpuextstate ? "xsave area" : "MSRs", vcpu);
    hbuf_free(x, &buffer);
    return rc;
}

int vcpu_set_xsave(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e)
{
    return set_buffered(x, domid, vcpu, XEN_DOMCTL_setvcpuextstate, blob, e);
}

int vcpu_set_msrs(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e)
{
    return set_buffered(x, domid, vcpu, XEN_DOMCTL_set_vcpu_msrs, blob, e);
}
