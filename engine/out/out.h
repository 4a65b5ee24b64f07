/* SPDX-License-Identifier: MIT */
/*
 * Where an image goes: behind one ops table, lanes (lanes.h: trunk and lanes to another xmigrate)
 * or the plain libxc v3 stream on a descriptor (plain.h; frozen.h, by way of memory). The caller
 * makes one; the source's story sends through it, on its own thread:
 *
 *   begin  state ...  round ...  state ...  commit  [round ...  state ...  commit]  finish  close
 *
 * A handover is the last commit. close always.
 */
#ifndef ENGINE_OUT_OUT_H
#define ENGINE_OUT_OUT_H

#include "base/cancel.h"
#include "base/deadline.h"
#include "base/err.h"
#include "engine/arrival.h"
#include "engine/page_fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct aux_out;
struct frame_notes;
struct sent_pages;
struct guest;
struct out;
struct total_report;

/* What became of a round: while it runs (to the hook) and at its end. */
struct round_counts {
    uint64_t done_pages;    /* frames dealt with */
    uint64_t skipped_pages; /* of these, left out: job.skip */
    uint64_t absent_pages;  /* of these, without memory */
    uint64_t data_pages;    /* sent with contents */
    uint64_t zero_pages;    /* sent as a mark */
    uint64_t delta_pages;   /* of data_pages: sent as a difference to what was sent before */
    uint64_t aux_entries;   /* of auxiliary data sent, or withdrawn */
    uint64_t aux_bytes;     /* their contents */
    /* At the end of the round only. */
    uint64_t delta_bytes; /* that those took */
    uint64_t deferred_pages;
    uint64_t stuck_pages;    /* of these, the ones that a suspend would not put right */
    struct page_fault fault; /* the first stuck one */
};

/* Called every ROUND_PROGRESS_NS while a round runs, on the story's thread. */
struct round_hook {
    void (*progress)(void *arg, const struct round_counts *counts);
    void *arg;
};

#define ROUND_PROGRESS_NS (50 * NS_PER_MS)

/* One pass over the frames that are set in bitmap, which nobody changes meanwhile. */
struct round_job {
    const uint64_t *bitmap;
    uint64_t pages;                  /* how many are set */
    uint64_t first_frame, end_frame; /* none is set outside [first_frame, end_frame) */
    /* Frames to leave out, because they are dirty again and will be in the next round; NULL: none.
     * The story stores words of it while lanes read. */
    const uint64_t *skip;
    struct aux_out *aux; /* what lanes fetch besides; NULL: nothing */
    unsigned round;      /* from 1 */
    bool suspended;      /* the guest stands still: a page that cannot be read is an error now */
    bool last;           /* no other follows */
    struct round_hook hook;
};

enum out_commit {
    COMMIT_CHECKPOINT, /* more rounds may follow */
    COMMIT_HANDOVER,   /* the guest is the receiver's: nothing follows */
};

struct out_ops {
    /* Once, before everything else. The guest and what is known of its frames outlive the out. */
    int (*begin)(struct out *out, const struct guest *g, struct frame_notes *notes, struct err *e);
    /* Once, right after begin: announce this, and take it along in each round. NULL: this out
     * cannot carry it. */
    int (*aux)(struct out *out, const struct aux_out *aux, struct err *e);
    /* A record of libxc's stream (V3_...), its body in parts (at most OUT_MAX_PARTS). */
    int (*state)(
        struct out *out, uint32_t v3_type, const struct iovec *parts, int count, struct err *e);
    /* Returns when every frame of the job is sent or deferred. */
    int (*round)(
        struct out *out, const struct round_job *job, struct round_counts *counts, struct err *e);
    /* Between rounds: the receiver is to build all but memory and vCPUs now. NULL: cannot. */
    int (*prepare)(struct out *out, struct err *e);
    /* Nothing more comes of a handover: the receiver may finish, while the caller does what is left
     * before commit. NULL: commit says so. */
    int (*end)(struct out *out, struct err *e);
    /*
     * All that was sent so far is a whole image, and in place at the other end when this returns,
     * as far as that end can tell: lanes wait for its result, within limit_ns of the last byte, and
     * its failure is the error; a plain stream goes one way. ERR_REFUSED, and nothing is sent, if
     * this out knows no such commit.
     */
    int (*commit)(struct out *out, enum out_commit commit, int64_t limit_ns,
        struct arrival *arrival, struct err *e);
    /* After a handover, when the guest may run on already: what is left to be done with what was
     * sent. NULL: nothing. */
    int (*finish)(struct out *out, struct err *e);
    /* From now on pages are sent to be compared, not stored. NULL: not supported. */
    int (*verify)(struct out *out, struct err *e);
    /* When no round runs: how many frames of the bitmap would go as differences. NULL: none. */
    uint64_t (*count_deltas)(const struct out *out, const uint64_t *bitmap);
    /* Where the lanes' time went, when no round runs. NULL: this out has none. */
    void (*profile)(const struct out *out, struct total_report *total);
    /* Sent so far. */
    uint64_t (*wire_bytes)(const struct out *out);
    /* Of these, what still waits in this host for the network. NULL: not known. */
    uint64_t (*unsent_bytes)(const struct out *out);
    /* Also after a failure, and when nothing was begun. */
    void (*close)(struct out *out);
};

enum { OUT_MAX_PARTS = 4 };

struct out {
    const struct out_ops *ops;
};

/* On a long link a round may end half a second before its pages have left this host. The last pages
 * queue behind them: better while the guest runs. */
void out_await_sent(const struct out *out, const struct cancel *cancel);

/* Pages that are dirty again already are sent all the same, to be kept, so that they can follow as
 * differences: so many that are not kept yet. */
struct round_prime {
    const struct sent_pages *sent;
    unsigned left;
};

/* Drop what the job says to skip from pfns, but for what is to be kept (prime; NULL: nothing).
 * Returns how many stay. */
unsigned round_job_filter(
    const struct round_job *job, struct round_prime *prime, uint64_t *pfns, unsigned count);

#endif
