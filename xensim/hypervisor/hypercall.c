/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/hypercall.h"
#include "xensim/hypervisor/domctl.h"
#include "xensim/hypervisor/memory_op.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/sysctl.h"

#include <errno.h>

enum { MAX_MULTICALLS = 256, MAX_MMUEXT_OPS = 4096, MAX_DIRTY_EXTENTS = 4096 };

static int64_t do_mmuext_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    uint32_t count = (uint32_t)arg[1];
    struct mmuext_op *ops = caller_pointer(caller, arg[0], (uint64_t)count * sizeof(*ops));
    struct domain *d;
    int64_t rc = 0;

    if (count > MAX_MMUEXT_OPS)
        return -E2BIG;
    if (!ops)
        return -EFAULT;
    d = domain_get(h, (uint16_t)arg[3]);
    if (!d)
        return -ESRCH;
    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < count && !rc; i++) {
        struct mmuext_op op = ops[i];

        switch (op.cmd) {
        case MMUEXT_PIN_L1_TABLE:
        case MMUEXT_PIN_L2_TABLE:
        case MMUEXT_PIN_L3_TABLE:
        case MMUEXT_PIN_L4_TABLE:
            /* Meaningless levels and translated guests: Xen ignores them. */
            if (d->hvm || (d->pv32 && op.cmd == MMUEXT_PIN_L4_TABLE))
                break;
            rc = page_pin(d, op.arg1.mfn, (enum page_type)(PT_L1 + op.cmd - MMUEXT_PIN_L1_TABLE));
            break;
        case MMUEXT_UNPIN_TABLE:
            rc = d->hvm ? 0 : page_unpin(d, op.arg1.mfn);
            break;
        default:
            host_log_rate(h, "mmuext_op %u is not modelled", op.cmd);
            rc = -ENOSYS;
        }
    }
    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    return rc;
}

static int64_t set_hvm_param(struct domain *d, uint32_t index, uint64_t value)
{
    switch (index) {
    case HVM_PARAM_VIRIDIAN:
    case HVM_PARAM_IOREQ_SERVER_PFN:
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
    case HVM_PARAM_ALTP2M:
    case HVM_PARAM_MCA_CAP:
        /* Set once, or to the same again. */
        if (d->hvm_params[index] && d->hvm_params[index] != value)
            return -EEXIST;
        break;
    default:
        break;
    }
    d->hvm_params[index] = value;
    return 0;
}

static int64_t do_hvm_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    struct xen_hvm_param *p = caller_pointer(caller, arg[1], sizeof(*p));
    int64_t rc = 0;

    if (arg[0] != HVMOP_set_param && arg[0] != HVMOP_get_param) {
        host_log_rate(h, "hvm_op %llu is not modelled", (unsigned long long)arg[0]);
        return -ENOSYS;
    }
    if (!p)
        return -EFAULT;

    struct xen_hvm_param a = *p;

    if (a.index >= HVM_NR_PARAMS)
        return -EINVAL;

    struct domain *d = domain_get(h, a.domid);

    if (!d)
        return -ESRCH;
    if (!d->hvm)
        rc = -EINVAL;
    else if (arg[0] == HVMOP_set_param)
        rc = set_hvm_param(d, a.index, a.value);
    else
        p->value = d->hvm_params[a.index];
    domain_put(d);
    return rc;
}

/* Frames without memory are passed over, as by Xen. */
static int64_t modified_memory(struct caller *caller, struct domain *d,
    const struct xen_dm_op_modified_memory *op, const xen_dm_op_buf_t *buf)
{
    const uint64_t bytes = (uint64_t)op->nr_extents *
                           sizeof(struct xen_dm_op_modified_memory_extent);
    const struct xen_dm_op_modified_memory_extent *extents = caller_pointer(
        caller, (uint64_t)(uintptr_t)buf->h.p, bytes);

    if (buf->size < bytes || op->opaque)
        return -EINVAL;
    if (!extents)
        return -EFAULT;
    if (op->nr_extents > MAX_DIRTY_EXTENTS)
        return -E2BIG;
    for (uint32_t i = 0; i < op->nr_extents; i++) {
        const struct xen_dm_op_modified_memory_extent extent = extents[i];

        const uint64_t last = extent.first_pfn + extent.nr - 1;

        pthread_mutex_lock(&d->lock);
        if (extent.pad || last < extent.first_pfn || last > d->max_gpfn) {
            pthread_mutex_unlock(&d->lock);
            return -EINVAL;
        }
        for (uint32_t n = 0; n < extent.nr; n++)
            if (domain_gfn_to_mfn(d, extent.first_pfn + n))
                domain_mark_dirty(d, extent.first_pfn + n);
        pthread_mutex_unlock(&d->lock);
    }
    return 0;
}

