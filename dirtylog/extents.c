/* SPDX-License-Identifier: MIT */
#include "dirtylog/extents.h"

#include "base/bitmap.h"

void frame_share_begin(struct frame_share *s, const uint64_t *bitmap, uint64_t first, uint64_t end)
{
    s->bitmap = bitmap;
    s->frames = end;
    atomic_init(&s->next_extent, first / EXTENT_FRAMES);
}

/* A word of the bitmap without the bits beyond the guest's frames. */
static uint64_t load_word(const struct frame_share *s, uint64_t index)
{
    const uint64_t first = index * 64;

    if (first >= s->frames)
        return 0;
    if (s->frames - first >= 64)
        return s->bitmap[index];
    return s->bitmap[index] & ((1ull << (s->frames - first)) - 1);
}

/* Is no bit of the extent set? */
static bool is_empty_extent(const struct frame_share *s, uint64_t extent, uint64_t words)
{
    const uint64_t first = extent * EXTENT_WORDS;
    const uint64_t end = words - first < EXTENT_WORDS ? words : first + EXTENT_WORDS;
    uint64_t all = 0;

    for (uint64_t i = first; i < end; i++)
        all |= s->bitmap[i];
    return !all;
}

/* Take the next extent with anything in it, for the caller alone. */
static bool take_extent(struct frame_share *s, uint64_t *taken)
{
    const uint64_t words = bitmap_words(s->frames);
    const uint64_t extents = (words + EXTENT_WORDS - 1) / EXTENT_WORDS;
    uint_fast64_t next = atomic_load_explicit(&s->next_extent, memory_order_relaxed);
    uint64_t extent;

    do {
        for (extent = next; extent < extents && is_empty_extent(s, extent, words);)
            extent++;
        if (extent == extents)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &s->next_extent, &next, extent + 1, memory_order_relaxed, memory_order_relaxed));
    *taken = extent;
    return true;
}

struct frame_walk frame_walk_begin(struct frame_share *s)
{
    return (struct frame_walk){.share = s};
}

/* Go on to the next word, in this extent or another one; false when there is none. */
static bool step_word(struct frame_walk *w)
{
    uint64_t extent;

    if (w->index + 1 < w->end_index) {
        w->index++;
    } else {
        if (!take_extent(w->share, &extent))
            return false;
        w->index = extent * EXTENT_WORDS;
        w->end_index = w->index + EXTENT_WORDS;
    }
    w->word = load_word(w->share, w->index);
    return true;
}

/* 64 in a row; most words of a first round are full. */
static void take_full_word(struct frame_walk *w, uint64_t *pfns)
{
    for (unsigned i = 0; i < 64; i++)
        pfns[i] = w->index * 64 + i;
    w->word = 0;
}

unsigned frame_walk_next(struct frame_walk *w, uint64_t *pfns, unsigned max)
{
    unsigned n = 0;

    while (n < max && (w->word || step_word(w))) {
        if (w->word == UINT64_MAX && max - n >= 64) {
            take_full_word(w, pfns + n);
            n += 64;
            continue;
        }
        while (n < max && w->word) {
            pfns[n++] = w->index * 64 + (unsigned)__builtin_ctzll(w->word);
            w->word &= w->word - 1;
        }
    }
    return n;
}
