/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/policy.h"

#include <errno.h>
#include <stdbool.h>

#define NO_SUBLEAF        XEN_CPUID_NO_SUBLEAF
#define MSR_PLATFORM_INFO 0xCE
#define MSR_ARCH_CAPS     0x10A

enum { LEAF_1 = 1 }; /* its place in the model */
#define SSE3 0x1u

/* A plain Intel-like processor with SSE2 and nothing that needs care. In CPUID order. */
static const xen_cpuid_leaf_t model[] = {
    {0x0, NO_SUBLEAF, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69},
    {0x1, NO_SUBLEAF, 0x000306f2, 0x00020800, 0x82982203, 0x178bfbff},
    {0x2, NO_SUBLEAF, 0x00feff01, 0, 0, 0},
    {0x4, 0, 0x00000121, 0x01c0003f, 0x0000003f, 0},
    {0x5, NO_SUBLEAF, 0, 0, 0, 0},
    {0x6, NO_SUBLEAF, 0, 0, 0, 0},
    {0x7, 0, 0, 0x00000202, 0, 0},
    {0xa, NO_SUBLEAF, 0, 0, 0, 0},
    {0xd, 0, 0x3, 0x240, 0x240, 0},
    {0xd, 1, 0, 0, 0, 0},
    {0x40000000, NO_SUBLEAF, 0x40000005, 0, 0, 0},
    {0x80000000, NO_SUBLEAF, 0x80000008, 0, 0, 0},
    {0x80000001, NO_SUBLEAF, 0, 0, 0x1, 0x28100800},
    {0x80000002, NO_SUBLEAF, 0x536e6558, 0x70206d69, 0x65636f72, 0x726f7373},
    {0x80000008, NO_SUBLEAF, 0x0000302e, 0, 0, 0},
};

void policy_default(struct cpu_policy *p, bool old)
{
    memcpy(p->leaves, model, sizeof(model));
    if (old)
        p->leaves[LEAF_1].c &= ~SSE3;
    p->nr_leaves = sizeof(model) / sizeof(model[0]);
    p->msrs[0] = (xen_msr_entry_t){.idx = MSR_PLATFORM_INFO, .val = 0};
    p->msrs[1] = (xen_msr_entry_t){.idx = MSR_ARCH_CAPS, .val = 0};
    p->nr_msrs = 2;
}

static bool leaf_in_range(const xen_cpuid_leaf_t *l)
{
    return l->leaf <= 0xd || l->leaf == 0x40000000 || l->leaf == 0x40000100 ||
           (l->leaf >= 0x80000000 && l->leaf <= 0x80000021);
}

static bool leaf_before(const xen_cpuid_leaf_t *a, const xen_cpuid_leaf_t *b)
{
    return a->leaf != b->leaf ? a->leaf < b->leaf : a->subleaf < b->subleaf;
}

/* Insert or replace, keeping the array in CPUID order. */
static int set_leaf(struct cpu_policy *p, const xen_cpuid_leaf_t *l)
{
    uint32_t at = 0;

    while (at < p->nr_leaves && leaf_before(&p->leaves[at], l))
        at++;
    if (at < p->nr_leaves && !leaf_before(l, &p->leaves[at])) {
        p->leaves[at] = *l;
        return 0;
    }
    if (p->nr_leaves == MAX_CPUID_LEAVES)
        return -E2BIG;
    memmove(&p->leaves[at + 1], &p->leaves[at], (p->nr_leaves - at) * sizeof(*l));
    p->leaves[at] = *l;
    p->nr_leaves++;
    return 0;
}

int policy_merge(struct cpu_policy *p, const xen_cpuid_leaf_t *leaves, uint32_t nr_leaves,
    const xen_msr_entry_t *msrs, uint32_t nr_msrs, struct policy_refusal *refused)
{
    if (nr_leaves > MAX_CPUID_LEAVES || nr_msrs > MAX_POLICY_MSRS)
        return -E2BIG;
    for (uint32_t i = 0; i < nr_leaves; i++)
        if (!leaf_in_range(&leaves[i])) {
            refused->leaf = leaves[i].leaf;
            refused->subleaf = leaves[i].subleaf;
            return -ERANGE;
        }
    for (uint32_t i = 0; i < nr_msrs; i++)
        if (msrs[i].flags || (msrs[i].idx != MSR_PLATFORM_INFO && msrs[i].idx != MSR_ARCH_CAPS)) {
            refused->msr = msrs[i].idx;
            return msrs[i].flags ? -EINVAL : -ERANGE;
        }
    for (uint32_t i = 0; i < nr_leaves; i++) {
        int rc = set_leaf(p, &leaves[i]);

        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < nr_msrs; i++)
        for (uint32_t k = 0; k < p->nr_msrs; k++)
            if (p->msrs[k].idx == msrs[i].idx)
                p->msrs[k] = msrs[i];
    return 0;
}
