/* SPDX-License-Identifier: MIT */
/*
 * Moves from this host know of each other, by locks (flock) in the run directory, which end with
 * the process that holds them.
 *
 * As many move at once, `moving-1` and so on, as there are processors for their lanes, one at least
 * and two at most; the others wait before the other host is asked for anything. More would share
 * processors and link, so each would take longer, and its guest would write to more pages
 * meanwhile: more bytes, more rounds, longer pauses. They move in the order in which they came: who
 * waits has a ticket, `after-TIME-PID`, and leaves the turn to whoever has an older one.
 *
 * One guest at a time stands still, `pausing`: what was said of its pause holds only if no other's
 * last round takes its share.
 *
 * The story's thread's.
 */
#ifndef CMD_XMIGRATE_TURNS_H
#define CMD_XMIGRATE_TURNS_H

#include "base/deadline.h"
#include "base/err.h"
#include "cmd/paths.h"

#include <stdbool.h>

enum { TURNS_MOST = 2, TURN_TICKET_BYTES = 48, TURN_PATH_BYTES = PATHS_BYTES + TURN_TICKET_BYTES };

/* How long to wait before trying again. */
#define TURN_MOVE_AGAIN_NS  (20 * NS_PER_MS)
#define TURN_PAUSE_AGAIN_NS (2 * NS_PER_MS)
/* A guest waits no longer for others' pauses, which --start-timeout usually ends by then. */
#define TURN_PAUSE_LIMIT_NS (10 * NS_PER_S)
/* And keeps its turn no longer while it runs on: the destination may not be prepared yet, or the
 * guest have become busy. */
#define TURN_PAUSE_UNUSED_NS (2 * NS_PER_S)

struct turn {
    int fd;            /* -1: it is not ours */
    int ticket_fd;     /* -1: there is no ticket */
    int64_t unused_ns; /* until when it may be ours without a pause */
    char path[TURN_PATH_BYTES];
    char ticket[TURN_TICKET_BYTES]; /* in the run directory */
};

#define TURN_INIT                                                                                  \
    (struct turn)                                                                                  \
    {                                                                                              \
        .fd = -1, .ticket_fd = -1, .unused_ns = DEADLINE_NEVER                                     \
    }

/* How many moves with so many lanes at once. */
unsigned turns_at_once(unsigned cores, unsigned lanes);

/* 1: it is ours, perhaps since before; 0: not now. */
int turn_try_move(struct turn *t, unsigned at_once, struct err *e);
int turn_try_pause(struct turn *t, struct err *e);
/* For whoever comes next; also of one that is still waited for. */
void turn_end(struct turn *t);
/* The same if it was ours too long; nobody stands still. */
void turn_end_unused(struct turn *t);

#endif
