/* SPDX-License-Identifier: MIT */
/*
 * The HVM context blob of gethvmcontext and sethvmcontext: a header, then per vCPU the CPU, LAPIC,
 * LAPIC registers, MTRR, MCE and TSC adjust records, then the end. What a PVH guest has; no
 * PC devices.
 */
#ifndef XENSIM_HYPERVISOR_HVMCTX_H
#define XENSIM_HYPERVISOR_HVMCTX_H

#include "xensim/hypervisor/domain.h"

size_t hvmctx_bytes(const struct domain *d);
void hvmctx_save(const struct domain *d, uint8_t *out);

/* -EINVAL and a line in the host's log for a blob that is not well formed. */
int hvmctx_load(struct domain *d, const uint8_t *blob, size_t bytes);

#endif
