/* SPDX-License-Identifier: MIT */
/*
 * Ballooning: a page is returned to the host and its content lost, or populated again with another
 * machine frame. Only in the last quarter of a vCPU's slice.
 */
#ifndef XENSIM_GUEST_BALLOON_H
#define XENSIM_GUEST_BALLOON_H

#include "xensim/guest/memory.h"

/* Balloon one page out, or in if it is out. Takes domain->lock. */
void guest_balloon(struct guest *g, unsigned cpu);

#endif
