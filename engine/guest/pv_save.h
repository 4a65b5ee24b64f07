/* SPDX-License-Identifier: MIT */
/* PV guests at the source. */
#ifndef ENGINE_GUEST_PV_SAVE_H
#define ENGINE_GUEST_PV_SAVE_H

#include "engine/guest/guest.h"

/* For guest_open(). */
int pv_save_open(struct xen *xen, const struct domain *dom, const struct pte_marks *marks,
    struct guest **g, struct err *e);

#endif
