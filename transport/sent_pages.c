/* SPDX-License-Identifier: MIT */
#include "transport/sent_pages.h"

#include "base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    WAYS = 8,
    LOCKS = 64,
    /* A page that was not sent for so many rounds makes room for another. */
    STALE_ROUNDS = 3,
};

#define NO_PFN UINT64_MAX

struct sent_set {
    uint64_t pfns[WAYS];
    uint32_t rounds[WAYS]; /* when they were last sent */
};

struct sent_pages_locks {
    pthread_mutex_t set[LOCKS];
};

static void *map_zeros(size_t bytes)
{
    void *at = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static int init_locks(struct sent_pages *s)
{
    s->locks = malloc(sizeof(*s->locks));
    if (!s->locks)
        return -ENOMEM;
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&s->locks->set[i], NULL);
    return 0;
}

int sent_pages_init(struct sent_pages *s, uint64_t bytes, uint64_t frames, struct err *e)
{
    *s = (struct sent_pages){.frames = frames, .round = STALE_ROUNDS + 1};
    s->set_count = bytes / PAGE_BYTES / WAYS;
    if (!s->set_count)
        return err_set(e, ERR_INTERNAL, EINVAL, "no room for sent pages");
    s->pages_bytes = s->set_count * WAYS * PAGE_BYTES;
    s->may_have = bitmap_alloc(frames);
    s->sets = malloc(s->set_count * sizeof(*s->sets));
    s->pages = map_zeros(s->pages_bytes);
    if (!s->may_have || !s->sets || !s->pages || init_locks(s)) {
        sent_pages_destroy(s);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for pages that were sent");
    }
    for (uint64_t i = 0; i < s->set_count; i++)
        for (unsigned way = 0; way < WAYS; way++)
            s->sets[i].pfns[way] = NO_PFN;
    return 0;
}

void sent_pages_destroy(struct sent_pages *s)
{
    if (s->locks)
        for (unsigned i = 0; i < LOCKS; i++)
            pthread_mutex_destroy(&s->locks->set[i]);
    free(s->locks);
    free(s->may_have);
    free(s->sets);
    if (s->pages)
        munmap(s->pages, s->pages_bytes);
    *s = (struct sent_pages){.pages = NULL};
}

void sent_pages_begin_round(struct sent_pages *s)
{
    s->round++;
}

uint64_t sent_pages_count(const struct sent_pages *s, const uint64_t *bitmap)
{
    const uint64_t most = s->set_count * WAYS;
    uint64_t count = 0;

    if (!atomic_load_explicit(&s->kept, memory_order_relaxed))
        return 0;
    /* Of a huge guest's frames few are dirty: may_have is not read where none is. */
    for (uint64_t i = 0; i < bitmap_words(s->frames); i++)
        if (bitmap[i])
            count += (uint64_t)__builtin_popcountll(bitmap[i] & s->may_have[i]);
    return count < most ? count : most;
}

bool sent_pages_have_room(const struct sent_pages *s)
{
    return atomic_load_explicit(&s->kept, memory_order_relaxed) < s->set_count * WAYS;
}

static bool may_speculate(const struct sent_pages *s)
{
    return atomic_load_explicit(&s->kept, memory_order_relaxed) < s->set_count * WAYS / 4;
}

static uint64_t set_of(const struct sent_pages *s, uint64_t pfn)
{
    return pfn % s->set_count;
}

static pthread_mutex_t *lock_set(const struct sent_pages *s, uint64_t set)
{
    pthread_mutex_t *lock = &s->locks->set[set % LOCKS];

    pthread_mutex_lock(lock);
    return lock;
}

static unsigned way_of(const struct sent_set *set, uint64_t pfn)
{
    unsigned way = 0;

    while (way < WAYS && set->pfns[way] != pfn)
        way++;
    return way;
}

static void *page_at(const struct sent_pages *s, uint64_t set, unsigned way)
{
    return s->pages + (set * WAYS + way) * PAGE_BYTES;
}

void *sent_pages_find(struct sent_pages *s, uint64_t pfn)
{
    if (!sent_pages_may_have(s, pfn))
        return NULL;

    const uint64_t index = set_of(s, pfn);
    struct sent_set *set = &s->sets[index];
    pthread_mutex_t *lock = lock_set(s, index);
    const unsigned way = way_of(set, pfn);

    if (way < WAYS)
        set->rounds[way] = s->round;
    pthread_mutex_unlock(lock);
    if (way < WAYS)
        return page_at(s, index, way);
    bitmap_clear(s->may_have, pfn);
    return NULL;
}

/* A free place, or the one that was used longest ago. */
static unsigned find_room(const struct sent_pages *s, const struct sent_set *set)
{
    unsigned oldest = 0;

    for (unsigned way = 0; way < WAYS; way++) {
        if (set->pfns[way] == NO_PFN)
            return way;
        if (set->rounds[way] < set->rounds[oldest])
            oldest = way;
    }
    return s->round - set->rounds[oldest] > STALE_ROUNDS ? oldest : WAYS;
}

static unsigned find_free_room(const struct sent_pages *s, const struct sent_set *set)
{
    return may_speculate(s) ? way_of(set, NO_PFN) : WAYS;
}

void *sent_pages_add(struct sent_pages *s, uint64_t pfn, bool speculative)
{
    const uint64_t index = set_of(s, pfn);
    struct sent_set *set = &s->sets[index];
    pthread_mutex_t *lock = lock_set(s, index);
    const unsigned way = speculative ? find_free_room(s, set) : find_room(s, set);

    if (way < WAYS) {
        if (set->pfns[way] == NO_PFN)
            atomic_fetch_add_explicit(&s->kept, 1, memory_order_relaxed);
        set->pfns[way] = pfn;
        set->rounds[way] = speculative ? s->round - STALE_ROUNDS : s->round;
    }
    pthread_mutex_unlock(lock);
    if (way == WAYS)
        return NULL;
    bitmap_set(s->may_have, pfn);
    return page_at(s, index, way);
}

void sent_pages_forget_found(struct sent_pages *s, uint64_t pfn)
{
    const uint64_t index = set_of(s, pfn);
    struct sent_set *set = &s->sets[index];
    pthread_mutex_t *lock = lock_set(s, index);
    const unsigned way = way_of(set, pfn);

    if (way < WAYS) {
        set->pfns[way] = NO_PFN;
        atomic_fetch_sub_explicit(&s->kept, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(lock);
    bitmap_clear(s->may_have, pfn);
}
