/* SPDX-License-Identifier: MIT */
/* HVM containers, PVH among them, at the destination. */
#ifndef ENGINE_GUEST_HVM_LOAD_H
#define ENGINE_GUEST_HVM_LOAD_H

#include "engine/guest/loader.h"

/* For load_open(). */
int hvm_load_open(struct loader *l, uint64_t frame_limit, struct err *e);

#endif
