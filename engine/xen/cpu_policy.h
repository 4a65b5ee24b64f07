/*
 * What a guest may see of its CPU (CPUID leaves and MSRs), and its time stamp counter.
 */
#ifndef ENGINE_XEN_CPU_POLICY_H
#define ENGINE_XEN_CPU_POLICY_H

#include "engine/xen/xen.h"
#include "transport/v3.h"

/* Arrays in the layout of the stream's records. */
struct cpu_policy {
    xen_cpuid_leaf_t *leaves;
    xen_msr_entry_t *msrs;
    uint32_t leaf_count, msr_count;
};

/* cpu_policy_free() also after a failure. */
int cpu_policy_read(struct xen *x, uint32_t domid, struct cpu_policy *p, struct err *e);
void cpu_policy_free(struct cpu_policy *p);

int tsc_info_read(struct xen *x, uint32_t domid, struct v3_tsc_info *tsc, struct err *e);

#endif
