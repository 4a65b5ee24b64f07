/* SPDX-License-Identifier: MIT */
/* What a receiver says once everything that was sent is in place. */
#ifndef ENGINE_ARRIVAL_H
#define ENGINE_ARRIVAL_H

#include <stdint.h>

struct arrival {
    int64_t finish_ns; /* from the last state record to a domain that could run */
    uint64_t populated_pages;
};

#endif
