/* SPDX-License-Identifier: MIT */
/*
 * A PV guest's vCPUs as Xen has them, in the four parts that a stream carries. The domain must be
 * suspended, or not have run yet. Frames in registers are the host's (MFNs).
 */
#ifndef ENGINE_XEN_VCPU_H
#define ENGINE_XEN_VCPU_H

#include "base/blob.h"
#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>

int vcpu_is_online(struct xen *x, uint32_t domid, uint32_t vcpu, bool *online, struct err *e);

/* Registers, in the guest's own width. */
int vcpu_read_context(
    struct xen *x, uint32_t domid, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e);
/* The other parts, into *blob, which stays empty when there is nothing to save. */
int vcpu_read_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e);
int vcpu_read_xsave(struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e);
int vcpu_read_msrs(struct xen *x, uint32_t domid, uint32_t vcpu, struct blob *blob, struct err *e);

int vcpu_set_context(
    struct xen *x, uint32_t domid, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e);
/* The other parts: an empty blob is ignored. ERR_PEER if an extended context is too long or says
 * that it is another vCPU's. */
int vcpu_set_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e);
int vcpu_set_xsave(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e);
int vcpu_set_msrs(
    struct xen *x, uint32_t domid, uint32_t vcpu, const struct blob *blob, struct err *e);

#endif
