/* SPDX-License-Identifier: MIT */
/*
 * Chooses the codec for a lane's next batch by what is scarce: the lane's own time or the link.
 *
 * For each codec it keeps what a page cost lately, in processor time and in bytes. It also keeps
 * how much longer the lane takes than its processor time, because others use the processors too,
 * and how long a byte takes while the link is full. The socket's buffer lets encoding and sending
 * overlap, so a page costs the longer of the two. The codec with the lowest cost wins. (Wall-clock
 * time alone would mislead: a trial is short and often undisturbed, a whole batch is not.)
 *
 * A codec that is not in use but could win is tried for one batch once a second. The first trial
 * runs cold and makes it look dear: one that came near is tried again soon.
 *
 * A link that has not been full for a while counts as free, so that a choice does not outlive its
 * reason. That while is as long as the link was full before, but 0.1 to 1 s, because a receiver
 * that is just starting looks like a full link, though not for long. It doubles when it proves too
 * short.
 *
 * One per lane, used by its thread only; pure, with the time passed in.
 */
#ifndef SCHED_CODEC_CHOICE_H
#define SCHED_CODEC_CHOICE_H

#include "base/codec.h"

#include <stdbool.h>
#include <stdint.h>

struct codec_choice {
    unsigned allowed; /* bits */
    unsigned current;
    struct codec_cost {
        unsigned samples; /* up to WARM_SAMPLES; 0: it is not known */
        int64_t tried_ns;
        double cpu_ns, bytes; /* a page */
    } cost[CODECS + 1];       /* the last one: of a page that goes as a difference */
    double cpu_ns, busy_ns;   /* of all batches, weighted towards the recent ones */
    double link_ns_per_byte;  /* 0: the link is free */
    int64_t link_full_ns;     /* when it was last full */
    int64_t full_span_ns;     /* and for how long without a break */
    int64_t freed_ns;         /* when it last became free; 0: it always was */
    int64_t patience_ns;      /* not full for this long: free */

    /* The link is judged by these, counted since window_ns. */
    int64_t window_ns;
    int64_t window_wait_ns;
    double window_bytes;
};

/* allowed: bits of codecs, at least one. */
void codec_choice_init(struct codec_choice *c, unsigned allowed);

/* Sending begins, or goes on after a pause that says nothing about the link. Call it first. */
void codec_begin(struct codec_choice *c, int64_t now_ns);

/* The codec for the next batch. */
unsigned codec_choose(struct codec_choice *c, int64_t now_ns);

/* Is a page that goes as a difference to an older one cheaper than one of that codec? Also true
 * while that is not known, and when it was last seen long ago. */
bool codec_differences_pay(const struct codec_choice *c, unsigned codec, int64_t now_ns);

/* What a page takes with that codec: PAGE_BYTES while that is not known. */
double codec_page_bytes(const struct codec_choice *c, unsigned codec);

/* What a batch cost. */
struct codec_sample {
    unsigned codec;
    uint64_t pages; /* with contents: zero pages cost the same with any codec */
    uint64_t bytes; /* of all */
    int64_t cpu_ns; /* encoding, encrypting and sending, without what differences took: */
    uint64_t delta_pages, delta_bytes;
    int64_t delta_cpu_ns;
    int64_t busy_ns; /* the same in wall-clock time, without the waits */
    int64_t wait_ns; /* for the link, or for a cap on it */
};

void codec_learn(struct codec_choice *c, const struct codec_sample *s, int64_t now_ns);

#endif
