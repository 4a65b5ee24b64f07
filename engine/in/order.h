/* SPDX-License-Identifier: MIT */
/*
 * The order of the trunk's records (docs/wire.md) as a pure function:
 *
 *   HEAD  STATE...  ROUND...  [PREPARE]  ROUND...  LANES_DONE  STATE...  END
 *
 * AUX_SOURCE comes among the first states, AUX_DONE among the last.
 */
#ifndef ENGINE_IN_ORDER_H
#define ENGINE_IN_ORDER_H

#include "transport/record.h"

enum trunk_phase {
    PHASE_HEAD_STATES, /* after HEAD: what pages need */
    PHASE_PAGES,       /* lanes run */
    PHASE_TAIL_STATES, /* all pages are in place */
    PHASE_ENDED,
    PHASE_OUT_OF_ORDER,
};

/* Where a record leads; v3_type is a STATE's. */
enum trunk_phase trunk_next_phase(enum trunk_phase phase, enum record_type type, uint32_t v3_type);

/* For messages: "before the pages", ... */
const char *trunk_phase_name(enum trunk_phase phase);

#endif
