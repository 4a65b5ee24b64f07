/* SPDX-License-Identifier: MIT */
#include "dirtylog/pending.h"

#include "base/deadline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int allocate(uint64_t **const maps[], size_t count, uint64_t frames, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        *maps[i] = bitmap_alloc(frames);
        if (!*maps[i])
            return err_set(
                e, ERR_LOCAL, ENOMEM, "no memory for bitmaps of %" PRIu64 " frames", frames);
    }
    return 0;
}

/* ---- what lanes note ---- */

int frame_notes_init(struct frame_notes *n, uint64_t frames, struct err *e)
{
    uint64_t **const maps[] = {&n->deferred, &n->missing, &n->announced};

    *n = (struct frame_notes){.frames = frames};

    const int rc = allocate(maps, sizeof(maps) / sizeof(maps[0]), frames, e);

    if (rc)
        frame_notes_destroy(n);
    return rc;
}

void frame_notes_destroy(struct frame_notes *n)
{
    free(n->deferred);
    free(n->missing);
    free(n->announced);
    *n = (struct frame_notes){0};
}

/* ---- setup ---- */

int pending_init(
    struct pending *p, uint64_t frames, frame_exists exists, const void *guest, struct err *e)
{
    uint64_t **const maps[] = {
        &p->round, &p->redirtied, &p->last, &p->before, &p->kept, &p->sample, &p->retried};

    *p = (struct pending){
        .frames = frames,
        .exists = exists,
        .guest = guest,
        .redirtied_is_clear = true,
    };

    int rc = allocate(maps, sizeof(maps) / sizeof(maps[0]), frames, e);

    if (!rc)
        rc = frame_notes_init(&p->notes, frames, e);
    if (rc)
        pending_destroy(p);
    return rc;
}

void pending_destroy(struct pending *p)
{
    frame_notes_destroy(&p->notes);
    free(p->round);
    free(p->redirtied);
    free(p->last);
    free(p->before);
    free(p->kept);
    free(p->sample);
    free(p->retried);
    *p = (struct pending){0};
}

void pending_follow(struct pending *p, struct dirty_source *source)
{
    p->source = source;
    p->notes.source = source;
}

/* ---- rounds ---- */

static void clear(const struct pending *p, uint64_t *bitmap)
{
    memset(bitmap, 0, bitmap_words(p->frames) * sizeof(*bitmap));
}

void pending_fill(struct pending *p)
{
    p->parted = 0;
    bitmap_fill(p->round, p->frames);
}

/* What was deferred, and what was missing and now has memory. */
static void join_notes(struct pending *p, uint64_t *bitmap)
{
    const struct frame_notes *n = &p->notes;

    /* Mostly empty: untouched parts take no memory, and must not start to. */
    for (size_t i = 0; i < bitmap_words(p->frames); i++)
        if (n->deferred[i]) {
            bitmap[i] |= n->deferred[i];
            n->deferred[i] = 0;
        }

    uint64_t pfn = bitmap_next(n->missing, p->frames, 0);

    while (pfn < p->frames) {
        if (p->exists(p->guest, pfn))
            bitmap_set(bitmap, pfn);
        pfn = bitmap_next(n->missing, p->frames, pfn + 1);
    }
}

static void clear_redirtied(struct pending *p)
{
    if (!p->redirtied_is_clear)
        clear(p, p->redirtied);
    p->redirtied_is_clear = true;
}

static void keep_repeats(struct pending *p)
{
    for (size_t i = 0; i < bitmap_words(p->frames); i++)
        p->kept[i] = p->last[i] & p->before[i];
    bitmap_and_not(p->round, p->kept, p->frames);
    p->kept_pages = bitmap_count(p->kept, p->frames);
}

void pending_begin_round(struct pending *p, bool keep)
{
    if (p->kept_pages)
        clear(p, p->kept);
    p->kept_pages = 0;
    p->parted = 0;
    if (keep)
        keep_repeats(p);
    join_notes(p, p->round);
    clear_redirtied(p);
}