static int64_t do_dm_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    const xen_dm_op_buf_t *bufs = caller_pointer(caller, arg[2], 2 * sizeof(*bufs));

    if (arg[1] != 2 || !bufs)
        return -EFAULT;

    const xen_dm_op_buf_t buf = bufs[1];
    const struct xen_dm_op *op = caller_pointer(
        caller, (uint64_t)(uintptr_t)bufs[0].h.p, sizeof(*op));

    if (!op)
        return -EFAULT;

    const struct xen_dm_op a = *op;

    if (a.op != XEN_DMOP_modified_memory) {
        host_log_rate(h, "dm_op %u is not modelled", a.op);
        return -EOPNOTSUPP;
    }

    struct domain *d = domain_get(h, (uint16_t)arg[0]);

    if (!d)
        return -ESRCH;

    const int64_t rc = d->hvm ? modified_memory(caller, d, &a.u.modified_memory, &buf) : -EINVAL;

    domain_put(d);
    return rc;
}

static int64_t alloc_unbound(struct host *h, struct caller *caller, uint64_t va)
{
    struct evtchn_alloc_unbound *p = caller_pointer(caller, va, sizeof(*p));
    struct domain *d;
    int64_t rc = -ENOSPC;

    if (!p)
        return -EFAULT;
    d = domain_get(h, p->dom);
    if (!d)
        return -ESRCH;
    pthread_mutex_lock(&d->lock);
    for (uint32_t port = 1; port < MAX_EVTCHNS; port++)
        if (d->evtchns[port].state == EVTCHN_FREE) {
            d->evtchns[port] = (struct evtchn){EVTCHN_UNBOUND, p->remote_dom};
            p->port = port;
            rc = 0;
            break;
        }
    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    return rc;
}

static int64_t evtchn_status(struct host *h, struct caller *caller, uint64_t va)
{
    struct evtchn_status *p = caller_pointer(caller, va, sizeof(*p));
    struct domain *d;

    if (!p)
        return -EFAULT;
    d = domain_get(h, p->dom);
    if (!d)
        return -ESRCH;

    int64_t rc = p->port < MAX_EVTCHNS ? 0 : -EINVAL;

    if (!rc) {
        pthread_mutex_lock(&d->lock);

        struct evtchn *e = &d->evtchns[p->port];

        p->vcpu = 0;
        p->status = e->state == EVTCHN_FREE ? EVTCHNSTAT_closed : EVTCHNSTAT_unbound;
        p->u.unbound.dom = e->remote;
        pthread_mutex_unlock(&d->lock);
    }
    domain_put(d);
    return rc;
}

static int64_t do_event_channel_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    switch (arg[0]) {
    case EVTCHNOP_alloc_unbound:
        return alloc_unbound(h, caller, arg[1]);
    case EVTCHNOP_status:
        return evtchn_status(h, caller, arg[1]);
    default:
        host_log_rate(h, "event_channel_op %llu is not modelled", (unsigned long long)arg[0]);
        return -ENOSYS;
    }
}

static int64_t do_grant_table_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    if (arg[0] != GNTTABOP_get_version || arg[2] != 1) {
        host_log_rate(h, "grant_table_op %llu is not modelled", (unsigned long long)arg[0]);
        return -ENOSYS;
    }

    struct gnttab_get_version *p = caller_pointer(caller, arg[1], sizeof(*p));
    struct domain *d = p ? domain_get(h, p->dom) : NULL;

    if (!d)
        return p ? -ESRCH : -EFAULT;
    p->version = 1;
    domain_put(d);
    return 0;
}

static int64_t copy_out(struct caller *caller, uint64_t va, const void *data, size_t bytes)
{
    void *p = caller_pointer(caller, va, bytes);

    if (!p)
        return -EFAULT;
    memcpy(p, data, bytes);
    return 0;
}

