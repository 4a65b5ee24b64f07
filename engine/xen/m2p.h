/* SPDX-License-Identifier: MIT */
/*
 * Xen's machine-to-physical table: for each frame of the machine, its PFN in its domain. Mapped
 * read-only; Xen goes on changing it.
 */
#ifndef ENGINE_XEN_M2P_H
#define ENGINE_XEN_M2P_H

#include "engine/xen/xen.h"

#include <stddef.h>
#include <stdint.h>

/* Entries from here on mark frames that are no page of one domain (Xen's mm.h: invalid, shared). */
#define M2P_NO_DOMAIN (UINT64_MAX - 1)

struct m2p {
    const uint64_t *pfns; /* by MFN */
    uint64_t entries;     /* MFNs below have one */
    size_t frames;        /* that are mapped for it */
};

/* m2p_unmap() also after a failure. */
int m2p_map(struct xen *x, struct m2p *m, struct err *e);
void m2p_unmap(struct xen *x, struct m2p *m);

/* The first frame of the table that 32-bit guests see. */
int m2p_find_compat(struct xen *x, uint64_t *mfn, struct err *e);

#endif
