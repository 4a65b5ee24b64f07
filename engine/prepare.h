/* SPDX-License-Identifier: MIT */
/*
 * What the destination builds while the guest still runs here: the source sends ahead what that
 * takes, says PREPARE when the suspend is near, does not suspend the guest before the destination
 * is prepared, and makes sure afterwards that nothing of it has changed.
 *
 * Owner: the thread that runs the source's story.
 */
#ifndef ENGINE_PREPARE_H
#define ENGINE_PREPARE_H

#include "base/deadline.h"
#include "base/log.h"
#include "engine/guest/guest.h"
#include "engine/xen/devices.h"

/* A guest that only waits for the destination writes all the time: so often it gets another round.
 * But what it writes until SOON is less than a round would cost. */
#define PREPARE_ROUND_NS (500 * NS_PER_MS)
#define PREPARE_SOON_NS  (5 * NS_PER_MS)
#define PREPARE_POLL_NS  NS_PER_MS

struct preparation {
    /* Set by the story. */
    struct guest *guest;
    struct out *out;
    const struct log *log;
    bool wanted;                /* by both ends; prepare_begin(): and possible for this guest */
    int64_t span_ns;            /* how long it may take */
    bool (*is_done)(void *arg); /* has the destination said so? */
    void *arg;

    struct xs_handle *xs; /* NULL: not open */
    /* When the image began. */
    char devices[DEVICES_TEXT_BYTES];
    char vcpus[VCPUS_TEXT_BYTES];
    int64_t limit_ns; /* until when it must be done; 0: PREPARE was not said */
};

/* With the head of the image; what follows is needed even if nothing is prepared. */
int prepare_begin(struct preparation *r, struct err *e);

/* PREPARE, between rounds; only once. */
int prepare_ask(struct preparation *r, struct err *e);

/* May the guest be suspended? */
bool prepare_is_done(const struct preparation *r);

/* ERR_PEER when that takes too long. */
int prepare_check_time(const struct preparation *r, struct err *e);

/* With the guest suspended: ERR_GUEST if it has other devices, is to use other vCPUs, or may have
 * more or less memory than when the image began, which is about when the destination was told of
 * that, or if what was sent ahead is not so any more. */
int prepare_check_unchanged(const struct preparation *r, struct err *e);

/* At any time, also of one that is all zero. */
void prepare_end(struct preparation *r);

#endif
