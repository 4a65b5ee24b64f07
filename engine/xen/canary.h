/* SPDX-License-Identifier: MIT */
/*
 * A canary in the dirty log of an HVM container: one of its frames is marked as dirty after each
 * CLEAN, and the next CLEAN or PEEK has to show it. It does not when somebody switched log-dirty
 * off and on again, or took what it had noted, and then writes of the guest are missing, too.
 *
 * The frame is one that guests leave alone: a write of their own would look like the mark.
 */
#ifndef ENGINE_XEN_CANARY_H
#define ENGINE_XEN_CANARY_H

#include "engine/xen/hbuf.h"
#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>
#include <xendevicemodel.h>

struct canary {
    struct xen *x; /* the caller's */
    uint32_t domid;
    uint64_t frames; /* bits in a bitmap */
    xendevicemodel_handle *dm;
    struct hbuf types;
    uint64_t frame; /* CANARY_NONE: the guest has none that would do */
};

#define CANARY_NONE UINT64_MAX

/* On failure nothing is to be closed. */
int canary_open(struct canary *c, struct xen *x, uint32_t domid, uint64_t frames, struct err *e);
void canary_close(struct canary *c);

/* Choose the frame; and mark it, with the mode on. */
int canary_place(struct canary *c, struct err *e);
int canary_mark(struct canary *c, struct err *e);

/* Is it in what a CLEAN or PEEK returned? True also if the frame has no memory any more: nothing
 * was marked then, and another one is chosen and marked. */
int canary_look(struct canary *c, const uint64_t *bitmap, bool *seen, struct err *e);

#endif
