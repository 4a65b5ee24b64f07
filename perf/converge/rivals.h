/* SPDX-License-Identifier: MIT */
/* What others do, and what somebody would do who knows the future. */
#ifndef PERF_CONVERGE_RIVALS_H
#define PERF_CONVERGE_RIVALS_H

#include "perf/converge/machine.h"

void run_xen(struct sim *s);
void run_clairvoyant(struct sim *s);
void run_qemu(struct sim *s, enum policy policy);

#endif
