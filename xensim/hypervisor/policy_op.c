/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/policy_op.h"

#include <errno.h>

/* A caller that passes neither array asks how many entries there may be. */
static int64_t copy_out(struct caller *caller, const struct cpu_policy *p, uint64_t leaves_va,
    uint64_t msrs_va, uint32_t *nr_leaves, uint32_t *nr_msrs)
{
    if (leaves_va) {
        void *out = caller_pointer(caller, leaves_va, p->nr_leaves * sizeof(*p->leaves));

        if (*nr_leaves < p->nr_leaves)
            return -ENOBUFS;
        if (!out)
            return -EFAULT;
        memcpy(out, p->leaves, p->nr_leaves * sizeof(*p->leaves));
    }
    if (msrs_va) {
        void *out = caller_pointer(caller, msrs_va, p->nr_msrs * sizeof(*p->msrs));

        if (*nr_msrs < p->nr_msrs)
            return -ENOBUFS;
        if (!out)
            return -EFAULT;
        memcpy(out, p->msrs, p->nr_msrs * sizeof(*p->msrs));
    }
    *nr_leaves = leaves_va ? p->nr_leaves : MAX_CPUID_LEAVES;
    *nr_msrs = msrs_va ? p->nr_msrs : MAX_POLICY_MSRS;
    return 0;
}

static int64_t set_policy(struct caller *caller, struct domain *d, struct xen_domctl_cpu_policy *p)
{
    struct policy_refusal refused = {p->err_leaf, p->err_subleaf, p->err_msr};

    if (d->creation_finished)
        return -EEXIST;
    if (p->nr_leaves > MAX_CPUID_LEAVES || p->nr_msrs > MAX_POLICY_MSRS)
        return -E2BIG;

    const xen_cpuid_leaf_t *leaves = caller_pointer(
        caller, (uint64_t)(uintptr_t)p->leaves.p, (uint64_t)p->nr_leaves * sizeof(*leaves));
    const xen_msr_entry_t *msrs = caller_pointer(
        caller, (uint64_t)(uintptr_t)p->msrs.p, (uint64_t)p->nr_msrs * sizeof(*msrs));

    if ((p->nr_leaves && !leaves) || (p->nr_msrs && !msrs))
        return -EFAULT;

    int rc = policy_merge(&d->policy, leaves, p->nr_leaves, msrs, p->nr_msrs, &refused);

    p->err_leaf = refused.leaf;
    p->err_subleaf = refused.subleaf;
    p->err_msr = refused.msr;
    return rc;
}

int64_t domctl_cpu_policy(struct caller *caller, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

    if (op->cmd == XEN_DOMCTL_set_cpu_policy)
        return set_policy(caller, d, p);
    return copy_out(caller, &d->policy, (uint64_t)(uintptr_t)p->leaves.p,
        (uint64_t)(uintptr_t)p->msrs.p, &p->nr_leaves, &p->nr_msrs);
}

int64_t sysctl_cpu_policy(struct host *h, struct caller *caller, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    struct cpu_policy policy;

    if (p->index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    policy_default(&policy, h->old_cpu);
    return copy_out(caller, &policy, (uint64_t)(uintptr_t)p->leaves.p,
        (uint64_t)(uintptr_t)p->msrs.p, &p->nr_leaves, &p->nr_msrs);
}
