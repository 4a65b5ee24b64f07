/* SPDX-License-Identifier: MIT */
/*
 * The destination's frames: which of the guest's frames have memory (populated), and for a PV
 * guest where (its p2m) and of what type. Shared by all lanes.
 *
 * A frame is never populated twice: that would leave it with two machine frames. So an extent
 * (512 frames) is locked before anything in it is populated, the frame's MFN is written before its
 * populated bit (release), and readers look at the bit first (acquire). A frame's type has one
 * writer at a time, the lane that has the frame's extent in this round, and is read after all lanes
 * have ended.
 *
 * What the guest has ballooned out since it was sent is absent: its last entry says that there is
 * no page. It keeps its memory here, because the guest may take it in again, until the end
 * (frames_release_absent()). A guest that takes in elsewhere instead may need it before, when no
 * more than max_pages are allowed. Then it is taken back, but not from a PV guest: a page table
 * that has been put in its place may name the frame again before the frame's own entry comes.
 *
 * Whole aligned extents are populated as one 2 MiB page where Xen has one.
 *
 * How much is kept follows what the domain may have, max_pages, and not how high its frames are
 * numbered: a slot for each extent with memory (extent_map.h), and for a PV guest a frame_group,
 * taken from a pool, for each 32 frames with memory.
 */
#ifndef ENGINE_IN_FRAMES_H
#define ENGINE_IN_FRAMES_H

#include "base/limits.h"
#include "engine/in/extent_map.h"
#include "engine/xen/xen.h"
#include "transport/kernel_notes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { FRAMES_STRIPES = 64, FRAMES_PER_GROUP = 32, EXTENT_GROUPS = EXTENT_FRAMES / 32 };

enum { FRAMES_MAX_FOREIGN = 4 };

/* PV: an aligned run of frames, one of which at least has memory. */
struct frame_group {
    /* Machine frames have 40 bits: low and high. */
    uint32_t mfns_low[FRAMES_PER_GROUP];
    uint8_t mfns_high[FRAMES_PER_GROUP];
    uint8_t types[FRAMES_PER_GROUP]; /* libxc page types; 0 where there is no memory */
};

static inline uint64_t frame_group_mfn(const struct frame_group *group, unsigned i)
{
    return (uint64_t)group->mfns_high[i] << 32 | group->mfns_low[i];
}

struct frames {
    uint32_t domid;
    unsigned levels;        /* PV: of page tables; 0: not PV */
    struct pte_marks marks; /* PV: of its page tables; set before there are lanes */
    uint64_t frame_count;   /* every PFN is below */
    uint64_t max_pages;     /* that Xen lets the domain have */
    struct extent_map map;
    size_t populated_bytes, group_of_bytes, groups_bytes;
    /* A bitmap, EXTENT_WORDS for each slot. Like absent, group_of and groups it takes memory only
     * where it is written. */
    _Atomic uint64_t *populated;
    /* The same, of populated frames. Changed under the extent's lock. */
    _Atomic uint64_t *absent;
    atomic_uint_fast64_t absent_pages;
    uint32_t *group_of; /* PV only: EXTENT_GROUPS for each slot; index in groups + 1, 0: none */
    struct frame_group *groups; /* PV only */
    atomic_uint group_count;
    atomic_uint_fast64_t populated_pages;
    atomic_uint_fast64_t superpages;
    /* Frames that other processes here have mapped already (rings): what a stream has for them is
     * dropped. Set before there are lanes. */
    uint64_t foreign[FRAMES_MAX_FOREIGN];
    unsigned foreign_count;
    pthread_mutex_t stripes[FRAMES_STRIPES]; /* of extents: extent mod FRAMES_STRIPES */
};

int frames_init(struct frames *f, uint32_t domid, unsigned levels, uint64_t frame_count,
    uint64_t max_pages, struct err *e);
void frames_destroy(struct frames *f);

bool frames_is_populated(const struct frames *f, uint64_t pfn);

/* Give memory to those of pfns[0..count) that have none; all are below frame_count, in any order.
 * The lane's own handles are used. ERR_LOCAL -ENOMEM says how far it came, or that there would be
 * more than max_pages. */
int frames_populate(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e);

/* The same for frames that a page table names and whose own entries are still to come: absent if
 * none does. */
int frames_populate_named(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e);

/* The frame has no memory at the source any more. Of a frame without memory here it says nothing.
 */
void frames_note_absent(struct frames *f, uint64_t pfn);

/* Take back the memory of all absent frames; of a PV guest while no lane runs. */
int frames_release_absent(struct frames *f, struct xen *x, struct err *e);

/* PV: the group of a populated frame. */
static inline struct frame_group *frames_group(const struct frames *f, uint64_t pfn)
{
    const uint32_t slot = extent_map_find(&f->map, pfn / EXTENT_FRAMES);

    return &f->groups[f->group_of[slot * (size_t)EXTENT_GROUPS +
                                  pfn % EXTENT_FRAMES / FRAMES_PER_GROUP] -
                      1];
}

static inline bool frames_is_foreign(const struct frames *f, uint64_t pfn)
{
    for (unsigned i = 0; i < f->foreign_count; i++)
        if (f->foreign[i] == pfn)
            return true;
    return false;
}

/* What a mapping wants: the MFN of a PV guest's populated frame, the frame itself of others. */
static inline uint64_t frames_gfn(const struct frames *f, uint64_t pfn)
{
    return f->levels ? frame_group_mfn(frames_group(f, pfn), pfn % FRAMES_PER_GROUP) : pfn;
}

/* PV: a populated frame's type. */
static inline uint8_t *frames_type(const struct frames *f, uint64_t pfn)
{
    return &frames_group(f, pfn)->types[pfn % FRAMES_PER_GROUP];
}

#endif
