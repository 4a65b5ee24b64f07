/* SPDX-License-Identifier: MIT */
/* PV guests at the destination. */
#ifndef ENGINE_GUEST_PV_LOAD_H
#define ENGINE_GUEST_PV_LOAD_H

#include "engine/guest/loader.h"

/* For load_open(). */
int pv_load_open(struct loader *l, struct err *e);

#endif
