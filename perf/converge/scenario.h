/* SPDX-License-Identifier: MIT */
/* What is simulated, and what comes of it. */
#ifndef PERF_CONVERGE_SCENARIO_H
#define PERF_CONVERGE_SCENARIO_H

#include "perf/converge/trace.h"
#include "sched/words.h"

#include <stdbool.h>

enum policy {
    POLICY_XMIGRATE,
    POLICY_THROTTLE, /* the same with --on-stall throttle */
    POLICY_XEN,      /* 5 rounds, or fewer than 50 pages */
    POLICY_QEMU,     /* suspend when what is left takes less than the limit at the measured rate */
    POLICY_AUTOCONVERGE, /* the same, and slow the guest down, 20 % first, then by 10 %, up to 99 %
                          */
    POLICY_KUBEVIRT,     /* the same as qemu, and suspend at a local minimum once it stalls */
    POLICY_CLAIRVOYANT,  /* our rounds, stopped at the best time, which it knows */
    POLICY_COUNT,
};

struct link {
    const char *name;
    double bits_per_s;
    bool halves; /* in the middle of the first round */
    int64_t round_trip_ns;
};

struct scenario {
    const struct trace *trace;
    uint32_t pages; /* of the guest */
    struct link link;
    uint64_t seed;
    struct decide_limits limits;
    struct decide_costs costs; /* as policies are told */
    struct decide_costs truth; /* as they are */
    unsigned learnt;           /* moves of the guest between these hosts, before */
    /* Beside a real run: the costs as they were there, and no page is zero; 0: neither. */
    struct decide_costs measured;
    uint64_t from_step; /* of the trace: where the guest is as the migration begins */
    int64_t burst_ns;   /* of time in which the link was not used it makes up for so much */
    int64_t horizon_ns;
};

enum { SIM_MOST_POINTS = 200, SIM_MOST_WORDS = 40, SIM_WORD_BYTES = DECISION_WORDS_BYTES };

struct sim_point {
    int64_t at_ns;
    uint64_t left_pages;
};

struct sim_result {
    const char *outcome; /* "met", "missed", "gave-up", "timeout" */
    int64_t downtime_ns;
    int64_t predicted_ns;   /* -1: the policy does not */
    struct prediction said; /* xmigrate */
    int64_t fixed_ns;       /* of the pause: what is not pages */
    uint64_t bytes;
    int64_t total_ns;
    unsigned rounds;
    unsigned slowed_percent;     /* xmigrate: the cap that it ended with; 0: it never needed one */
    unsigned rounds_after_stall; /* xmigrate: since it saw that the guest does not converge */
    bool stalled;
    unsigned point_count;
    struct sim_point points[SIM_MOST_POINTS];
    unsigned word_count;
    char words[SIM_MOST_WORDS][SIM_WORD_BYTES]; /* xmigrate: its reasons, round by round */
};

#endif
