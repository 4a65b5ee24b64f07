#include "engine/xen/cpu_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <xenguest.h>

_Static_assert(sizeof(xen_cpuid_leaf_t) == V3_CPUID_LEAF_BYTES, "leaves travel as Xen has them");
_Static_assert(sizeof(xen_msr_entry_t) == V3_MSR_ENTRY_BYTES, "MSRs travel as Xen has them");

static int serialise(
    struct xen *x, uint32_t domid, xc_cpu_policy_t *policy, struct cpu_policy *p, struct err *e)
{
    if (xc_cpu_policy_get_domain(x->xch, domid, policy))
        return err_sys(e, ERR_LOCAL, errno, "cannot read the CPU policy of domain %u", domid);
    if (xc_cpu_policy_serialise(x->xch, policy, p->leaves, &p->leaf_count, p->msrs, &p->msr_count))
        return err_sys(e, ERR_LOCAL, errno, "cannot write out the CPU policy of domain %u", domid);
    return 0;
}

int cpu_policy_read(struct xen *x, uint32_t domid, struct cpu_policy *p, struct err *e)
{
    *p = (struct cpu_policy){0};
    if (xc_cpu_policy_get_size(x->xch, &p->leaf_count, &p->msr_count) < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen how large a CPU policy is");
    p->leaves = calloc(p->leaf_count, sizeof(*p->leaves));
    p->msrs = calloc(p->msr_count, sizeof(*p->msrs));

    xc_cpu_policy_t *policy = xc_cpu_policy_init();
    int rc;

    if (!p->leaves || !p->msrs || !policy)
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for a CPU policy");
    else
        rc = serialise(x, domid, policy, p, e);
    xc_cpu_policy_destroy(policy);
    return rc;
}

void cpu_policy_free(struct cpu_policy *p)
{
    free(p->leaves);
    free(p->msrs);
    *p = (struct cpu_policy){0};
}

int tsc_info_read(struct xen *x, uint32_t domid, struct v3_tsc_info *tsc, struct err *e)
{
    if (xc_domain_get_tsc_info(
            x->xch, domid, &tsc->mode, &tsc->nsec, &tsc->khz, &tsc->incarnation) < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot read the TSC mode of domain %u", domid);
    return 0;
}
