/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/domctl.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/policy_op.h"
#include "xensim/hypervisor/shadow_op.h"
#include "xensim/hypervisor/vcpu_op.h"

#include <errno.h>

enum { MAX_PAGEFRAMEINFO = 1024 };

static uint64_t cpu_time_ns(const struct domain *d)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i])
            total += atomic_load(&d->vcpus[i]->cpu_time_ns);
    return total;
}

void domctl_describe(const struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = d->id;
    info->flags = (d->dying ? XEN_DOMINF_dying : 0) | (d->hvm ? XEN_DOMINF_hvm_guest : 0) |
                  (d->hap ? XEN_DOMINF_hap : 0) | (d->controller_pauses ? XEN_DOMINF_paused : 0);
    if (d->is_shut_down)
        info->flags |= XEN_DOMINF_shutdown | d->shutdown_code << XEN_DOMINF_shutdownshift;
    else
        info->flags |= d->controller_pauses ? XEN_DOMINF_blocked : XEN_DOMINF_running;
    info->tot_pages = d->tot_pages;
    info->max_pages = d->max_pages;
    info->shared_info_frame = d->shared_info_mfn;
    info->cpu_time = cpu_time_ns(d);
    info->max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        if (!d->vcpus[i])
            continue;
        info->max_vcpu_id = i;
        info->nr_online_vcpus += d->vcpus[i]->online;
    }
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->gpaddr_bits = 39;
    info->arch_config = d->arch_config;
}

static int64_t op_getdomaininfo(struct host *h, struct xen_domctl *op)
{
    struct domain *d = NULL;

    /* Xen takes the first domain at or after the one that was asked for. */
    for (unsigned id = op->domain; id < MAX_DOMAINS && !d; id++)
        d = domain_get(h, (uint16_t)id);
    if (!d)
        return -ESRCH;
    domctl_describe(d, &op->u.getdomaininfo);
    op->domain = d->id;
    domain_put(d);
    return 0;
}

static int64_t op_createdomain(struct host *h, struct xen_domctl *op)
{
    struct domain *d;
    int rc = domain_create(
        h, op->domain < DOMID_FIRST_RESERVED ? op->domain : 0, &op->u.createdomain, &d);

    if (rc)
        return rc;
    op->domain = d->id;
    host_notify(h);
    return 0;
}

