/*
 * Which pages must be sent: a source of dirty pages behind a small ops table (Xen's log-dirty
 * mode in engine/xen/; a second source is foreseen for hypervisors without), and walks over the
 * bitmaps that it fills. Bitmaps have one bit for each of the guest's frames.
 *
 *   round 1          bitmap full      1111 1111 1111 1111
 *   CLEAN            what it found    0010 0000 0000 1100   -> round 2
 *   deferred         not yet          0000 0001 0000 0000   -> joins every round until it is sent
 *   FINAL CLEAN | deferred            0000 0011 0000 0000   -> the last round, guest suspended
 *
 * Owner: the thread that runs the source's story. Lanes only read a round's bitmap.
 */
#ifndef DIRTYLOG_DIRTYLOG_H
#define DIRTYLOG_DIRTYLOG_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dirtylog;

struct dirtylog_ops {
    /* Begin to log; from now on everything counts as clean. ERR_REFUSED when somebody else logs
     * or this guest cannot be logged. Must be followed by disable. */
    int (*enable)(struct dirtylog *log, struct err *e);
    /* Fill bitmap with what was written since the last call, and begin anew. final: the guest
     * stands still, and what Xen itself holds mapped of it counts too. The guest is paused for
     * as long as this takes. */
    int (*read)(struct dirtylog *log, uint64_t *bitmap, bool final, struct err *e);
    /* Look without clearing: what was written since the last read. Other threads may read bitmap
     * meanwhile, by bitmap_test_shared(). The guest is paused for as long as this takes. */
    int (*peek)(struct dirtylog *log, uint64_t *bitmap, struct err *e);
    /* With the guest suspended, before the final read: fails when the mode was switched off
     * behind our back, because what was written since is then not known. */
    int (*check_enabled)(struct dirtylog *log, struct err *e);
    /* Stop logging. Also after a failed enable. */
    int (*disable)(struct dirtylog *log, struct err *e);
    void (*close)(struct dirtylog *log);
};

struct dirtylog {
    const struct dirtylog_ops *ops;
    uint64_t frames; /* bits in a bitmap */
};

/*
 * Extents: aligned runs of EXTENT_FRAMES frames, eight words of a bitmap. A round hands each to
 * the lane that asks first, so that lanes end together however fast each of them is. For that
 * round the lane may also write its extents' words of a shared bitmap.
 */
enum { EXTENT_FRAMES = 512 };

/* What is left of a round's bitmap, shared by its lanes. */
struct frame_share {
    const uint64_t *bitmap;
    uint64_t frames;
    atomic_uint_fast64_t next_extent; /* those below are taken, or empty */
};

/* Nobody else uses it meanwhile. */
void frame_share_begin(struct frame_share *s, const uint64_t *bitmap, uint64_t frames);

/* One lane's walk over the set frames of the extents that it gets, ascending. */
struct frame_walk {
    struct frame_share *share;
    uint64_t index, end_index; /* the word that word came from, and the extent's end */
    uint64_t word;             /* its bits that were not handed out yet */
};

struct frame_walk frame_walk_begin(struct frame_share *s);

/*
 * The next set frames, at most max of them (0: the walk is over). With max == EXTENT_FRAMES a
 * bitmap that is full gives one whole extent at a time.
 */
unsigned frame_walk_next(struct frame_walk *w, uint64_t *pfns, unsigned max);

#endif
