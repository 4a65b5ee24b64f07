/* SPDX-License-Identifier: MIT */
/*
 * The frames of one source's entries in a compact file: a key has the same one as long as the entry
 * is there, and whoever comes next gets it then. 40 bytes for an entry, and 4 to 8 to find it; what
 * is never used costs address space alone.
 *
 * Its owner locks.
 */
#ifndef ENGINE_OUT_COMPACT_AUX_H
#define ENGINE_OUT_COMPACT_AUX_H

#include "transport/compact/aux.h"
#include "transport/v3_stream.h"

struct aux_frames;

/* first_frame: the source's own begin there. */
int aux_frames_create(
    const struct aux_source *s, uint64_t first_frame, struct aux_frames **f, struct err *e);
/* NULL is allowed. */
void aux_frames_destroy(struct aux_frames *f);

/* The frame of an entry that is set or withdrawn now; -errno: more are set than the source
 * announced, or one is withdrawn that is not there. */
int aux_frames_find(
    struct aux_frames *f, const struct aux_entry *entry, uint64_t *frame, struct err *e);

/* The source, and the keys of all its entries. */
int aux_frames_write(const struct aux_frames *f, struct v3_stream *s, struct err *e);

#endif
