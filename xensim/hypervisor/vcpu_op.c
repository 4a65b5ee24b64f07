/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/vcpu_op.h"
#include "xensim/hypervisor/hvmctx.h"
#include "xensim/hypervisor/vcpu.h"

#include <errno.h>

static struct vcpu *vcpu_of(struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

int64_t domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;

    if (info->vcpu >= d->max_vcpus)
        return -EINVAL;

    struct vcpu *v = d->vcpus[info->vcpu];

    if (!v)
        return -ESRCH;
    info->online = v->online;
    info->blocked = 0;
    info->running = v->online && !atomic_load(&d->pause_count);
    info->cpu_time = atomic_load(&v->cpu_time_ns);
    info->cpu = 0;
    return 0;
}

int64_t domctl_getvcpucontext(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = vcpu_of(d, op->u.vcpucontext.vcpu);
    uint64_t va = (uint64_t)(uintptr_t)op->u.vcpucontext.ctxt.p;
    size_t bytes = d->pv32 ? sizeof(v->pv.x32) : sizeof(v->pv.x64);
    uint8_t *out = caller_pointer(caller, va, bytes);

    if (op->u.vcpucontext.vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (!v->initialised)
        return -ENODATA;
    if (!out)
        return -EFAULT;
    domain_pause(d);

    vcpu_guest_context_any_t context;

    vcpu_get_context(v, &context);
    memcpy(out, &context, bytes);
    domain_unpause(d);
    return 0;
}

int64_t domctl_setvcpucontext(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = vcpu_of(d, op->u.vcpucontext.vcpu);
    uint64_t va = (uint64_t)(uintptr_t)op->u.vcpucontext.ctxt.p;
    size_t bytes = d->pv32 ? sizeof(v->pv.x32) : sizeof(v->pv.x64);
    vcpu_guest_context_any_t context = {0};
    int rc;

    if (op->u.vcpucontext.vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (va) {
        const uint8_t *in = caller_pointer(caller, va, bytes);

        if (!in)
            return -EFAULT;
        memcpy(&context, in, bytes);
    }
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    rc = va ? vcpu_set_context(v, &context) : vcpu_reset(v);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    return rc;
}

int64_t domctl_ext_vcpucontext(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
    struct vcpu *v = vcpu_of(d, e->vcpu);

    if (!v)
        return -ESRCH;
    if (op->cmd == XEN_DOMCTL_get_ext_vcpucontext) {
        *e = v->ext;
        e->size = sizeof(*e);
        return 0;
    }
    if (e->size < offsetof(struct xen_domctl_ext_vcpucontext, vmce))
        return -EINVAL;
    v->ext = *e;
    return 0;
}

int64_t domctl_vcpuextstate(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
    struct vcpu *v = vcpu_of(d, e->vcpu);
    uint64_t va = (uint64_t)(uintptr_t)e->buffer.p;

    if (!v)
        return -ESRCH;
    if (op->cmd == XEN_DOMCTL_getvcpuextstate && (!va || (!e->size && !e->xfeature_mask))) {
        e->xfeature_mask = 3;
        e->size = XSAVE_BYTES;
        return 0;
    }
    if (op->cmd == XEN_DOMCTL_getvcpuextstate) {
        uint8_t *out = caller_pointer(caller, va, v->xsave_bytes);

        if (e->size < v->xsave_bytes || e->xfeature_mask != 3)
            return -EINVAL;
        if (!out)
            return -EFAULT;
        memcpy(out, v->xsave, v->xsave_bytes);
        e->size = v->xsave_bytes;
        return 0;
    }
    if (e->size < 16 || e->size > XSAVE_BYTES)
        return -EINVAL;

    const uint8_t *in = caller_pointer(caller, va, e->size);

    if (!in)
        return -EFAULT;
    memcpy(v->xsave, in, e->size);
    v->xsave_bytes = (uint32_t)e->size;
    return 0;
}

int64_t domctl_vcpu_msrs(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
    struct vcpu *v = vcpu_of(d, m->vcpu);
    uint64_t va = (uint64_t)(uintptr_t)m->msrs.p;

    if (!v)
        return -ESRCH;
    if (d->hvm)
        return -EINVAL;
    if (op->cmd == XEN_DOMCTL_get_vcpu_msrs) {
        if (!va) {
            m->msr_count = MAX_MSRS;
            return 0;
        }

        uint32_t room = m->msr_count;
        struct xen_domctl_vcpu_msr *out = caller_pointer(
            caller, va, (uint64_t)v->nr_msrs * sizeof(*out));

        m->msr_count = v->nr_msrs;
        if (room < v->nr_msrs)
            return -ENOBUFS;
        if (!out)
            return -EFAULT;
        memcpy(out, v->msrs, v->nr_msrs * sizeof(*out));
        return 0;
    }
    if (m->msr_count > MAX_MSRS)
        return -EINVAL;

    const struct xen_domctl_vcpu_msr *in = caller_pointer(
        caller, va, (uint64_t)m->msr_count * sizeof(*in));

    if (!in)
        return -EFAULT;
    for (uint32_t i = 0; i < m->msr_count; i++)
        if (in[i].reserved)
            return -EINVAL;
    memcpy(v->msrs, in, m->msr_count * sizeof(*in));
    v->nr_msrs = m->msr_count;
    return 0;
}

int64_t domctl_gethvmcontext(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext *c = &op->u.hvmcontext;
    uint64_t va = (uint64_t)(uintptr_t)c->buffer.p;
    int64_t rc = 0;

    if (!d->hvm)
        return -EINVAL;
    if (!va) {
        c->size = (uint32_t)hvmctx_bytes(d);
        return 0;
    }
    domain_pause(d);

    size_t bytes = hvmctx_bytes(d);
    uint8_t *out = caller_pointer(caller, va, bytes);

    if (c->size < bytes)
        rc = -ENOSPC;
    else if (!out)
        rc = -EFAULT;
    else
        hvmctx_save(d, out);
    domain_unpause(d);
    c->size = (uint32_t)bytes;
    return rc;
}

int64_t domctl_sethvmcontext(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext *c = &op->u.hvmcontext;
    const uint8_t *in = caller_pointer(caller, (uint64_t)(uintptr_t)c->buffer.p, c->size);

    if (!d->hvm)
        return -EINVAL;
    if (!in)
        return -EFAULT;
    domain_pause(d);

    int rc = hvmctx_load(d, in, c->size);

    domain_unpause(d);
    return rc;
}
