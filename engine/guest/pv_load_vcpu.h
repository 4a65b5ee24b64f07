/* SPDX-License-Identifier: MIT */
/* A PV guest's vCPUs at the destination, with every page in place. */
#ifndef ENGINE_GUEST_PV_LOAD_VCPU_H
#define ENGINE_GUEST_PV_LOAD_VCPU_H

#include "engine/guest/pv_state.h"

/* Start_info, then every vCPU that came: their frames become machine frames, and Xen gets them. */
int pv_set_vcpus(struct loader *l, struct guest_rings *rings, struct err *e);

#endif
