/* SPDX-License-Identifier: MIT */
/*
 * What xenstore and Xen tell of how a guest suspends and runs on: control/feature-suspend, which
 * the toolstack makes empty and the kernel fills (Linux writes 1; older ones, BSD, and GRUB before
 * it starts a kernel leave it empty), control/feature-resumable, with which old kernels said that
 * their suspend call may return, and whether an HVM guest has drivers that take part at all.
 */
#ifndef ENGINE_XEN_SUSPEND_ABILITY_H
#define ENGINE_XEN_SUSPEND_ABILITY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct xs_handle;

enum suspend_ability { SUSPEND_UNKNOWN, SUSPEND_CANNOT, SUSPEND_CAN };

struct suspend_facts {
    enum suspend_ability ability;
    bool resumable;
    bool has_drivers; /* PV drivers: an HVM guest's may be missing (HVM_PARAM_CALLBACK_IRQ) */
};

/* What cannot be read is not known. */
enum suspend_ability suspend_ability_read(struct xs_handle *xs, uint32_t domid);

/* ERR_REFUSED, for a guest that cannot. */
int suspend_ability_refuse(uint32_t domid, struct err *e);

/* All of it, with handles of its own and a limit. hvm: it may have no drivers. */
int suspend_facts_read(uint32_t domid, bool hvm, struct suspend_facts *f, struct err *e);

#endif
