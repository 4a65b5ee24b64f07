/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/sysctl.h"
#include "xensim/hypervisor/domctl.h"
#include "xensim/hypervisor/policy_op.h"
#include "xensim/hypervisor/tmem_sysctl.h"

#include <errno.h>
#include <unistd.h>

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
    p->outstanding_pages = heap_claimed_frames(&h->machine);
    p->max_mfn = h->machine.nr_frames - 1;
    return 0;
}

static int64_t sys_getdomaininfolist(struct host *h, struct caller *caller, struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    uint64_t va = (uint64_t)(uintptr_t)l->buffer.p;
    uint32_t max = l->max_domains < MAX_DOMAINS ? l->max_domains : MAX_DOMAINS;
    struct xen_domctl_getdomaininfo *out = caller_pointer(caller, va, max * sizeof(*out));

    if (!out)
        return -EFAULT;
    l->num_domains = 0;
    for (unsigned id = l->first_domain; id < MAX_DOMAINS && l->num_domains < max; id++) {
        struct domain *d = domain_get(h, (uint16_t)id);

        if (!d)
            continue;
        domctl_describe(d, &out[l->num_domains++]);
        domain_put(d);
    }
    return 0;
}

/* There is one pool, with all CPUs in it. */
static int64_t sys_cpupool(struct host *h, struct caller *caller, struct xen_sysctl *op)
{
    struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
    const uint32_t bytes = (p->cpumap.nr_bits + 7) / 8;

    if (p->op != XEN_SYSCTL_CPUPOOL_OP_INFO)
        return -ENOSYS;
    if (p->cpupool_id)
        return -ENOENT;

    uint8_t *map = caller_pointer(caller, (uint64_t)(uintptr_t)p->cpumap.bitmap.p, bytes);

    if (!map)
        return -EFAULT;
    memset(map, 0xff, bytes);
    p->sched_id = h->scheduler;
    p->n_dom = 0;
    return 0;
}

/* Not of a Xen of today. */
#define XEN_SYSCTL_tmem_op TMEM_SYSCTL
_Static_assert(sizeof(struct tmem_op) <= sizeof(((struct xen_sysctl *)NULL)->u), "an operand");

static int64_t sys_tmem(struct host *h, struct caller *caller, struct xen_sysctl *op)
{
    struct tmem_op tmem;

    if (!h->tmem)
        return -ENOSYS;
    memcpy(&tmem, &op->u, sizeof(tmem));

    const int64_t rc = do_tmem_op(h, caller, &tmem);

    memcpy(&op->u, &tmem, sizeof(tmem));
    return rc;
}

int64_t do_sysctl(struct host *h, struct caller *caller, uint64_t arg)
{
    struct xen_sysctl *user = caller_pointer(caller, arg, sizeof(*user));
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
        rc = sys_getdomaininfolist(h, caller, &op);
        break;
    case XEN_SYSCTL_get_cpu_policy:
        rc = sysctl_cpu_policy(h, caller, &op);
        break;
    case XEN_SYSCTL_sched_id:
        op.u.sched_id.sched_id = h->scheduler;
        rc = 0;
        break;
    case XEN_SYSCTL_cpupool_op:
        rc = sys_cpupool(h, caller, &op);
        break;
    case XEN_SYSCTL_tmem_op:
        rc = sys_tmem(h, caller, &op);
        break;
    default:
        host_log_rate(h, "sysctl %u is not modelled", op.cmd);
        rc = -ENOSYS;
    }
    *user = op;
    return rc;
}
