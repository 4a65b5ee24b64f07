/* SPDX-License-Identifier: MIT */
/*
 * Ballooning: a page is given back to the host, its content lost, or taken again with another
 * machine frame. Only in the last quarter of a vCPU's slice.
 */
#ifndef XENSIM_GUEST_BALLOON_H
#define XENSIM_GUEST_BALLOON_H

#include "xensim/guest/memory.h"

/* Give back or take again one page. Takes domain->lock. */
void guest_balloon(struct guest *g, unsigned cpu);

#endif