static int64_t do_xen_version(struct host *h, struct caller *caller, const uint64_t *arg)
{
    switch (arg[0]) {
    case XENVER_version:
        return 4 << 16 | 17;
    case XENVER_pagesize:
        return (int64_t)PAGE_BYTES;
    case XENVER_extraversion: {
        xen_extraversion_t extra = ".5-xensim";

        return copy_out(caller, arg[1], extra, sizeof(extra));
    }
    case XENVER_capabilities: {
        xen_capabilities_info_t caps = "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_64 ";

        return copy_out(caller, arg[1], caps, sizeof(caps));
    }
    case XENVER_changeset: {
        xen_changeset_info_t changeset = "xensim";

        return copy_out(caller, arg[1], changeset, sizeof(changeset));
    }
    case XENVER_compile_info: {
        struct xen_compile_info info = {"cc", "xensim", "xensim", ""};

        return copy_out(caller, arg[1], &info, sizeof(info));
    }
    case XENVER_commandline: {
        xen_commandline_t line = "";

        return copy_out(caller, arg[1], line, sizeof(line));
    }
    case XENVER_build_id:
        return -ENODATA; /* as a Xen that was linked without one */
    case XENVER_platform_parameters: {
        xen_platform_parameters_t params = {.virt_start = 0xffff800000000000ul};

        return copy_out(caller, arg[1], &params, sizeof(params));
    }
    case XENVER_guest_handle: {
        xen_domain_handle_t handle = {0};

        return copy_out(caller, arg[1], handle, sizeof(handle));
    }
    default:
        host_log_rate(h, "xen_version %llu is not modelled", (unsigned long long)arg[0]);
        return -ENOSYS;
    }
}

static int64_t do_sched_op(struct host *h, struct caller *caller, const uint64_t *arg)
{
    if (arg[0] != SCHEDOP_remote_shutdown) {
        host_log_rate(h, "sched_op %llu is not modelled", (unsigned long long)arg[0]);
        return -ENOSYS;
    }

    struct sched_remote_shutdown *p = caller_pointer(caller, arg[1], sizeof(*p));

    if (!p)
        return -EFAULT;

    struct domain *d = domain_get(h, p->domain_id);

    if (!d)
        return -ESRCH;
    domain_shutdown(d, p->reason & 0xff);
    domain_put(d);
    return 0;
}

static int64_t do_multicall(struct caller *caller, const uint64_t *arg)
{
    uint32_t count = (uint32_t)arg[1];
    multicall_entry_t *calls = caller_pointer(caller, arg[0], (uint64_t)count * sizeof(*calls));

    if (count > MAX_MULTICALLS)
        return -E2BIG;
    if (!calls)
        return -EFAULT;
    for (uint32_t i = 0; i < count; i++) {
        multicall_entry_t call = calls[i];

        if (call.op == __HYPERVISOR_multicall)
            return -EINVAL;
        calls[i].result = (xen_ulong_t)hypercall(caller, call.op, (const uint64_t *)call.args);
    }
    return 0;
}

int64_t hypercall(struct caller *caller, uint64_t op, const uint64_t *arg)
{
    struct host *h = caller->host;

    switch (op) {
    case __HYPERVISOR_domctl:
        return do_domctl(h, caller, arg[0]);
    case __HYPERVISOR_sysctl:
        return do_sysctl(h, caller, arg[0]);
    case __HYPERVISOR_multicall:
        return do_multicall(caller, arg);
    case __HYPERVISOR_memory_op:
        return do_memory_op(h, caller, arg[0], arg[1]);
    case __HYPERVISOR_mmuext_op:
        return do_mmuext_op(h, caller, arg);
    case __HYPERVISOR_hvm_op:
        return do_hvm_op(h, caller, arg);
    case __HYPERVISOR_dm_op:
        return do_dm_op(h, caller, arg);
    case __HYPERVISOR_event_channel_op:
        return do_event_channel_op(h, caller, arg);
    case __HYPERVISOR_grant_table_op:
        return do_grant_table_op(h, caller, arg);
    case __HYPERVISOR_xen_version:
        return do_xen_version(h, caller, arg);
    case __HYPERVISOR_sched_op:
        return do_sched_op(h, caller, arg);
    default:
        host_log_rate(h, "hypercall %llu is not modelled", (unsigned long long)op);
        return -ENOSYS;
    }
}
