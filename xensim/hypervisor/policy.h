/*
 * CPU policies: the CPUID leaves and MSRs that a domain sees. xensim has one processor model,
 * the same on every host; a restored domain keeps what its stream said.
 */
#ifndef XENSIM_HYPERVISOR_POLICY_H
#define XENSIM_HYPERVISOR_POLICY_H

#include "xensim/hypervisor/domain.h"

/* Fill both arrays (MAX_CPUID_LEAVES, MAX_POLICY_MSRS long) with the default policy. */
void policy_default(bool hvm, xen_cpuid_leaf_t *leaves, uint32_t *nr_leaves, xen_msr_entry_t *msrs,
    uint32_t *nr_msrs);

/* Merge what a toolstack sets; -ERANGE names the entry in *err_leaf and so on. */
int policy_set(struct domain *d, const xen_cpuid_leaf_t *leaves, uint32_t nr_leaves,
    const xen_msr_entry_t *msrs, uint32_t nr_msrs, uint32_t *err_leaf, uint32_t *err_subleaf,
    uint32_t *err_msr);

#endif
