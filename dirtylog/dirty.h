/* SPDX-License-Identifier: MIT */
/*
 * Where dirty pages come from, behind a small ops table: Xen's log-dirty mode
 * (engine/xen/logdirty.c). Bitmaps have one bit for each of the guest's frames; what is done with
 * them is pending.h.
 *
 * A source that is told nothing of writes can report every page dirty and compare contents instead:
 * lanes ask it about each page that they are about to send, and tell it what they send.
 *
 * Owner: the thread that runs the source's story. Lanes call changed and sent.
 */
#ifndef DIRTYLOG_DIRTY_H
#define DIRTYLOG_DIRTY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct dirty_source;

struct dirty_ops {
    /* Begin to log; from now on everything counts as clean. ERR_REFUSED when somebody else logs
     * or this guest cannot be logged. Must be followed by disable. */
    int (*enable)(struct dirty_source *d, struct err *e);
    /* Fill bitmap with what was written since the last call, and start over. final: the guest is
     * suspended, and pages that Xen itself keeps mapped count as dirty too. The guest is paused for
     * as long as this takes. */
    int (*collect)(struct dirty_source *d, uint64_t *bitmap, bool final, struct err *e);
    /* Fill it with what was written since the last collect, and go on. Other threads may read
     * bitmap meanwhile, by bitmap_test_shared(). The guest is paused for as long as this takes.
     * NULL: cannot. */
    int (*peek)(struct dirty_source *d, uint64_t *bitmap, struct err *e);
    /* Does this page differ from what the receiver has? copy: the contents that would be sent, out
     * of the guest's reach; NULL: a page without. type: a page of another type differs even if its
     * bytes do not. From any lane at any time, for a page from one lane at a time. NULL, and sent
     * too: trust the bitmap. */
    bool (*changed)(struct dirty_source *d, uint64_t pfn, unsigned type, const void *copy);
    /* This is what the receiver gets. Called as changed is. */
    void (*sent)(struct dirty_source *d, uint64_t pfn, unsigned type, const void *copy);
    /* With the guest suspended, before the final collect: fails when logging was switched off
     * behind our back, because what was written since is then unknown. */
    int (*check)(struct dirty_source *d, struct err *e);
    /* Stop logging. Also after a failed enable. */
    int (*disable)(struct dirty_source *d, struct err *e);
    void (*close)(struct dirty_source *d);
};

struct dirty_source {
    const struct dirty_ops *ops;
    uint64_t frames; /* bits in a bitmap */
};

#endif
