/*
 * Which codec a lane uses for its next batch, by what is scarce: its own time or the link. For each
 * it keeps what a page has cost lately, in processor time and in bytes; of the processors how much
 * longer the lane takes than that because others use them too; and of the link how long a byte
 * takes while it is full. A page then takes the longer of the two, because the socket's buffer lets
 * one go on while the other works; the codec with the least wins.
 *
 * (The clock alone would not do: a trial is short and often undisturbed, a batch is not.)
 *
 * What is not in use, but could win, is tried again for a single batch once a second; and a link
 * that was not full for a while counts as free, so a choice that has become the slower one does not
 * last. That while is as long as the link was full, a tenth of a second to a whole one: what the
 * other end does when it begins looks like a full link, but not for long. Where it proved too short
 * it doubles.
 *
 * One per lane and of its thread; pure, with the time passed in.
 */
#ifndef SCHED_CODEC_CHOICE_H
#define SCHED_CODEC_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

enum { CODEC_CHOICES = 3 };

struct codec_choice {
    unsigned allowed; /* bits */
    unsigned current;
    struct codec_cost {
        bool known;
        int64_t tried_ns;
        double cpu_ns, bytes; /* a page */
    } cost[CODEC_CHOICES];
    double cpu_ns, busy_ns;  /* of all batches, those of late above all */
    double link_ns_per_byte; /* 0: there is more than we can fill */
    int64_t link_full_ns;    /* when it was last full */
    int64_t full_span_ns;    /* and for how long at a stretch */
    int64_t freed_ns;        /* when it last began to count as free; 0: always did */
    int64_t patience_ns;     /* so long not full, and it does */

    /* What the link is judged by: since window_ns. */
    int64_t window_ns;
    int64_t window_wait_ns;
    double window_bytes;
};

/* allowed: bits of codecs, at least one. */
void codec_choice_init(struct codec_choice *c, unsigned allowed);

/* Sending begins, or goes on after a pause, which says nothing of the link. Before all else. */
void codec_begin(struct codec_choice *c, int64_t now_ns);

/* For the next batch. */
unsigned codec_choose(struct codec_choice *c, int64_t now_ns);

/* What became of a batch. */
struct codec_sample {
    unsigned codec;
    uint64_t pages; /* with content: zero pages cost the same whatever the codec */
    uint64_t bytes;
    int64_t cpu_ns;  /* encoding, encrypting and sending */
    int64_t busy_ns; /* the same by the clock, without the waits */
    int64_t wait_ns; /* for the link, or because of a cap on it */
};

void codec_learn(struct codec_choice *c, const struct codec_sample *s, int64_t now_ns);

#endif
