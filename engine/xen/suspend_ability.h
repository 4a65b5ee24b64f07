/* SPDX-License-Identifier: MIT */
/*
 * Whether a PV or PVH guest's kernel says that it can suspend: control/feature-suspend in xenstore,
 * which the toolstack makes empty and the kernel fills. Linux writes 1; older
 * ones, BSD, and GRUB before it starts a kernel leave it empty.
 */
#ifndef ENGINE_XEN_SUSPEND_ABILITY_H
#define ENGINE_XEN_SUSPEND_ABILITY_H

#include "base/err.h"

#include <stdint.h>

struct xs_handle;

enum suspend_ability { SUSPEND_UNKNOWN, SUSPEND_CANNOT, SUSPEND_CAN };

/* What cannot be read is not known. */
enum suspend_ability suspend_ability_read(struct xs_handle *xs, uint32_t domid);

/* ERR_REFUSED, for a guest that cannot. */
int suspend_ability_refuse(uint32_t domid, struct err *e);

/* That, if it cannot, with handles of its own and a limit. */
int suspend_ability_check(uint32_t domid, struct err *e);

#endif
