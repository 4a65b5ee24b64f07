/* SPDX-License-Identifier: MIT */
/* Whether a domain holds what its guest last wrote: pages, page tables, the state of vCPUs. */
#ifndef XENSIM_GUEST_VERIFY_H
#define XENSIM_GUEST_VERIFY_H

#include "xensim/hypervisor/domain.h"

/* Every problem counts; the first are spelled out in text. */
struct verify_report {
    uint64_t pages, ballooned, tables, entries, problems;
    char *text; /* malloc'ed lines; may be NULL */
};

/* Pauses the domain meanwhile. 0, -ENOENT if it holds no guest, or -ENOMEM. */
int guest_verify(struct domain *d, struct verify_report *report);

#endif
