/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/shadow_op.h"

#include <errno.h>

static int enable(struct domain *d)
{
    if (atomic_load(&d->logdirty.enabled))
        return -EINVAL;
    if (!d->hvm && d->host->no_shadow)
        return -EOPNOTSUPP;
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    logdirty_enable(&d->logdirty);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    return 0;
}

static void disable(struct domain *d)
{
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    logdirty_disable(&d->logdirty);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
}

static int64_t read_logdirty(
    struct caller *caller, struct domain *d, struct xen_domctl_shadow_op *sop)
{
    uint64_t pages = sop->pages;
    uint64_t va = (uint64_t)(uintptr_t)sop->dirty_bitmap.p;
    uint8_t *out = NULL;

    if (sop->mode & ~(uint32_t)XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)
        return -EINVAL;
    if (va) {
        out = caller_pointer(caller, va, (pages + 7) / 8);
        if (!out)
            return -EFAULT;
    }
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    sop->stats.dirty_count = (uint32_t)atomic_load(&d->logdirty.dirty_count);
    sop->stats.fault_count = (uint32_t)d->logdirty.fault_count;
    logdirty_read(&d->logdirty, out, pages, sop->op == XEN_DOMCTL_SHADOW_OP_CLEAN);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    return 0;
}

int64_t domctl_shadow_op(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_shadow_op *sop = &op->u.shadow_op;

    if (!d->vcpus[0])
        return -EINVAL;
    switch (sop->op) {
    case XEN_DOMCTL_SHADOW_OP_ENABLE:
        if (!(sop->mode & XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY))
            return -EINVAL;
        return enable(d);
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        return enable(d);
    case XEN_DOMCTL_SHADOW_OP_OFF:
        /* Without shadow paging Xen answers -EINVAL here for PV, having done what was asked. */
        disable(d);
        return !d->hvm && d->host->no_shadow ? -EINVAL : 0;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        return read_logdirty(caller, d, sop);
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        sop->mb = (uint32_t)(d->paging_pool_bytes >> 20);
        return 0;
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        d->paging_pool_bytes = (uint64_t)sop->mb << 20;
        return 0;
    default:
        host_log_rate(d->host, "shadow_op %u is not modelled", sop->op);
        return -EINVAL;
    }
}
