/* SPDX-License-Identifier: MIT */
/* HVM containers, PVH among them, at the source. */
#ifndef ENGINE_GUEST_HVM_SAVE_H
#define ENGINE_GUEST_HVM_SAVE_H

#include "engine/guest/guest.h"

/* For guest_open(). */
int hvm_save_open(struct xen *xen, const struct domain *dom, struct guest **g, struct err *e);

#endif