static void clear_retried(struct pending *p)
{
    for (size_t i = p->retried_first; i < p->retried_end; i++)
        p->retried[i] = 0;
}

const uint64_t *pending_begin_retry(struct pending *p)
{
    clear_retried(p);
    p->retried_first = 0;
    p->retried_end = bitmap_words(p->frames);
    join_notes(p, p->retried);
    clear_redirtied(p);
    return p->retried;
}

struct pending_part pending_begin_part(struct pending *p, uint64_t max)
{
    const size_t words = bitmap_words(p->frames);
    struct pending_part part = {.bitmap = p->retried};
    size_t i = p->parted;

    clear_retried(p);
    clear_redirtied(p);
    while (i < words && !p->round[i])
        i++;
    p->retried_first = i;
    for (; i < words && part.pages < max; i++) {
        const uint64_t bits = p->frames - i * 64;

        p->retried[i] = p->round[i];
        part.pages += bitmap_count(&p->round[i], bits < 64 ? bits : 64);
        p->round[i] = 0;
    }
    p->retried_end = p->parted = i;
    part.first = p->retried_first * 64;
    part.end = i * 64 < p->frames ? i * 64 : p->frames;
    return part;
}

/* ---- what is dirty ---- */

/* What the last collect found becomes what the one before found. */
static void swap_last(struct pending *p)
{
    uint64_t *const last = p->last;

    p->last = p->before;
    p->before = last;
}

static int collect(struct pending *p, uint64_t *bitmap, struct pending_found *found, struct err *e)
{
    const int rc = p->source->ops->collect(p->source, bitmap, false, e);

    *found = (struct pending_found){.cleared_ns = now_ns()};
    return rc;
}

/*
 * Complete the next round's bitmap, and count. A huge guest's bitmaps are most of what a round of
 * few pages costs: one pass over them, and nothing is written where nothing is.
 */
static void sort_found(struct pending *p, struct pending_found *found)
{
    const size_t words = bitmap_words(p->frames);

    p->parted = 0;
    if (p->frames % 64)
        p->last[words - 1] &= (1ull << (p->frames % 64)) - 1;
    for (size_t i = 0; i < words; i++) {
        if (!(p->last[i] | p->kept[i] | p->round[i]))
            continue;
        p->round[i] = p->last[i] | p->kept[i];
        found->dirty_pages += (uint64_t)__builtin_popcountll(p->last[i]);
        found->left_pages += (uint64_t)__builtin_popcountll(p->round[i]);
    }
}

int pending_collect(struct pending *p, struct pending_found *found, struct err *e)
{
    swap_last(p);

    const int rc = collect(p, p->last, found, e);

    if (!rc)
        sort_found(p, found);
    return rc;
}

int pending_sample(struct pending *p, bool first, struct pending_found *found, struct err *e)
{
    if (first) {
        swap_last(p);
        clear(p, p->last);
    }

    const int rc = collect(p, p->sample, found, e);

    if (rc)
        return rc;
    p->parted = 0;
    bitmap_or(p->last, p->sample, p->frames);
    bitmap_or(p->round, p->sample, p->frames);
    found->dirty_pages = bitmap_count(p->sample, p->frames);
    found->left_pages = bitmap_count(p->round, p->frames);
    return 0;
}

int pending_collect_last(struct pending *p, struct err *e)
{
    if (!p->source) {
        pending_fill(p);
        return 0;
    }

    int rc = p->source->ops->check(p->source, e);

    if (!rc)
        rc = p->source->ops->collect(p->source, p->last, true, e);
    if (rc)
        return rc;
    p->parted = 0;
    bitmap_or(p->round, p->last, p->frames);
    join_notes(p, p->round);
    return 0;
}

int pending_peek(struct pending *p, uint64_t *dirty_pages, struct err *e)
{
    p->redirtied_is_clear = false;

    const int rc = p->source->ops->peek(p->source, p->redirtied, e);

    if (!rc)
        *dirty_pages = bitmap_count(p->redirtied, p->frames);
    return rc;
}
