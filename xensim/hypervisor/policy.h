/* SPDX-License-Identifier: MIT */
/*
 * CPU policies: the CPUID leaves and MSRs that a domain sees. xensim has one processor model, the
 * same on every host but for what an old one lacks; a restored domain keeps what its stream said.
 */
#ifndef XENSIM_HYPERVISOR_POLICY_H
#define XENSIM_HYPERVISOR_POLICY_H

#include "xensim/xen.h"

enum { MAX_CPUID_LEAVES = 128, MAX_POLICY_MSRS = 4 };

struct cpu_policy {
    xen_cpuid_leaf_t leaves[MAX_CPUID_LEAVES]; /* in CPUID order */
    uint32_t nr_leaves;
    xen_msr_entry_t msrs[MAX_POLICY_MSRS];
    uint32_t nr_msrs;
};

/* What a new domain gets; old: from a processor that lacks what others have. */
void policy_default(struct cpu_policy *p, bool old);

/* The entry that a toolstack set and that was refused. */
struct policy_refusal {
    uint32_t leaf, subleaf, msr;
};

/* Merge what a toolstack sets; -ERANGE or -EINVAL names the entry in *refused. */
int policy_merge(struct cpu_policy *p, const xen_cpuid_leaf_t *leaves, uint32_t nr_leaves,
    const xen_msr_entry_t *msrs, uint32_t nr_msrs, struct policy_refusal *refused);

#endif
