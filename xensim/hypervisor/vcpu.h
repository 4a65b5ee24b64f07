/* SPDX-License-Identifier: MIT */
/*
 * vCPU contexts: the registers as toolstacks get and set them, and as the guest program reads and
 * writes them, whatever the guest's width.
 */
#ifndef XENSIM_HYPERVISOR_VCPU_H
#define XENSIM_HYPERVISOR_VCPU_H

#include "xensim/hypervisor/domain.h"

void vcpu_get_context(const struct vcpu *v, vcpu_guest_context_any_t *out);

/* Load a context. Takes typed references on the page tables and descriptor tables that it names,
 * and fails if they are not valid. A vCPU that has a context may only get one that names the same.
 * d->lock held. */
int vcpu_set_context(struct vcpu *v, const vcpu_guest_context_any_t *in);
int vcpu_reset(struct vcpu *v);

/* The MFN that CR3 names. */
uint64_t vcpu_root_mfn(const struct vcpu *v);
uint64_t cr3_from_mfn(const struct domain *d, uint64_t mfn);

enum vcpu_reg { REG_AX, REG_BX, REG_CX, REG_DX, REG_SI, REG_DI, REG_IP };

uint64_t vcpu_reg_get(const struct vcpu *v, enum vcpu_reg r);
void vcpu_reg_set(struct vcpu *v, enum vcpu_reg r, uint64_t value);

#endif
