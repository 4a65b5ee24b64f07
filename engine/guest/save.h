/* SPDX-License-Identifier: MIT */
/* Opening a guest at the source, whatever its type. */
#ifndef ENGINE_GUEST_SAVE_H
#define ENGINE_GUEST_SAVE_H

#include "engine/guest/guest.h"

/* Read what the domain is and map what its type needs. xen outlives the guest. marks: of its page
 * tables, as far as they are known. */
int guest_open(struct xen *xen, uint32_t domid, const struct pte_marks *marks, struct guest **g,
    struct err *e);

#endif
