/* SPDX-License-Identifier: MIT */
/*
 * One migration in simulated time: a guest that replays a trace, a link, a policy that decides.
 * Nothing sleeps; a run takes as long as its writes take to be replayed.
 *
 * Every policy pays the same: bytes on the link, CLEAN and PEEK during which the guest stands
 * still, the suspend during which it still writes, state, the receiver's finish, round trips. What
 * the suspend and the finish take is drawn from the seed around what a policy is told.
 */
#ifndef PERF_CONVERGE_SIM_H
#define PERF_CONVERGE_SIM_H

#include "perf/converge/scenario.h"

const char *policy_name(enum policy p);
int sim_run(const struct scenario *sc, enum policy p, struct sim_result *r);

/* Pages with contents that the link carries in a second at its first rate. */
double sim_link_pages_per_s(const struct link *l);

#endif
