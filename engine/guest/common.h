/* SPDX-License-Identifier: MIT */
/*
 * What guests of both types have, on the way out and in: CPU policies, the time stamp counter, and
 * rings.
 */
#ifndef ENGINE_GUEST_COMMON_H
#define ENGINE_GUEST_COMMON_H

#include "engine/guest/guest.h"
#include "engine/guest/loader.h"
#include "engine/xen/cpu_policy.h"

int send_cpu_policy(struct guest *g, struct out *out, struct err *e);
int send_tsc_info(struct guest *g, struct out *out, struct err *e);
/* None if there are none. */
int send_kernel_notes(const struct kernel_notes *n, struct out *out, struct err *e);

/* X86_CPUID_POLICY or X86_MSR_POLICY: kept until both are there, then set together. */
int load_cpu_policy(
    struct loader *l, uint32_t type, const void *body, size_t len_bytes, struct err *e);
int set_cpu_policy(struct loader *l, struct err *e);

int load_tsc_info(struct loader *l, const void *body, size_t len_bytes, struct err *e);

/* At the end: let the rings' backends map them. */
int seed_grants(struct loader *l, const struct guest_rings *rings, struct err *e);

#endif
