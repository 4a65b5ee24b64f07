/* SPDX-License-Identifier: MIT */
/* xmigrate: the real round loop and decide(), in simulated time. */
#ifndef PERF_CONVERGE_OURS_H
#define PERF_CONVERGE_OURS_H

#include "perf/converge/machine.h"

void run_xmigrate(struct sim *s, enum on_stall on_stall);

#endif
