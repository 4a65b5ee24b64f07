/* SPDX-License-Identifier: MIT */
/*
 * Where a PV guest's own p2m lies, as X86_PV_P2M_FRAMES says: a frame for each 512 or 1024 of the
 * guest's frames. How many it claims is the source's to choose, and above the guest's memory most
 * of it is one page of "nothing here" over and over; so runs of the same frame are kept, and there
 * are no more of them than pages that the guest may have can part.
 *
 * Pure; one thread.
 */
#ifndef ENGINE_GUEST_P2M_LIST_H
#define ENGINE_GUEST_P2M_LIST_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct p2m_run {
    uint64_t pfn; /* where those frames of the p2m lie, all the same */
    /* The last one's place in the p2m. The first one's follows from the run before. */
    uint64_t last;
};

struct p2m_list {
    struct p2m_run *runs;
    size_t run_count, cap_runs;
    uint64_t count;     /* of frames in all runs */
    uint64_t max_pages; /* that the guest may have */
};

void p2m_list_init(struct p2m_list *list, uint64_t max_pages);
void p2m_list_free(struct p2m_list *list);

/* The next ones. ERR_PEER when there are more runs than the guest can have. */
int p2m_list_add(struct p2m_list *list, const uint64_t *pfns, size_t count, struct err *e);

#endif
