/* SPDX-License-Identifier: MIT */
/*
 * A look at what keeps a running guest's memory from being sent: how it keeps its p2m, and whether
 * its page tables name frames that are not its own. Nothing of it is changed.
 */
#ifndef ENGINE_PROBE_LOOK_H
#define ENGINE_PROBE_LOOK_H

#include "base/log.h"
#include "engine/page_fault.h"
#include "transport/kernel_notes.h"

#include <stdbool.h>

struct look {
    const char *p2m_layout;  /* of a PV guest: "list" or "tree"; else NULL */
    bool all;                /* of its memory; false: there was no time for the rest */
    uint64_t stuck_pages;    /* that could not be sent now, and not when it is suspended */
    struct page_fault fault; /* the first of them */
};

/* For limit_ns at most. A failure says why its memory cannot be read at all. */
int look_at_guest(uint32_t domid, const struct pte_marks *marks, int64_t limit_ns,
    const struct log *log, struct look *l, struct err *e);

#endif
