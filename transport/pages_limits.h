/* SPDX-License-Identifier: MIT */
/* How much a page record may hold (docs/wire.md, "Page records"). */
#ifndef TRANSPORT_PAGES_LIMITS_H
#define TRANSPORT_PAGES_LIMITS_H

#include "base/limits.h"

enum {
    PAGES_MAX_ENTRIES = 1024,
    PAGES_BLOCK_PAGES = 16,
    PAGES_BLOCK_BYTES = PAGES_BLOCK_PAGES * PAGE_BYTES,
    /* Differences and other pages each end with a block that may be short; and the table is even.
     */
    PAGES_MAX_BLOCKS = PAGES_MAX_ENTRIES / PAGES_BLOCK_PAGES + 2,
    PAGES_MAX_FRONT_BYTES = 8 + PAGES_MAX_ENTRIES * (8 + 4) + PAGES_MAX_BLOCKS * 4,
    PAGES_MAX_BODY_BYTES = PAGES_MAX_FRONT_BYTES + PAGES_MAX_ENTRIES * PAGE_BYTES,
};

#endif
