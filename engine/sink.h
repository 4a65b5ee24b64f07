/*
 * Where a migration goes: behind one ops table, lanes (sink_lanes.c: trunk and lanes to another
 * xmigrate) or the plain libxc v3 stream on a descriptor (sink_plain.c). The story calls begin
 * once, states, rounds, pages_done once, states, end once, wait_result once; close always.
 * All calls come from the story's thread.
 */
#ifndef ENGINE_SINK_H
#define ENGINE_SINK_H

#include "base/err.h"
#include "engine/batch.h"
#include "engine/guest.h"
#include "engine/source.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct page_sink;

/* One pass over the frames that are set in bitmap, which nobody changes meanwhile. */
struct round_job {
    const uint64_t *bitmap;
    uint64_t pages; /* how many are set */
    /* Frames not to look at, because they are dirty again and will be in the next round; NULL:
     * none. The story stores words of it while lanes read. */
    const uint64_t *skip;
    unsigned round; /* from 1 */
    bool suspended; /* the guest stands still: a page that cannot be read is an error now */
    bool last;      /* no other follows */
};

/* What became of it: while it runs (to progress) and at its end. */
struct round_counts {
    uint64_t done_pages;    /* frames dealt with */
    uint64_t skipped_pages; /* of these, not looked at: job.skip */
    uint64_t absent_pages;  /* of these, without memory */
    uint64_t data_pages;    /* sent with contents */
    uint64_t zero_pages;    /* sent as a mark */
    /* At the end of the round only. */
    uint64_t deferred_pages;
    uint64_t stuck_pages;    /* of these, the ones that a suspend would not put right */
    struct page_fault fault; /* the first stuck one */
};

struct sink_result {
    int64_t finish_ns;
    uint64_t populated_pages;
};

struct page_sink_ops {
    /* Before everything else. */
    int (*begin)(struct page_sink *s, struct err *e);
    /* A record of libxc's stream (V3_...), its body in parts (at most SINK_MAX_PARTS). */
    int (*state)(
        struct page_sink *s, uint32_t v3_type, const struct iovec *parts, int count, struct err *e);
    /* Returns when every frame of the job is sent or deferred. */
    int (*round)(struct page_sink *s, const struct round_job *job, struct round_counts *counts,
        struct err *e);
    /* After the last round. */
    int (*pages_done)(struct page_sink *s, struct err *e);
    /* From here on pages are sent to be compared, not stored. NULL: this sink cannot. */
    int (*verify)(struct page_sink *s, struct err *e);
    int (*end)(struct page_sink *s, struct err *e);
    /* The receiver's word that all is in place; its failure is the error. */
    int (*wait_result)(
        struct page_sink *s, int64_t deadline_ns, struct sink_result *result, struct err *e);
    /* Where the lanes' time went, when no round runs. NULL: this sink has none. */
    void (*profile)(const struct page_sink *s, struct total_report *total);
    /* Sent so far. */
    uint64_t (*wire_bytes)(const struct page_sink *s);
    void (*close)(struct page_sink *s);
};

enum { SINK_MAX_PARTS = 4 };

/* Told often while a round runs, on the story's thread. */
struct round_watch {
    void (*progress)(void *arg, const struct round_counts *counts);
    void *arg;
};

#define ROUND_WATCH_NS (50 * NS_PER_MS)

/* Drop from pfns what the job says to skip; how many stay. */
unsigned round_job_filter(const struct round_job *job, uint64_t *pfns, unsigned count);

struct page_sink {
    const struct page_sink_ops *ops;
};

/* What every sink is made of; all outlive it. */
struct sink_parts {
    const struct source_params *params;
    const struct guest *guest;
    struct frame_notes *notes;
    struct round_watch watch;
};

int sink_plain_create(const struct sink_parts *parts, struct page_sink **sink, struct err *e);
int sink_lanes_create(const struct sink_parts *parts, struct page_sink **sink, struct err *e);

#endif
