/* SPDX-License-Identifier: MIT */
/*
 * What the pause costs beside its pages, between two hosts that are drawn, and what xmigrate says
 * of that after so many moves of the guest there: by the priors and the arithmetic of its own
 * (cmd/xmigrate/expect.h, history.h), not by figures of the simulator's. Pure.
 *
 * A guest takes 5 ms to 2 s to suspend, and everything from the last byte on 5 ms to 5 s: what was
 * seen on xensim and on emulated hosts with devices (README), and what libxl's timeouts and hotplug
 * scripts let it come to. Each move differs from the next by a quarter, now and then by more.
 */
#ifndef PERF_CONVERGE_LEARNT_H
#define PERF_CONVERGE_LEARNT_H

#include "sched/decide.h"

/* *truth is what this move costs, the same whatever was seen before; *told what is said of it. */
void learnt_costs(uint64_t seed, unsigned earlier, int64_t state_ns, int64_t network_ns,
    struct decide_costs *truth, struct decide_costs *told);

#endif
