#include "dirtylog/dirtylog.h"

#include "base/bitmap.h"

enum { EXTENT_WORDS = EXTENT_FRAMES / 64 };

/* A word of the bitmap without the bits that are no frames of the guest. */
static uint64_t load_word(const struct frame_walk *w, uint64_t index)
{
    const uint64_t first = index * 64;

    if (first >= w->frames)
        return 0;
    if (w->frames - first >= 64)
        return w->bitmap[index];
    return w->bitmap[index] & ((1ull << (w->frames - first)) - 1);
}

/* Is there nothing in the extent that begins with the walk's word? */
static bool is_empty_extent(const struct frame_walk *w)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < EXTENT_WORDS; i++)
        all |= w->bitmap[w->index + i];
    return !all;
}

/* To the lane's next word: the extents between belong to other lanes. */
static void step_word(struct frame_walk *w)
{
    const uint64_t words = bitmap_words(w->frames);

    w->index++;
    if (w->index % EXTENT_WORDS == 0) {
        w->index += (uint64_t)(w->lanes - 1) * EXTENT_WORDS;
        while (w->index + EXTENT_WORDS <= words && is_empty_extent(w))
            w->index += (uint64_t)w->lanes * EXTENT_WORDS;
    }
    w->word = load_word(w, w->index);
}

struct frame_walk frame_walk_begin(
    const uint64_t *bitmap, uint64_t frames, unsigned lane, unsigned lanes)
{
    struct frame_walk w = {bitmap, frames, lanes, (uint64_t)lane * EXTENT_WORDS, 0};

    w.word = load_word(&w, w.index);
    return w;
}

unsigned frame_walk_next(struct frame_walk *w, uint64_t *pfns, unsigned max)
{
    const uint64_t words = bitmap_words(w->frames);
    unsigned n = 0;

    while (n < max && w->index < words) {
        if (!w->word) {
            step_word(w);
            continue;
        }
        pfns[n++] = w->index * 64 + (unsigned)__builtin_ctzll(w->word);
        w->word &= w->word - 1;
    }
    return n;
}
