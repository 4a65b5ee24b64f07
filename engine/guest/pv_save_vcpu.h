/* SPDX-License-Identifier: MIT */
/*
 * The registers of a PV guest's vCPU at the source: the frames that they name are the host's
 * (MFNs) and become the guest's own (PFNs).
 */
#ifndef ENGINE_GUEST_PV_SAVE_VCPU_H
#define ENGINE_GUEST_PV_SAVE_VCPU_H

#include "engine/guest/pv_memory.h"

/*
 * Start_info in edx (vCPU 0, which made the suspend call), the GDT's frames, cr3 and, 64 bit, the
 * user's page tables in cr1. ERR_GUEST when one is not the guest's.
 */
int canonicalise_vcpu(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e);

#endif
