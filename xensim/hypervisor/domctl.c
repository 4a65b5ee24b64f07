#include "xensim/hypervisor/hvmctx.h"
#include "xensim/hypervisor/hypercall.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/policy.h"
#include "xensim/hypervisor/vcpu.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PAGEFRAMEINFO = 1024 };

static uint64_t cpu_time_ns(const struct domain *d)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i])
            total += atomic_load(&d->vcpus[i]->cpu_time_ns);
    return total;
}

void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
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

    /* Xen looks for the first domain at or after the one that was asked for. */
    for (unsigned id = op->domain; id < MAX_DOMAINS && !d; id++)
        d = domain_get(h, (uint16_t)id);
    if (!d)
        return -ESRCH;
    domain_info(d, &op->u.getdomaininfo);
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

static int64_t op_getpageframeinfo3(struct session *s, struct domain *d, struct xen_domctl *op)
{
    uint64_t num = op->u.getpageframeinfo3.num;

    if (num > MAX_PAGEFRAMEINFO)
        return -E2BIG;

    xen_pfn_t *list = session_pointer(
        s, (uint64_t)(uintptr_t)op->u.getpageframeinfo3.array.p, num * sizeof(*list));

    if (!list)
        return -EFAULT;
    pthread_mutex_lock(&d->lock);
    for (uint64_t i = 0; i < num; i++)
        list[i] = page_info_type(d, list[i]);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int64_t read_logdirty(struct session *s, struct domain *d, struct xen_domctl_shadow_op *sop)
{
    uint64_t pages = sop->pages;
    uint64_t va = (uint64_t)(uintptr_t)sop->dirty_bitmap.p;
    uint8_t *out = NULL;

    if (sop->mode & ~(uint32_t)XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)
        return -EINVAL;
    if (va) {
        out = session_pointer(s, va, (pages + 7) / 8);
        if (!out)
            return -EFAULT;
    }
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    sop->stats.dirty_count = (uint32_t)atomic_load(&d->logdirty.dirty_count);
    sop->stats.fault_count = (uint32_t)d->logdirty.fault_count;
    logdirty_read(d, out, pages, sop->op == XEN_DOMCTL_SHADOW_OP_CLEAN);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    return 0;
}

static int64_t op_shadow(struct session *s, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_shadow_op *sop = &op->u.shadow_op;

    if (!d->vcpus[0])
        return -EINVAL;
    switch (sop->op) {
    case XEN_DOMCTL_SHADOW_OP_ENABLE:
        if (!(sop->mode & XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY))
            return -EINVAL;
        return logdirty_enable(d);
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        return logdirty_enable(d);
    case XEN_DOMCTL_SHADOW_OP_OFF:
        /* Without shadow paging Xen answers -EINVAL here for PV, having done what was asked. */
        logdirty_disable(d);
        return !d->hvm && d->host->no_shadow ? -EINVAL : 0;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        return read_logdirty(s, d, sop);
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

static struct vcpu *vcpu_of(struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

static int64_t op_getvcpuinfo(struct domain *d, struct xen_domctl *op)
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

static int64_t op_getvcpucontext(struct session *s, struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = vcpu_of(d, op->u.vcpucontext.vcpu);
    uint64_t va = (uint64_t)(uintptr_t)op->u.vcpucontext.ctxt.p;
    size_t bytes = d->pv32 ? sizeof(v->pv.x32) : sizeof(v->pv.x64);
    uint8_t *out = session_pointer(s, va, bytes);

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

static int64_t op_setvcpucontext(struct session *s, struct domain *d, struct xen_domctl *op)
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
        const uint8_t *in = session_pointer(s, va, bytes);

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

static int64_t op_ext_vcpucontext(struct domain *d, struct xen_domctl *op)
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

static int64_t op_vcpuextstate(struct session *s, struct domain *d, struct xen_domctl *op)
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
        uint8_t *out = session_pointer(s, va, v->xsave_bytes);

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

    const uint8_t *in = session_pointer(s, va, e->size);

    if (!in)
        return -EFAULT;
    memcpy(v->xsave, in, e->size);
    v->xsave_bytes = (uint32_t)e->size;
    return 0;
}

static int64_t op_vcpu_msrs(struct session *s, struct domain *d, struct xen_domctl *op)
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
        struct xen_domctl_vcpu_msr *out = session_pointer(
            s, va, (uint64_t)v->nr_msrs * sizeof(*out));

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

    const struct xen_domctl_vcpu_msr *in = session_pointer(
        s, va, (uint64_t)m->msr_count * sizeof(*in));

    if (!in)
        return -EFAULT;
    for (uint32_t i = 0; i < m->msr_count; i++)
        if (in[i].reserved)
            return -EINVAL;
    memcpy(v->msrs, in, m->msr_count * sizeof(*in));
    v->nr_msrs = m->msr_count;
    return 0;
}

static int64_t op_gethvmcontext(struct session *s, struct domain *d, struct xen_domctl *op)
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
    uint8_t *out = session_pointer(s, va, bytes);

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

static int64_t op_sethvmcontext(struct session *s, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext *c = &op->u.hvmcontext;
    const uint8_t *in = session_pointer(s, (uint64_t)(uintptr_t)c->buffer.p, c->size);

    if (!d->hvm)
        return -EINVAL;
    if (!in)
        return -EFAULT;
    domain_pause(d);

    int rc = hvmctx_load(d, in, c->size);

    domain_unpause(d);
    return rc;
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

static int64_t copy_policy(struct session *s, const xen_cpuid_leaf_t *leaves, uint32_t nr_leaves,
    const xen_msr_entry_t *msrs, uint32_t nr_msrs, uint64_t leaves_va, uint64_t msrs_va,
    uint32_t *room_leaves, uint32_t *room_msrs)
{
    if (leaves_va) {
        void *out = session_pointer(s, leaves_va, nr_leaves * sizeof(*leaves));

        if (*room_leaves < nr_leaves)
            return -ENOBUFS;
        if (!out)
            return -EFAULT;
        memcpy(out, leaves, nr_leaves * sizeof(*leaves));
    }
    if (msrs_va) {
        void *out = session_pointer(s, msrs_va, nr_msrs * sizeof(*msrs));

        if (*room_msrs < nr_msrs)
            return -ENOBUFS;
        if (!out)
            return -EFAULT;
        memcpy(out, msrs, nr_msrs * sizeof(*msrs));
    }
    *room_leaves = leaves_va ? nr_leaves : MAX_CPUID_LEAVES;
    *room_msrs = msrs_va ? nr_msrs : MAX_POLICY_MSRS;
    return 0;
}

static int64_t op_cpu_policy(struct session *s, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;
    uint64_t leaves_va = (uint64_t)(uintptr_t)p->leaves.p;
    uint64_t msrs_va = (uint64_t)(uintptr_t)p->msrs.p;

    if (op->cmd == XEN_DOMCTL_get_cpu_policy)
        return copy_policy(s, d->leaves, d->nr_leaves, d->policy_msrs, d->nr_policy_msrs, leaves_va,
            msrs_va, &p->nr_leaves, &p->nr_msrs);
    if (d->creation_finished)
        return -EEXIST;
    if (p->nr_leaves > MAX_CPUID_LEAVES || p->nr_msrs > MAX_POLICY_MSRS)
        return -E2BIG;

    const xen_cpuid_leaf_t *leaves = session_pointer(
        s, leaves_va, (uint64_t)p->nr_leaves * sizeof(*leaves));
    const xen_msr_entry_t *msrs = session_pointer(s, msrs_va, (uint64_t)p->nr_msrs * sizeof(*msrs));

    if ((p->nr_leaves && !leaves) || (p->nr_msrs && !msrs))
        return -EFAULT;
    return policy_set(
        d, leaves, p->nr_leaves, msrs, p->nr_msrs, &p->err_leaf, &p->err_subleaf, &p->err_msr);
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

static int64_t domain_op(struct host *h, struct session *s, struct domain *d, struct xen_domctl *op)
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
        return op_shadow(s, d, op);
    case XEN_DOMCTL_max_mem:
        d->max_pages = op->u.max_mem.max_memkb >> 2;
        return 0;
    case XEN_DOMCTL_max_vcpus:
        return domain_set_max_vcpus(d, op->u.max_vcpus.max);
    case XEN_DOMCTL_getvcpuinfo:
        return op_getvcpuinfo(d, op);
    case XEN_DOMCTL_getvcpucontext:
        return op_getvcpucontext(s, d, op);
    case XEN_DOMCTL_setvcpucontext:
        return op_setvcpucontext(s, d, op);
    case XEN_DOMCTL_get_ext_vcpucontext:
    case XEN_DOMCTL_set_ext_vcpucontext:
        return op_ext_vcpucontext(d, op);
    case XEN_DOMCTL_getvcpuextstate:
    case XEN_DOMCTL_setvcpuextstate:
        return op_vcpuextstate(s, d, op);
    case XEN_DOMCTL_get_vcpu_msrs:
    case XEN_DOMCTL_set_vcpu_msrs:
        return op_vcpu_msrs(s, d, op);
    case XEN_DOMCTL_gethvmcontext:
        return op_gethvmcontext(s, d, op);
    case XEN_DOMCTL_sethvmcontext:
        return op_sethvmcontext(s, d, op);
    case XEN_DOMCTL_get_address_size:
    case XEN_DOMCTL_set_address_size:
        return op_address_size(d, op);
    case XEN_DOMCTL_get_cpu_policy:
    case XEN_DOMCTL_set_cpu_policy:
        return op_cpu_policy(s, d, op);
    case XEN_DOMCTL_gettscinfo:
    case XEN_DOMCTL_settscinfo:
        return op_tsc_info(d, op);
    case XEN_DOMCTL_getpageframeinfo3:
        return op_getpageframeinfo3(s, d, op);
    case XEN_DOMCTL_scheduler_op:
        return op_scheduler(d, op);
    case XEN_DOMCTL_setdomainhandle:
        memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
        return 0;
    case XEN_DOMCTL_get_paging_mempool_size:
        if (!d->hvm)
            return -EOPNOTSUPP;
        op->u.paging_mempool.size = d->paging_pool_bytes;
        return 0;
    case XEN_DOMCTL_set_paging_mempool_size:
        if (!d->hvm)
            return -EOPNOTSUPP;
        if (op->u.paging_mempool.size % PAGE_BYTES)
            return -EINVAL;
        d->paging_pool_bytes = op->u.paging_mempool.size;
        return 0;
    default:
        host_log_rate(h, "domctl %u is not modelled", op->cmd);
        return -ENOSYS;
    }
}

/* These look and do not change: they need not queue behind Xen's one lock for domctls. */
static bool takes_no_domctl_lock(uint32_t cmd)
{
    return cmd == XEN_DOMCTL_getdomaininfo;
}

int64_t do_domctl(struct host *h, struct session *s, uint64_t arg)
{
    struct xen_domctl *user = session_pointer(s, arg, sizeof(*user));
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

        rc = d ? domain_op(h, s, d, &op) : -ESRCH;
        if (d)
            domain_put(d);
    }
    if (!takes_no_domctl_lock(op.cmd))
        pthread_mutex_unlock(&h->domctl_lock);
    *user = op;
    return rc;
}

static int64_t sys_physinfo(struct host *h, struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;

    memset(p, 0, sizeof(*p));
    p->threads_per_core = 1;
    p->nr_cpus = p->cores_per_socket = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    p->max_cpu_id = p->nr_cpus - 1;
    p->nr_nodes = 1;
    p->cpu_khz = 2600000;
    p->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_hap |
                      (h->no_shadow ? 0 : XEN_SYSCTL_PHYSCAP_shadow) | XEN_SYSCTL_PHYSCAP_gnttab_v1;
    p->total_pages = h->machine.nr_frames;
    p->free_pages = heap_free_frames(&h->machine);
    p->max_mfn = h->machine.nr_frames - 1;
    return 0;
}

static int64_t sys_getdomaininfolist(struct host *h, struct session *s, struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    uint64_t va = (uint64_t)(uintptr_t)l->buffer.p;
    uint32_t max = l->max_domains < MAX_DOMAINS ? l->max_domains : MAX_DOMAINS;
    struct xen_domctl_getdomaininfo *out = session_pointer(s, va, max * sizeof(*out));

    if (!out)
        return -EFAULT;
    l->num_domains = 0;
    for (unsigned id = l->first_domain; id < MAX_DOMAINS && l->num_domains < max; id++) {
        struct domain *d = domain_get(h, (uint16_t)id);

        if (!d)
            continue;
        domain_info(d, &out[l->num_domains++]);
        domain_put(d);
    }
    return 0;
}

static int64_t sys_cpu_policy(struct session *s, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    xen_cpuid_leaf_t leaves[MAX_CPUID_LEAVES];
    xen_msr_entry_t msrs[MAX_POLICY_MSRS];
    uint32_t nr_leaves, nr_msrs;

    if (p->index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    policy_default(
        p->index == XEN_SYSCTL_cpu_policy_hvm_default, leaves, &nr_leaves, msrs, &nr_msrs);
    return copy_policy(s, leaves, nr_leaves, msrs, nr_msrs, (uint64_t)(uintptr_t)p->leaves.p,
        (uint64_t)(uintptr_t)p->msrs.p, &p->nr_leaves, &p->nr_msrs);
}

/* All CPUs are in the one pool that there is. */
static int64_t sys_cpupool(struct host *h, struct session *s, struct xen_sysctl *op)
{
    struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
    const uint32_t bytes = (p->cpumap.nr_bits + 7) / 8;

    if (p->op != XEN_SYSCTL_CPUPOOL_OP_INFO)
        return -ENOSYS;
    if (p->cpupool_id)
        return -ENOENT;

    uint8_t *map = session_pointer(s, (uint64_t)(uintptr_t)p->cpumap.bitmap.p, bytes);

    if (!map)
        return -EFAULT;
    memset(map, 0xff, bytes);
    p->sched_id = h->scheduler;
    p->n_dom = 0;
    return 0;
}

int64_t do_sysctl(struct host *h, struct session *s, uint64_t arg)
{
    struct xen_sysctl *user = session_pointer(s, arg, sizeof(*user));
    int64_t rc;

    if (!user)
        return -EFAULT;

    struct xen_sysctl op = *user;

    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    switch (op.cmd) {
    case XEN_SYSCTL_physinfo:
        rc = sys_physinfo(h, &op);
        break;
    case XEN_SYSCTL_getdomaininfolist:
        rc = sys_getdomaininfolist(h, s, &op);
        break;
    case XEN_SYSCTL_get_cpu_policy:
        rc = sys_cpu_policy(s, &op);
        break;
    case XEN_SYSCTL_sched_id:
        op.u.sched_id.sched_id = h->scheduler;
        rc = 0;
        break;
    case XEN_SYSCTL_cpupool_op:
        rc = sys_cpupool(h, s, &op);
        break;
    default:
        host_log_rate(h, "sysctl %u is not modelled", op.cmd);
        rc = -ENOSYS;
    }
    *user = op;
    return rc;
}
