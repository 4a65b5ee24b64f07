/* SPDX-License-Identifier: MIT */
/*
 * A guest's disks (vbds) from the side of those that serve them: what a backend has not answered
 * yet, and what it may have left in this host's page cache.
 *
 * Backend and guest share a ring of requests. A suspended guest adds nothing to it, and its backend
 * goes on: it has answered everything when rsp_prod is req_prod. Rings are looked at in the guest's
 * frames, which its grant table names, so it does not matter which domain serves the disk. Where
 * rings are stands in xenstore: device/vbd/ID/ring-ref of the guest; with more pages ring-ref0 and
 * so on, of which the first has the counters; with more queues queue-N/ before that (Xen's
 * public/io/blkif.h).
 *
 * The list and the mappings are of the moment when it was opened. One thread at a time.
 */
#ifndef ENGINE_XEN_VBD_H
#define ENGINE_XEN_VBD_H

#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>

struct vbds;

enum { VBD_NAME_BYTES = 32 };

/* A disk whose backend owes answers. */
struct vbd_debt {
    char disk[VBD_NAME_BYTES]; /* "xvda" */
    uint32_t requests;
};

/* The domain need have none. x must outlive it. What `before` has open (NULL: nothing) is not
 * looked for by name again: the process may have given the file system up since. */
int vbds_open(
    struct xen *x, uint32_t domid, const struct vbds *before, struct vbds **v, struct err *e);
void vbds_close(struct vbds *v); /* NULL is allowed */

/* Whether any backend owes answers; *debt is the first. */
bool vbds_owe(const struct vbds *v, struct vbd_debt *debt);

/* Whether one that the guest writes to stands on a file or is served by a process, both here. */
bool vbds_are_cached(const struct vbds *v);

/* Write out what this host's page cache holds of those; has no limit. */
int vbds_sync(const struct vbds *v, struct err *e);

#endif
