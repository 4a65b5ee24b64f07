/* SPDX-License-Identifier: MIT */
/*
 * --on-stall throttle at the supervisor: it has libxl and the journal. The guest's own cap is read
 * and on disk before it is changed for the first time. The save helper waits for no answer: a cap
 * that could not be set looks as one that the guest does not heed.
 */
#ifndef CMD_XMIGRATE_THROTTLE_H
#define CMD_XMIGRATE_THROTTLE_H

#include "base/log.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/ui/events.h"

struct throttle {
    struct xl *xl;
    struct journal *journal; /* which guest, and its own cap */
    const struct log *log;
    const struct event_stream *events;
};

/* Cap the guest, or further. */
void throttle_lower(const struct throttle *t, unsigned percent);

/* Its own cap again. The journal says so when it is written next: until then it would only be done
 * again. */
void throttle_end(const struct throttle *t);

#endif
