/* SPDX-License-Identifier: MIT */
/* Why a page of the guest could not be sent. */
#ifndef ENGINE_PAGE_FAULT_H
#define ENGINE_PAGE_FAULT_H

#include "base/err.h"

#include <stdint.h>

struct page_fault {
    int code; /* 0: none */
    uint64_t pfn, frame;
    unsigned level;  /* of a page table; 0: the page itself could not be mapped */
    unsigned index;  /* of the entry */
    uint64_t target; /* the frame that the entry names */
};

/* ERR_GUEST, naming all of it. */
int page_fault_explain(const struct page_fault *f, uint32_t domid, struct err *e);

#endif
