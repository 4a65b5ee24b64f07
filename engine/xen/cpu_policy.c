/* SPDX-License-Identifier: MIT */
#include "engine/xen/cpu_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <xenguest.h>

_Static_assert((int)CPU_POLICY_NO_LEAVES == (int)XGR_SDD_MISSING_CPUID &&
                   (int)CPU_POLICY_NO_MSRS == (int)XGR_SDD_MISSING_MSR,
    "libxl's bits");

static int serialise(struct xen *x, xc_cpu_policy_t *policy, struct cpu_policy *p, struct err *e)
{
    if (xc_cpu_policy_serialise(x->xch, policy, p->leaves, &p->leaf_count, p->msrs, &p->msr_count))
        return err_sys(e, ERR_LOCAL, errno, "cannot write out a CPU policy");
    return 0;
}

/* Room for the arrays, and the library's own form. */
static int prepare(struct xen *x, struct cpu_policy *p, xc_cpu_policy_t **policy, struct err *e)
{
    *p = (struct cpu_policy){0};
    *policy = NULL;
    if (xc_cpu_policy_get_size(x->xch, &p->leaf_count, &p->msr_count) < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen how large a CPU policy is");
    p->leaves = calloc(p->leaf_count, sizeof(*p->leaves));
    p->msrs = calloc(p->msr_count, sizeof(*p->msrs));
    *policy = xc_cpu_policy_init();
    return p->leaves && p->msrs && *policy
               ? 0
               : err_set(e, ERR_LOCAL, ENOMEM, "no memory for a CPU policy");
}

int cpu_policy_read(struct xen *x, uint32_t domid, struct cpu_policy *p, struct err *e)
{
    xc_cpu_policy_t *policy;
    int rc = prepare(x, p, &policy, e);

    if (!rc && xc_cpu_policy_get_domain(x->xch, domid, policy))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot read the CPU policy of domain %u", domid);
    if (!rc)
        rc = serialise(x, policy, p, e);
    xc_cpu_policy_destroy(policy);
    return rc;
}

int cpu_policy_read_host(struct xen *x, bool hvm, struct cpu_policy *p, struct err *e)
{
    const unsigned which = hvm ? XEN_SYSCTL_cpu_policy_hvm_max : XEN_SYSCTL_cpu_policy_pv_max;
    xc_cpu_policy_t *policy;
    int rc = prepare(x, p, &policy, e);

    if (!rc && xc_cpu_policy_get_system(x->xch, which, policy))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot read what guests' CPUs can have here");
    if (!rc)
        rc = serialise(x, policy, p, e);
    xc_cpu_policy_destroy(policy);
    return rc;
}

void cpu_policy_free(struct cpu_policy *p)
{
    free(p->leaves);
    free(p->msrs);
    *p = (struct cpu_policy){0};
}

int cpu_policy_set(struct xen *x, uint32_t domid, const struct cpu_policy *p, struct err *e)
{
    uint32_t leaf = UINT32_MAX, subleaf = UINT32_MAX, msr = UINT32_MAX;

    if (!p->leaf_count && !p->msr_count)
        return 0;
    if (xc_set_domain_cpu_policy(
            x->xch, domid, p->leaf_count, p->leaves, p->msr_count, p->msrs, &leaf, &subleaf, &msr))
        return err_sys(e, ERR_LOCAL, errno,
            "this host's CPU cannot give domain %u what it had (CPUID leaf %#x/%#x, MSR %#x)",
            domid, leaf, subleaf, msr);
    return 0;
}

int tsc_info_read(struct xen *x, uint32_t domid, struct tsc_info *tsc, struct err *e)
{
    if (xc_domain_get_tsc_info(
            x->xch, domid, &tsc->mode, &tsc->nsec, &tsc->khz, &tsc->incarnation) < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot read the TSC mode of domain %u", domid);
    return 0;
}

int tsc_info_set(struct xen *x, uint32_t domid, const struct tsc_info *tsc, struct err *e)
{
    if (xc_domain_set_tsc_info(x->xch, domid, tsc->mode, tsc->nsec, tsc->khz, tsc->incarnation))
        return err_sys(e, ERR_LOCAL, errno, "Xen refused the TSC settings of domain %u", domid);
    return 0;
}
