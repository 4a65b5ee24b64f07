/*
 * The order of the trunk's records (docs/wire.md) as a pure function:
 *
 *   HEAD  STATE...  ROUND...  LANES_DONE  STATE...  END
 */
#ifndef ENGINE_IN_ORDER_H
#define ENGINE_IN_ORDER_H

#include "transport/record.h"

enum feed_phase {
    FEED_HEAD_STATES, /* after HEAD: what pages need */
    FEED_PAGES,       /* lanes run */
    FEED_TAIL_STATES, /* all pages are in place */
    FEED_ENDED,
    FEED_OUT_OF_ORDER,
};

/* Where a record leads; v3_type is a STATE's. */
enum feed_phase feed_next_phase(enum feed_phase phase, enum record_type type, uint32_t v3_type);

/* For messages: "before the pages", ... */
const char *feed_phase_name(enum feed_phase phase);

#endif
