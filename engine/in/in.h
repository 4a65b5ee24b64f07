/*
 * Where the destination's story gets its records from. Two feeds:
 *
 *   plain  the libxc v2/v3 stream on a descriptor (drop-in); the story's thread does everything
 *   lanes  trunk and lanes (native); a thread for each lane applies the pages that come on it
 *
 * State records go to restore_take() in the order they came; pages go through an applier, once
 * the guest's frames are known. A feed belongs to the story's thread.
 */
#ifndef ENGINE_IN_IN_H
#define ENGINE_IN_IN_H

#include "engine/guest/load.h"

#include <pthread.h>

struct feed;

struct feed_head {
    uint32_t guest_type;  /* V3_GUEST_... */
    uint64_t frame_limit; /* every PFN is below it; 0: the stream tells later (plain, PV) */
};

struct feed_ops {
    int (*read_head)(struct feed *f, struct feed_head *head, struct err *e);
    /* Everything up to the end of the stream. No lane runs and nothing is mapped afterwards, also
     * after a failure; the first cause is in *e. */
    int (*receive)(struct feed *f, struct restore *r, struct err *e);
    /* Tell the source how it ended, where that is possible. */
    int (*answer)(
        struct feed *f, const struct err *failure, const struct dest_result *result, struct err *e);
    uint64_t (*count_bytes)(const struct feed *f); /* received so far; any thread */
    void (*close)(struct feed *f);
};

struct feed {
    const struct feed_ops *ops;
    const struct dest_params *p;
    pthread_mutex_t report_lock; /* guards report_at_ns and the call of progress() */
    int64_t report_at_ns;
};

int feed_open_plain(struct feed **f, const struct dest_params *p, struct err *e);
int feed_open_lanes(struct feed **f, const struct dest_params *p, struct err *e);

/* For feeds: after a batch of pages, from any thread; tells progress when it is time to. */
void feed_report(struct feed *f, const struct frames *frames);

#endif
