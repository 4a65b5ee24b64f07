/* SPDX-License-Identifier: MIT */
/*
 * The destination's frames: which of the guest's frames have memory (populated), and for a PV
 * guest where (its p2m) and of what type. Shared by all lanes.
 *
 * A frame is populated exactly once: twice would leave it with two machine frames. So an extent
 * (512 frames) is locked before anything in it is populated, p2m[pfn] is written before the
 * frame's populated bit (release), and readers look at the bit first (acquire). types[pfn] has one
 * writer at a time, the lane that has the frame's extent in this round, and is read after all lanes
 * have ended.
 *
 * Whole aligned extents are populated as one 2 MiB page where Xen has one.
 */
#ifndef ENGINE_IN_FRAMES_H
#define ENGINE_IN_FRAMES_H

#include "engine/xen/xen.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { FRAMES_STRIPES = 64, FRAMES_MAX_BATCH = 1024 };

struct frames {
    uint32_t domid;
    unsigned levels;      /* PV: of page tables; 0: not PV */
    uint64_t frame_count; /* every PFN is below */
    size_t populated_bytes, p2m_bytes;
    _Atomic uint64_t *populated; /* a bitmap; memory is used only where it is written */
    uint64_t *p2m;               /* PV only; indexed by PFN */
    uint8_t *types;              /* PV only; libxc page types */
    atomic_uint_fast64_t populated_pages;
    atomic_uint_fast64_t superpages;
    pthread_mutex_t stripes[FRAMES_STRIPES]; /* of extents: extent mod FRAMES_STRIPES */
};

int frames_init(
    struct frames *f, uint32_t domid, unsigned levels, uint64_t frame_count, struct err *e);
void frames_destroy(struct frames *f);

bool frames_is_populated(const struct frames *f, uint64_t pfn);

/* Give memory to those of pfns[0..count) that have none; all are below frame_count, in any order.
 * The lane's own handles are used. ERR_LOCAL -ENOMEM says how far it came. */
int frames_populate(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e);

/* What a mapping wants: the MFN of a PV guest's populated frame, the frame itself of others. */
static inline uint64_t frames_gfn(const struct frames *f, uint64_t pfn)
{
    return f->levels ? f->p2m[pfn] : pfn;
}

#endif
