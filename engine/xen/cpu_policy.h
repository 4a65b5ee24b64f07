/* SPDX-License-Identifier: MIT */
/*
 * What a guest may see of its CPU (CPUID leaves and MSRs), and its time stamp counter.
 */
#ifndef ENGINE_XEN_CPU_POLICY_H
#define ENGINE_XEN_CPU_POLICY_H

#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>

/* Arrays as Xen's libraries write them out. */
struct cpu_policy {
    xen_cpuid_leaf_t *leaves;
    xen_msr_entry_t *msrs;
    uint32_t leaf_count, msr_count;
};

/* cpu_policy_free() also after a failure. */
int cpu_policy_read(struct xen *x, uint32_t domid, struct cpu_policy *p, struct err *e);
/* The most that a guest of that kind can have on this host; the same. */
int cpu_policy_read_host(struct xen *x, bool hvm, struct cpu_policy *p, struct err *e);
void cpu_policy_free(struct cpu_policy *p);

/* Give it to a new domain; does nothing when it is empty. */
int cpu_policy_set(struct xen *x, uint32_t domid, const struct cpu_policy *p, struct err *e);

/* What a stream may lack: libxl then gives the domain its own (bits as in libxl). */
enum { CPU_POLICY_NO_LEAVES = 1, CPU_POLICY_NO_MSRS = 2 };

struct tsc_info {
    uint32_t mode, khz;
    uint64_t nsec;
    uint32_t incarnation;
};

int tsc_info_read(struct xen *x, uint32_t domid, struct tsc_info *tsc, struct err *e);
int tsc_info_set(struct xen *x, uint32_t domid, const struct tsc_info *tsc, struct err *e);

#endif
