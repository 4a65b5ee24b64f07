/* SPDX-License-Identifier: MIT */
/*
 * Where an image comes in: behind one ops table, lanes (lanes.h: trunk and lanes from another
 * xmigrate) or the plain libxc v2/v3 stream on a descriptor (plain.h). The caller makes one; the
 * destination's story pulls from it, on its own thread:
 *
 *   head  next -> STATE ...  next -> PAGES, pages ...  next -> STATE ...  next -> END  answer close
 *
 * After a checkpoint pages and states may come again.
 */
#ifndef ENGINE_IN_IN_H
#define ENGINE_IN_IN_H

#include "base/err.h"
#include "engine/arrival.h"
#include "transport/aux.h"
#include "transport/v3_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frames;
struct in;

struct in_head {
    uint32_t guest_type;  /* V3_GUEST_... */
    uint64_t frame_limit; /* every PFN is below it; 0: the stream tells later (plain, PV) */
};

enum in_kind {
    IN_STATE,      /* a state record */
    IN_AUX,        /* before pages: what auxiliary data there will be of one source */
    IN_AUX_DONE,   /* after pages: what there was */
    IN_PAGES,      /* pages wait to be put in place: pages() comes next */
    IN_CHECKPOINT, /* what came so far is a whole image; more may follow */
    IN_END,
};

struct in_event {
    enum in_kind kind;
    /* Of a state: a libxc v3 body, 8-byte aligned, the in's and valid until its next call. */
    uint32_t v3_type;
    const void *body;
    size_t len_bytes;
    bool more; /* the next event is its continuation; X86_PV_P2M_FRAMES alone comes in parts */
    const struct aux_source *aux; /* IN_AUX: valid as a body */
    uint32_t aux_number;          /* IN_AUX_DONE */
    struct aux_totals aux_totals;
};

struct in_hook {
    /* After each batch of pages, on the thread that put it in place. */
    void (*placed)(void *arg);
    /* Auxiliary data that came with pages, in a round (from 0). On any of the in's threads. */
    int (*aux)(void *arg, uint32_t round, const struct aux_batch *b, struct err *e);
    /* Between pages, on the story's thread: all but memory and vCPUs is to be built now. */
    int (*prepare)(void *arg, struct err *e);
    void *arg;
};

struct in_ops {
    /* Once, before everything else. */
    int (*head)(struct in *in, struct in_head *head, struct err *e);
    int (*next)(struct in *in, struct in_event *event, struct err *e);
    /* After IN_PAGES: put them into the guest; frames is the same each time. When it returns, also
     * after a failure, no thread of the in runs, nothing is mapped and nobody touches frames; the
     * first cause is in *e. */
    int (*pages)(struct in *in, struct frames *frames, const struct in_hook *hook, struct err *e);
    /* Tell the source how it ended, where that is possible: that all is in place, or why not. */
    int (*answer)(
        struct in *in, const struct err *failure, const struct arrival *arrival, struct err *e);
    uint64_t (*wire_bytes)(const struct in *in); /* received so far; any thread */
    void (*close)(struct in *in);
};

struct in {
    const struct in_ops *ops;
    const char *name; /* for messages; lives as long as the in */
};

/* The state that a record of libxc's stream is, whose body it shares. */
struct in_event in_state_of(const struct v3_record *r);

/* The error for an image with checkpoints, which we do not take: ERR_PEER. */
int in_refuse_checkpoint(const struct in *in, struct err *e);

#endif
