/* SPDX-License-Identifier: MIT */
/*
 * What an HVM container (PVH too) has besides memory: its context, which Xen gives as one opaque
 * blob, and parameters.
 */
#ifndef ENGINE_XEN_HVM_H
#define ENGINE_XEN_HVM_H

#include "base/blob.h"
#include "engine/xen/xen.h"

#include <stdint.h>

/* Refuses a guest with more populate-on-demand entries than memory behind them: reading it all
 * would crash it. */
int hvm_check_pod(struct xen *x, uint32_t domid, struct err *e);

/* The domain must stand still. */
int hvm_context_read(struct xen *x, uint32_t domid, struct blob *context, struct err *e);
int hvm_context_set(struct xen *x, uint32_t domid, const struct blob *context, struct err *e);

/* index: HVM_PARAM_... */
int hvm_param_read(struct xen *x, uint32_t domid, uint32_t index, uint64_t *value, struct err *e);
int hvm_param_set(struct xen *x, uint32_t domid, uint32_t index, uint64_t value, struct err *e);

#endif
