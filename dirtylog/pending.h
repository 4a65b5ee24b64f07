/* SPDX-License-Identifier: MIT */
/*
 * Which pages have to be sent, and what is known of each: one bit for each of the guest's frames.
 *
 *   round 1            all of them          1111 1111 1111 1111
 *   collect            what it found        0010 0000 0000 1100   -> round 2
 *   deferred           could not be read    0000 0001 0000 0000   -> joins every round until it is
 * sent final | deferred                        0000 0011 0000 0000   -> the last round, guest
 * suspended
 *
 * Owner: the story's thread. Lanes read a round's bitmap and redirtied, and write their notes.
 */
#ifndef DIRTYLOG_PENDING_H
#define DIRTYLOG_PENDING_H

#include "base/bitmap.h"
#include "base/err.h"
#include "dirtylog/dirty.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What lanes note about frames. During a round the words of an extent belong to the lane that took
 * it, between rounds all belong to the story.
 */
struct frame_notes {
    uint64_t frames;
    uint64_t *deferred;  /* could not be read: joins the next round */
    uint64_t *missing;   /* had no memory when last tried: joins as soon as it has */
    uint64_t *announced; /* the receiver was told that there is a page */
    /* The caller's; asked about contents if it compares them. NULL: trust the bitmaps. Changes only
     * between rounds. */
    struct dirty_source *source;
};

int frame_notes_init(struct frame_notes *n, uint64_t frames, struct err *e);
void frame_notes_destroy(struct frame_notes *n);

static inline void frame_notes_defer(struct frame_notes *n, uint64_t pfn)
{
    bitmap_set(n->deferred, pfn);
}

static inline void frame_notes_miss(struct frame_notes *n, uint64_t pfn, bool missing)
{
    if (missing)
        bitmap_set(n->missing, pfn);
    else
        bitmap_clear(n->missing, pfn);
}

/* Are contents compared? If so, pages have to be copied first: what was compared is what must be
 * sent. */
static inline bool frame_notes_compare(const struct frame_notes *n)
{
    return n->source && n->source->ops->changed;
}

/* There is a page (type and copy as for dirty_ops.changed). Does it have to be sent? */
static inline bool frame_notes_announce(
    struct frame_notes *n, uint64_t pfn, unsigned type, const void *copy)
{
    if (frame_notes_compare(n)) {
        if (!n->source->ops->changed(n->source, pfn, type, copy))
            return false;
        n->source->ops->sent(n->source, pfn, type, copy);
    }
    bitmap_set(n->announced, pfn);
    return true;
}

/* There is no page (any more), as type says. Does the receiver have to be told? */
static inline bool frame_notes_withdraw(struct frame_notes *n, uint64_t pfn, unsigned type)
{
    if (!bitmap_test(n->announced, pfn))
        return false;
    bitmap_clear(n->announced, pfn);
    if (frame_notes_compare(n))
        n->source->ops->sent(n->source, pfn, type, NULL);
    return true;
}

/* Has the frame memory by now? */
typedef bool (*frame_exists)(const void *guest, uint64_t pfn);

struct pending {
    uint64_t frames;
    frame_exists exists;
    const void *guest;
    struct dirty_source *source; /* the caller's; NULL: nothing is logged */
    struct frame_notes notes;

    uint64_t *round;     /* what the current round, or the next one, sends */
    uint64_t *redirtied; /* since the current round began, as of the last peek. Lanes read it, by
                          * bitmap_test_shared() */
    bool redirtied_is_clear;
    uint64_t *last;   /* what the last collect found, or all samples of an observation */
    uint64_t *before; /* what the one before found */
    uint64_t *kept;   /* not in the current round, but in the next one */
    uint64_t kept_pages;
    uint64_t *sample;  /* what a single sample found */
    uint64_t *retried; /* a round of its own: of what was deferred, or a part of the next one */
    size_t retried_first, retried_end; /* the words of it that may not be zero */
    size_t parted; /* so many words of the next round are empty: parts have taken what they had */
};

/* exists is called with guest, which outlives it. */
int pending_init(
    struct pending *p, uint64_t frames, frame_exists exists, const void *guest, struct err *e);
void pending_destroy(struct pending *p);

/* source, which stays the caller's, tells what is dirty. Before the first round. */
void pending_follow(struct pending *p, struct dirty_source *source);

/* The next round sends every frame. */
void pending_fill(struct pending *p);

/* The next round begins: what was deferred, and what has memory again, joins it. keep_repeats:
 * without what both of the last two collects found, which joins the one after. */
void pending_begin_round(struct pending *p, bool keep_repeats);

/* The same for a round that sends nothing but what was deferred or has memory again. Returns its
 * bitmap. */
const uint64_t *pending_begin_retry(struct pending *p);

/* Some frames of a bitmap, none of them outside [first, end). */
struct pending_part {
    const uint64_t *bitmap;
    uint64_t first, end;
    uint64_t pages;
};

/* Takes the next frames, about max of them, out of the next round for a round of their own. No
 * pages: nothing is left. It comes every few ms, so each word of a huge guest's bitmaps is looked
 * at by one part, not by all. */
struct pending_part pending_begin_part(struct pending *p, uint64_t max);

/* Of a collect. */
struct pending_found {
    uint64_t dirty_pages; /* it found */
    uint64_t left_pages;  /* are in the next round, without the deferred ones */
    int64_t cleared_ns;   /* when it was over, before the bitmaps were sorted */
};

/* A round was sent: what was dirtied since the last collect, and what was kept, is the next one. */
int pending_collect(struct pending *p, struct pending_found *found, struct err *e);

/* Nothing was sent: what was dirtied since the last collect joins the next round. All samples from
 * a first one on count as one collect. */
int pending_sample(struct pending *p, bool first, struct pending_found *found, struct err *e);

/* The guest is suspended: the next round is the last, and has all that is left. Without a source
 * that is everything. */
int pending_collect_last(struct pending *p, struct err *e);

/* How much is dirty, while a round runs or nothing is sent. */
int pending_peek(struct pending *p, uint64_t *dirty_pages, struct err *e);

#endif
