/* SPDX-License-Identifier: MIT */
/*
 * Running guests: programs that live in a domain's memory (kernel.h), run as threads of the daemon,
 * one a vCPU, and know what they wrote.
 *
 * The unit of work is one guest operation between vcpu_enter() and vcpu_leave(): a page and its
 * version change together as far as any toolstack can see. Page-table writes take domain->lock, as
 * hypercalls do. domain->guest belongs to run.c; domain->guest_lock guards it.
 */
#ifndef XENSIM_GUEST_RUN_H
#define XENSIM_GUEST_RUN_H

#include "xensim/hypervisor/domain.h"

enum { GUEST_RATE_UNLIMITED = -1 };

/* host_ops.start_guest: start the vCPU threads from the domain's contexts, if they hold a guest. A
 * domain whose memory is not what its guest wrote crashes here, with a line in the host's log. */
void guest_start(struct domain *d);

/* host_ops.free_guest */
void guest_free(void *guest);

/* Its control/shutdown in xenstore: "suspend" or "". Version counts the writes. */
struct shutdown_node {
    uint64_t version;
    bool suspend;
};

struct shutdown_node guest_shutdown_node(struct domain *d);
/* What it wrote to control/feature-suspend: '1', '0'; 0: nothing. */
char guest_feature_suspend(struct domain *d);

/* Write "suspend" or "". -EAGAIN: it is no longer of that version (NULL: any). The guest writes ""
 * itself when it acknowledges, and then it will suspend, whatever the tools do. */
int guest_write_shutdown_node(struct domain *d, bool suspend, const uint64_t *only_version);

/* Take a request to suspend back. False if there is none, or the guest has acknowledged it. */
bool guest_withdraw_suspend(struct domain *d);

/* The guest's memory as it sees it, in KiB; 0 if no guest runs. */
uint64_t guest_memory_kib(struct domain *d);

/* Pages written since it was made; 0 if no guest runs. */
uint64_t guest_writes(struct domain *d);

/* Change the write rate of a running guest. */
void guest_set_rate(struct domain *d, int64_t pages_per_s);

#endif
