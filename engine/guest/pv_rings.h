/* SPDX-License-Identifier: MIT */
/*
 * Where the rings of a PV guest are, at the source. Its start_info says so, but is found only when
 * it suspends (vCPU 0 passes its frame to that call), and until then it names machine frames. While
 * the guest runs, xenstore has what the toolstack was told when the domain was built.
 */
#ifndef ENGINE_GUEST_PV_RINGS_H
#define ENGINE_GUEST_PV_RINGS_H

#include "engine/guest/pv_memory.h"

struct xs_handle;

struct pv_rings {
    bool known;
    uint64_t store_pfn, console_pfn;
};

/* As xenstore has it, if that names two frames of the guest's; else nothing is known. */
void pv_rings_find(struct xs_handle *xs, const struct pv_memory *m, struct pv_rings *r);

/* With the guest suspended: ERR_GUEST if its start_info, at that PFN, names others. */
int pv_rings_check(struct xen *x, const struct pv_memory *m, const struct pv_rings *r,
    uint64_t start_info_pfn, struct err *e);

#endif
