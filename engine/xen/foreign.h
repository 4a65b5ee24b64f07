/* SPDX-License-Identifier: MIT */
/*
 * A domain's memory in our address space: MFNs of a PV guest or of Xen itself, GFNs of an HVM
 * container. A mapping is of the frames that were there when it was made; keep it short-lived.
 */
#ifndef ENGINE_XEN_FOREIGN_H
#define ENGINE_XEN_FOREIGN_H

#include "engine/xen/hbuf.h"
#include "engine/xen/xen.h"

#include <stddef.h>
#include <stdint.h>

/* All of frames[0..count) as one piece, or NULL with *e set. what: for the message ("the p2m"). */
void *foreign_map(struct xen *x, uint32_t domid, int prot, const uint64_t *frames, size_t count,
    const char *what, struct err *e);

/* As many as possible: errors[i] is 0, or the errno of frame i, whose page must then not be
 * touched. NULL, with *e set, only if there is no mapping at all. */
void *foreign_map_some(struct xen *x, uint32_t domid, int prot, const uint64_t *frames,
    size_t count, int *errors, struct err *e);

/* NULL is allowed. */
void foreign_unmap(struct xen *x, void *mem, size_t count);

/* How many frames one frame_types_read() may ask about: Xen's own limit. */
enum { FRAME_TYPES_MAX = 1024, FRAME_TYPES_BYTES = FRAME_TYPES_MAX * 8 };

/*
 * The page types (XEN_DOMCTL_PFINFO_..., shifted down) of frames[0..count), count <=
 * FRAME_TYPES_MAX. scratch has FRAME_TYPES_BYTES and is the caller's alone.
 */
int frame_types_read(struct xen *x, uint32_t domid, struct hbuf *scratch, const uint64_t *frames,
    unsigned count, uint8_t *types, struct err *e);

#endif