static int64_t op_getpageframeinfo3(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    uint64_t num = op->u.getpageframeinfo3.num;

    if (num > MAX_PAGEFRAMEINFO)
        return -E2BIG;

    xen_pfn_t *list = caller_pointer(
        caller, (uint64_t)(uintptr_t)op->u.getpageframeinfo3.array.p, num * sizeof(*list));

    if (!list)
        return -EFAULT;
    pthread_mutex_lock(&d->lock);
    for (uint64_t i = 0; i < num; i++)
        list[i] = page_info_type(d, list[i]);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int64_t op_address_size(struct domain *d, struct xen_domctl *op)
{
    if (d->hvm)
        return -EOPNOTSUPP;
    if (op->cmd == XEN_DOMCTL_get_address_size) {
        op->u.address_size.size = d->pv32 ? 32 : 64;
        return 0;
    }
    if (op->u.address_size.size == (d->pv32 ? 32u : 64u))
        return 0;
    /* Only from 64 to 32, and only while the domain is still empty. */
    if (op->u.address_size.size != 32)
        return -EINVAL;
    if (d->tot_pages)
        return -EACCES;
    d->pv32 = true;
    return 0;
}

static int64_t op_tsc_info(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_tsc_info *t = &op->u.tsc_info;

    if (op->cmd == XEN_DOMCTL_gettscinfo) {
        *t = (struct xen_domctl_tsc_info){.tsc_mode = d->tsc_mode,
            .gtsc_khz = d->tsc_khz,
            .incarnation = d->tsc_incarnation,
            .elapsed_nsec = d->tsc_elapsed_ns};
        return 0;
    }
    d->tsc_mode = t->tsc_mode;
    d->tsc_khz = t->gtsc_khz;
    d->tsc_incarnation = t->incarnation + 1;
    d->tsc_elapsed_ns = t->elapsed_nsec;
    return 0;
}

_Static_assert(sizeof(struct xen_domctl_sched_credit) == sizeof(struct xen_domctl_sched_credit2) &&
                   offsetof(struct xen_domctl_sched_credit, cap) ==
                       offsetof(struct xen_domctl_sched_credit2, cap),
    "credit and credit2 take the same parameters");

static int64_t op_scheduler(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_scheduler_op *o = &op->u.scheduler_op;

    if (o->sched_id != d->host->scheduler || o->sched_id == XEN_SCHEDULER_NULL)
        return -EINVAL;
    if (o->cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
        o->u.credit2.weight = d->sched_weight;
        o->u.credit2.cap = domain_cap(d);
        return 0;
    }
    if (o->cmd != XEN_DOMCTL_SCHEDOP_putinfo)
        return -EINVAL;
    if (o->u.credit2.weight)
        d->sched_weight = o->u.credit2.weight;
    if (o->u.credit2.cap != 0xffff)
        domain_set_cap(d, o->u.credit2.cap);
    return 0;
}

static int64_t op_paging_mempool_size(struct domain *d, struct xen_domctl *op)
{
    uint64_t *bytes = &op->u.paging_mempool.size;

    if (!d->hvm)
        return -EOPNOTSUPP;
    if (op->cmd == XEN_DOMCTL_get_paging_mempool_size) {
        *bytes = d->paging_pool_bytes;
        return 0;
    }
    if (*bytes % PAGE_BYTES)
        return -EINVAL;
    d->paging_pool_bytes = *bytes;
    return 0;
}

static int64_t domain_op(
    struct host *h, struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    switch (op->cmd) {
    case XEN_DOMCTL_destroydomain:
        return domain_destroy(d);
    case XEN_DOMCTL_pausedomain:
        domain_pause_by_controller(d);
        return 0;
    case XEN_DOMCTL_unpausedomain:
        return domain_unpause_by_controller(d);
    case XEN_DOMCTL_resumedomain:
        return domain_resume(d);
    case XEN_DOMCTL_shadow_op:
        return domctl_shadow_op(caller, d, op);
    case XEN_DOMCTL_max_mem:
        d->max_pages = op->u.max_mem.max_memkb >> 2;
        return 0;
    case XEN_DOMCTL_max_vcpus:
        return domain_set_max_vcpus(d, op->u.max_vcpus.max);
    case XEN_DOMCTL_getvcpuinfo:
        return domctl_getvcpuinfo(d, op);
    case XEN_DOMCTL_getvcpucontext:
        return domctl_getvcpucontext(caller, d, op);
    case XEN_DOMCTL_setvcpucontext:
        return domctl_setvcpucontext(caller, d, op);
    case XEN_DOMCTL_get_ext_vcpucontext:
    case XEN_DOMCTL_set_ext_vcpucontext:
        return domctl_ext_vcpucontext(d, op);
    case XEN_DOMCTL_getvcpuextstate:
    case XEN_DOMCTL_setvcpuextstate:
        return domctl_vcpuextstate(caller, d, op);
    case XEN_DOMCTL_get_vcpu_msrs:
    case XEN_DOMCTL_set_vcpu_msrs:
        return domctl_vcpu_msrs(caller, d, op);
    case XEN_DOMCTL_gethvmcontext:
        return domctl_gethvmcontext(caller, d, op);
    case XEN_DOMCTL_sethvmcontext:
        return domctl_sethvmcontext(caller, d, op);
    case XEN_DOMCTL_get_address_size:
    case XEN_DOMCTL_set_address_size:
        return op_address_size(d, op);
    case XEN_DOMCTL_get_cpu_policy:
    case XEN_DOMCTL_set_cpu_policy:
        return domctl_cpu_policy(caller, d, op);
    case XEN_DOMCTL_gettscinfo:
    case XEN_DOMCTL_settscinfo:
        return op_tsc_info(d, op);
    case XEN_DOMCTL_getpageframeinfo3:
        return op_getpageframeinfo3(caller, d, op);
    case XEN_DOMCTL_scheduler_op:
        return op_scheduler(d, op);
    case XEN_DOMCTL_setdomainhandle:
        memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
        return 0;
    case XEN_DOMCTL_get_paging_mempool_size:
    case XEN_DOMCTL_set_paging_mempool_size:
        return op_paging_mempool_size(d, op);
    default:
        host_log_rate(h, "domctl %u is not modelled", op->cmd);
        return -ENOSYS;
    }
}

/* Read-only, so it need not queue behind Xen's one lock for domctls. */
static bool takes_no_domctl_lock(uint32_t cmd)
{
    return cmd == XEN_DOMCTL_getdomaininfo;
}

int64_t do_domctl(struct host *h, struct caller *caller, uint64_t arg)
{
    struct xen_domctl *user = caller_pointer(caller, arg, sizeof(*user));
    int64_t rc;

    if (!user)
        return -EFAULT;

    struct xen_domctl op = *user;

    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    if (!takes_no_domctl_lock(op.cmd))
        pthread_mutex_lock(&h->domctl_lock);
    if (op.cmd == XEN_DOMCTL_createdomain) {
        rc = op_createdomain(h, &op);
    } else if (op.cmd == XEN_DOMCTL_getdomaininfo) {
        rc = op_getdomaininfo(h, &op);
    } else {
        struct domain *d = domain_get(h, op.domain);

        rc = d ? domain_op(h, caller, d, &op) : -ESRCH;
        if (d)
            domain_put(d);
    }
    if (!takes_no_domctl_lock(op.cmd))
        pthread_mutex_unlock(&h->domctl_lock);
    *user = op;
    return rc;
}
