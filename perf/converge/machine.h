/* SPDX-License-Identifier: MIT */
/*
 * What all policies (ours.c, rivals.c) move with the same means: the guest, its pages, the link,
 * the pause.
 */
#ifndef PERF_CONVERGE_MACHINE_H
#define PERF_CONVERGE_MACHINE_H

#include "perf/converge/scenario.h"

enum {
    WIRE_PAGE_BYTES = 4125, /* contents, entry, record and TLS, spread over a batch */
    WIRE_ZERO_BYTES = 8,
    SLICE_PAGES = 64, /* sent between two moments in which the guest runs */
};

#define ROUND_NS (2 * NS_PER_MS)

/* What each page is, one byte. */
enum {
    DIRTY = 1,
    TO_SEND = 2,
    SKIP = 4,
    WAS_DIRTY = 8,
    KEPT = 16,
    WRITTEN = 32,
    MARK = 64,
    SAMPLED = 128
};

struct sim {
    const struct scenario *sc;
    struct sim_result *r;
    uint8_t *page;
    int64_t now_ns;
    double guest_ns; /* the guest's own progress through its trace */
    double speed;    /* of the guest: 1 is unthrottled */
    uint64_t step;   /* of the trace */
    double cpu_ns;   /* of its processor, used by the guest */
    uint64_t dirty;
    int64_t halve_ns;
    int64_t ready_ns; /* when the link has carried what it was given */
    int64_t clean_ns, peek_ns;
    int64_t still_ns; /* of a PEEK: for so long the guest stands still yet, while lanes go on */
    int64_t suspend_ns, finish_ns;
    uint64_t bytes;
    uint64_t data_pages, zero_pages;
    int64_t last_clean_ns;
};

/* Time passes and the guest runs, but for what is left of a PEEK. */
void sim_advance(struct sim *s, int64_t span_ns);
/* Time passes and the guest stands still. */
void sim_stand_still(struct sim *s, int64_t span_ns);
/* The guest has one processor; of less than it needs it takes all. */
void sim_cap(struct sim *s, unsigned percent);

/* How long the link needs for that much; and until it has carried it, with what it was given
 * before. */
int64_t sim_wire_ns(const struct sim *s, uint64_t bytes);
int64_t sim_carry_ns(struct sim *s, uint64_t bytes);

/* One page in four has never been written to and is zero. */
bool sim_is_zero(const struct sim *s, uint32_t p);
/* A page is sent: its bytes on the wire. */
uint32_t sim_take_page(struct sim *s, uint32_t p);

/* Send what is TO_SEND, ascending, without what is to be skipped. poll (NULL: nobody) is called
 * after each slice. */
struct sim_poll {
    void (*poll)(void *arg, struct sim *s);
    void *arg;
};

void sim_send(struct sim *s, bool skip, const struct sim_poll *poll);

/* The log is on and everything is TO_SEND. */
void sim_begin(struct sim *s);
/* What is dirty is skipped from now on. The guest stands still for it, lanes go on. */
void sim_peek(struct sim *s);
/* Read and clear the log: what is dirty becomes TO_SEND, beside what was kept. How much that is. */
uint64_t sim_clean(struct sim *s);
/* How many pages have any of these flags. */
uint64_t sim_count(const struct sim *s, uint8_t any);

/* So many pages are left now: a point of the run's curve. */
void sim_note_point(struct sim *s, uint64_t left);
/* Suspend, send the rest; or end without. */
void sim_finish(struct sim *s);
void sim_end_without(struct sim *s, const char *outcome);

#endif
