/* SPDX-License-Identifier: MIT */
/*
 * What a migration reports while it runs: plain numbers, handed to report_ops on the thread that
 * runs the story. The save helper turns them into events (docs/events.md).
 */
#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include "base/err.h"
#include "base/limits.h"
#include "sched/decide.h"
#include "sched/words.h"
#include "transport/channel.h"

#include <stdbool.h>
#include <stdint.h>

/* While a round runs, about five times a second. */
struct progress_report {
    unsigned round;            /* from 1 */
    uint64_t round_pages;      /* in this round; while it is watched: that the next would have */
    uint64_t round_done_pages; /* of these, dealt with */
    uint64_t round_sent_pages; /* of these, sent */
    uint64_t round_aux_bytes;  /* of auxiliary data, in this round so far */
    uint64_t wire_bytes;       /* sent so far, all connections of the data path */
    double send_pages_per_s;   /* this round so far */
    double dirty_pages_per_s;  /* as of the last CLEAN; 0 before the first */
    int64_t predicted_downtime_ns; /* as last predicted; 0 before the first CLEAN */
    int64_t watch_left_ns;         /* the guest is watched, for so long at most; 0: it is not */
};

/* After each round that ran while the guest ran, and after the last one. */
struct round_report {
    unsigned round;
    bool last;               /* the round sent with the guest suspended */
    uint64_t pages;          /* frames in it */
    uint64_t data_pages;     /* sent with contents */
    uint64_t zero_pages;     /* sent as a mark */
    uint64_t delta_pages;    /* of data_pages: sent as a difference to what was sent before */
    uint64_t skipped_pages;  /* dirty again before their turn, so left to the next round */
    uint64_t kept_pages;     /* rewritten in every round, so left to the last one */
    uint64_t deferred_pages; /* page tables that could not be translated yet */
    uint64_t wire_bytes;     /* sent in this round */
    uint64_t aux_entries;    /* of auxiliary data sent, or withdrawn, in this round */
    uint64_t aux_bytes;      /* their contents */
    uint64_t aux_left_bytes; /* what has changed of it meanwhile (0 in the last round) */
    int64_t duration_ns;
    double send_pages_per_s;
    /* What the CLEAN after it found (0 in the last round). */
    uint64_t dirty_pages;
    double dirty_pages_per_s;
    int64_t clean_ns; /* how long the CLEAN took: the guest stood still for it */
    int64_t predicted_downtime_ns;
};

/* After each live round, and after observing: what the scheduler makes of it. */
struct decision_report {
    unsigned round; /* after this one */
    enum action action;
    enum reason reason;
    struct prediction now, next;
    char words[DECISION_WORDS_BYTES];
};

/* The pause, in its parts, as far as the source's engine sees them. */
struct downtime_report {
    int64_t suspend_ns;    /* asked to suspend until it was suspended */
    int64_t clean_ns;      /* the FINAL CLEAN */
    int64_t last_round_ns; /* the last pages */
    int64_t state_ns;      /* vCPUs and the rest */
    int64_t receiver_ns;   /* the receiver's engine from the last byte to complete, as it reports */
    int64_t disks_ns;      /* for the disks' backends, beyond what the other parts took anyway */
};

/* What one lane at the source did, and where its thread spent its time. */
struct lane_profile {
    uint64_t batches;
    uint64_t wire_bytes;
    uint64_t allocations; /* of our code, while rounds ran */
    int64_t types_cpu_ns; /* which frames there are, and of what types */
    int64_t map_cpu_ns;   /* and unmap */
    int64_t canonicalise_cpu_ns;
    int64_t zero_scan_cpu_ns;
    int64_t encode_cpu_ns;
    int64_t encrypt_cpu_ns;
    int64_t send_cpu_ns;
    int64_t cpu_ns;   /* all of it */
    int64_t wait_ns;  /* until the network took more */
    int64_t paced_ns; /* for --bandwidth */
};

struct total_report {
    unsigned rounds;
    uint64_t data_pages;
    uint64_t zero_pages;
    uint64_t delta_pages;       /* of data_pages: sent as a difference */
    uint64_t delta_saved_bytes; /* these pages' bytes, less what was sent of them */
    uint64_t aux_entries;       /* as in rounds, all together */
    uint64_t aux_bytes;
    uint64_t wire_bytes;
    int64_t total_ns;
    struct prediction predicted; /* when the decision to suspend was made */
    struct downtime_report downtime;
    char encryption[CHANNEL_ENCRYPTION_BYTES]; /* of lanes, for people; "": there was none */
    unsigned lane_count;                       /* 0: there were none (plain stream) */
    struct lane_profile lanes[MAX_LANES];
};

struct report_ops {
    /* Log-dirty is about to be switched on: from now on it may be ours to switch off. It stays
     * off when this fails. */
    int (*logging)(void *arg, struct err *e);
    void (*progress)(void *arg, const struct progress_report *r);
    void (*round)(void *arg, const struct round_report *r);
    void (*decision)(void *arg, const struct decision_report *r);
    /* The guest stands still from now on; reason is reason_name() or "offline". */
    void (*suspending)(void *arg, const char *reason, int64_t predicted_downtime_ns);
    void (*suspended)(void *arg);
    void *arg;
};

struct precopy;

/* What the round loop decided after that round. */
void report_precopy_decision(
    const struct report_ops *report, unsigned round, const struct precopy *p);

#endif
