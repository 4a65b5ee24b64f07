/*
 * What an HVM container (PVH too) is besides its memory: the context that Xen keeps of it as one
 * opaque blob, and parameters.
 */
#ifndef ENGINE_XEN_HVM_H
#define ENGINE_XEN_HVM_H

#include "engine/xen/xen.h"
#include "transport/v3.h"

/* The domain must stand still. *blob is malloc()ed. */
int hvm_context_read(struct xen *x, uint32_t domid, void **blob, size_t *len_bytes, struct err *e);

/* Those that move with a guest and are not zero. */
int hvm_params_read(struct xen *x, uint32_t domid,
    struct v3_hvm_param params[static V3_MAX_HVM_PARAMS], unsigned *count, struct err *e);

#endif
