/* SPDX-License-Identifier: MIT */
/*
 * Both ends of an image in one process, over fake_xen.h: a guest that is sent by a real out, and a
 * thread that takes what a real in brings, as a story without a guest loader. Lanes go over socket
 * pairs, a plain stream over a pipe.
 */
#ifndef TESTS_IMAGE_ENDS_H
#define TESTS_IMAGE_ENDS_H

#include "base/cancel.h"
#include "engine/batch.h"
#include "engine/guest/guest.h"
#include "engine/in/frames.h"
#include "engine/in/in.h"
#include "engine/out/lanes.h"
#include "engine/out/out.h"

#include <pthread.h>

enum { ENDS_MAX_LANES = 4, ENDS_FRAMES = 16 * EXTENT_FRAMES, ENDS_MAX_STATES = 16 };

struct image_ends {
    /* The source's. */
    struct guest guest;
    struct xen xen;
    struct frame_notes maps;
    uint64_t *bitmap; /* of the next round */
    struct out *out;
    struct cancel out_cancel;
    uint64_t delta_bytes; /* before they are opened: 0 if nothing is to go as a difference */
    unsigned rounds;
    struct round_counts counts; /* of the last round */

    unsigned lane_count;
    struct channel *out_trunk, *out_lanes[ENDS_MAX_LANES];
    struct channel *in_trunk, *in_lanes[ENDS_MAX_LANES];
    int stream[2]; /* plain: what is read, what is written */

    /* The destination's; the thread's until it is joined. */
    struct in *in;
    struct cancel in_cancel;
    pthread_t thread;
    bool receives;
    struct frames frames;
    uint64_t foreign; /* what comes for that frame is dropped; 0: none is */
    uint32_t states[ENDS_MAX_STATES];
    unsigned state_count, page_events, prepares, checkpoints;
    unsigned aux_sources, aux_ends; /* that were announced, that were through */
    atomic_uint aux_entries[2];     /* in each of the first rounds */
    uint8_t *at_checkpoint;         /* its memory at the last checkpoint */
    struct arrival arrival;         /* as it was told */
    struct err in_error;            /* why it failed */
};

/* A guest that has written to nothing, without ends. */
void ends_open_guest(struct image_ends *x);
/* That, and ends that are connected and not begun. */
void ends_open_lanes(struct image_ends *x, unsigned lane_count);
void ends_open_plain(struct image_ends *x);
void ends_close(struct image_ends *x);

/* The guest has no memory there. */
bool ends_is_hole(uint64_t pfn);

/* The guest writes to that page: it joins the next round. */
void ends_write(struct image_ends *x, uint64_t pfn, uint64_t what);
/* A few bytes of it. */
void ends_write_little(struct image_ends *x, uint64_t pfn, uint64_t what);
void ends_write_all(struct image_ends *x, uint64_t what);

/* Send what was written to. */
int ends_round(struct image_ends *x, bool last, struct err *e);

/* A state record of so few bytes. */
int ends_state(struct image_ends *x, uint32_t v3_type, struct err *e);

/* The receiving thread: it ends after END or a failure, which is answered, and close. */
void ends_receive(struct image_ends *x);
void ends_join(struct image_ends *x);

/* Is the destination's memory what the source's is, each page given to it once? */
void ends_check_memory(const struct image_ends *x);

#endif
