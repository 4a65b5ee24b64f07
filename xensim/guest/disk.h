/* SPDX-License-Identifier: MIT */
/*
 * The rings that a guest shares with the backends of its disks, as far as a toolstack can look at
 * them: their heads, and grants for them. A guest that suspends leaves requests unanswered; its
 * backends answer them after the guest's --disk-delay, or never.
 *
 * Two pages a disk: two queues, or one and its second page. Only vCPU 0 touches them.
 */
#ifndef XENSIM_GUEST_DISK_H
#define XENSIM_GUEST_DISK_H

#include "xensim/guest/memory.h"

enum {
    GUEST_MAX_DISKS = 8,
    GUEST_DISK_PAGES = 2,
    GUEST_FIRST_RING_REF = 8, /* after the grants that tools seed; the rings follow each other */
};

#define GUEST_DISK_NEVER INT64_MAX

/* Its first disk should hold what it wrote last; then the next version is written. */
void guest_use_disk(struct guest *g);

/* In a new domain: empty rings, granted to dom0. */
void guest_connect_disks(struct guest *g);

/* It is about to suspend: requests are open from now on, until the backends answer. */
void guest_leave_requests(struct guest *g);

#endif
