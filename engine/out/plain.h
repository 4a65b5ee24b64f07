/* SPDX-License-Identifier: MIT */
/*
 * An image as a plain libxc v3 stream on a descriptor, as stock Xen writes it. It knows both
 * commits: a checkpoint is a CHECKPOINT record, a handover END.
 */
#ifndef ENGINE_OUT_PLAIN_H
#define ENGINE_OUT_PLAIN_H

#include "base/cancel.h"
#include "engine/out/out.h"

/* fd is non-blocking and the caller's; cancel outlives the out. */
int out_plain_open(int fd, const struct cancel *cancel, struct out **out, struct err *e);

#endif
