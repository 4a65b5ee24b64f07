/* SPDX-License-Identifier: MIT */
#include "engine/in/frames.h"

#include "base/min.h"
#include "engine/in/populate_plan.h"
#include "engine/xen/build.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { SUPERPAGE_ORDER = 9 };

/* Zeroed memory that costs only what is touched. NULL when there is none. */
static void *reserve(size_t bytes)
{
    void *p = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static int no_memory(const struct frames *f, struct err *e)
{
    return err_set(e, ERR_LOCAL, ENOMEM, "no memory to keep track of %llu pages among %llu frames",
        (unsigned long long)f->max_pages, (unsigned long long)f->frame_count);
}

/* For a group is made only where there is memory. */
static bool reserve_groups(struct frames *f)
{
    const uint64_t all = (uint64_t)f->map.slot_count * EXTENT_GROUPS;

    f->group_of_bytes = all * sizeof(*f->group_of);
    f->groups_bytes = (min_u64(f->max_pages, all) + 1) * sizeof(*f->groups);
    f->group_of = reserve(f->group_of_bytes);
    f->groups = reserve(f->groups_bytes);
    return f->group_of && f->groups;
}

int frames_init(struct frames *f, uint32_t domid, unsigned levels, uint64_t frame_count,
    uint64_t max_pages, struct err *e)
{
    *f = (struct frames){
        .domid = domid,
        .levels = levels,
        .frame_count = frame_count,
        .max_pages = max_pages,
    };
    for (unsigned i = 0; i < FRAMES_STRIPES; i++)
        pthread_mutex_init(&f->stripes[i], NULL);

    const int rc = extent_map_init(&f->map, frame_count, max_pages, e);

    if (rc)
        return rc;
    f->populated_bytes = (size_t)f->map.slot_count * EXTENT_WORDS * sizeof(uint64_t);
    f->populated = reserve(f->populated_bytes);
    f->absent = reserve(f->populated_bytes);
    if (!f->populated || !f->absent || (levels && !reserve_groups(f)))
        return no_memory(f, e);
    return 0;
}

void frames_destroy(struct frames *f)
{
    if (!f->frame_count)
        return;
    if (f->populated)
        munmap((void *)f->populated, f->populated_bytes);
    if (f->absent)
        munmap((void *)f->absent, f->populated_bytes);
    if (f->group_of)
        munmap(f->group_of, f->group_of_bytes);
    if (f->groups)
        munmap(f->groups, f->groups_bytes);
    extent_map_destroy(&f->map);
    for (unsigned i = 0; i < FRAMES_STRIPES; i++)
        pthread_mutex_destroy(&f->stripes[i]);
    *f = (struct frames){0};
}

static _Atomic uint64_t *word_of(_Atomic uint64_t *bitmap, uint32_t slot, uint64_t pfn)
{
    return &bitmap[slot * (size_t)EXTENT_WORDS + pfn % EXTENT_FRAMES / 64];
}

bool frames_is_populated(const struct frames *f, uint64_t pfn)
{
    const uint32_t slot = extent_map_find(&f->map, pfn / EXTENT_FRAMES);

    return slot != EXTENT_NO_SLOT &&
           (atomic_load_explicit(word_of(f->populated, slot, pfn), memory_order_acquire) >>
                   (pfn % 64) &
               1);
}

/* Under the extent's lock. There are as many groups as pages may be populated: a PV guest's memory
 * is taken back only when no more is given. */
static struct frame_group *make_group(struct frames *f, uint32_t slot, unsigned index)
{
    uint32_t *group = &f->group_of[slot * (size_t)EXTENT_GROUPS + index];

    if (!*group)
        *group = atomic_fetch_add_explicit(&f->group_count, 1, memory_order_relaxed) + 1;
    return &f->groups[*group - 1];
}

/* Under the extent's lock. */
static void publish(struct frames *f, uint32_t slot, uint64_t pfn, uint64_t mfn)
{
    const unsigned index = pfn % EXTENT_FRAMES;

    if (f->levels) {
        struct frame_group *group = make_group(f, slot, index / FRAMES_PER_GROUP);

        group->mfns_low[index % FRAMES_PER_GROUP] = (uint32_t)mfn;
        group->mfns_high[index % FRAMES_PER_GROUP] = (uint8_t)(mfn >> 32);
    }
    atomic_fetch_or_explicit(
        word_of(f->populated, slot, pfn), 1ull << (pfn % 64), memory_order_release);
}

/* Under the extent's lock: a 2 MiB page, if Xen has one. */
static bool populate_extent(struct frames *f, struct xen *x, uint32_t slot, uint64_t first)
{
    uint64_t frame = first;

    if (build_populate(x, f->domid, SUPERPAGE_ORDER, &frame, 1) != 1)
        return false;
    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        publish(f, slot, first + i, frame + i);
    atomic_fetch_add_explicit(&f->superpages, 1, memory_order_relaxed);
    return true;
}

static int out_of_memory(const struct frames *f, uint64_t pfn, struct err *e)
{
    return err_set(e, ERR_LOCAL, ENOMEM,
        "Xen has no memory for frame %#llx of domain %u, after %llu pages (%llu MiB): none is "
        "free, or the domain's maximum is too small",
        (unsigned long long)pfn, f->domid, (unsigned long long)atomic_load(&f->populated_pages),
        (unsigned long long)atomic_load(&f->populated_pages) / 256);
}

static int more_than_allowed(
    const struct frames *f, uint64_t pfn, unsigned long long pages, struct err *e)
{
    return err_set(e, ERR_LOCAL, ENOMEM,
        "frame %#llx would make %llu pages of domain %u, which may have %llu: its maximum here is "
        "too small, or the source sends what the guest does not have",
        (unsigned long long)pfn, pages, f->domid, (unsigned long long)f->max_pages);
}

/* Under the extent's lock: single pages, none of them populated. */
static int populate_singles(struct frames *f, struct xen *x, uint32_t slot, const uint64_t *pfns,
    unsigned count, struct err *e)
{
    uint64_t frames[EXTENT_FRAMES];

    memcpy(frames, pfns, count * sizeof(frames[0]));

    const int rc = build_populate(x, f->domid, 0, frames, count);
    const unsigned done = rc < 0 ? 0 : (unsigned)rc;

    for (unsigned i = 0; i < done; i++)
        publish(f, slot, pfns[i], frames[i]);
    if (done < count)
        atomic_fetch_sub_explicit(&f->populated_pages, count - done, memory_order_relaxed);
    if (rc < 0)
        return err_sys(e, ERR_LOCAL, -rc, "cannot give memory to domain %u", f->domid);
    return done == count ? 0 : out_of_memory(f, pfns[done], e);
}

/* Under the extent's lock. The pages are counted before they are there. */
static int populate_planned(
    struct frames *f, struct xen *x, const struct populate_plan *plan, struct err *e)
{
    const uint64_t pages = atomic_fetch_add_explicit(
                               &f->populated_pages, plan->count, memory_order_relaxed) +
                           plan->count;
    const uint32_t slot = pages > f->max_pages
                              ? EXTENT_NO_SLOT
                              : extent_map_add(&f->map, plan->pfns[0] / EXTENT_FRAMES);

    if (slot == EXTENT_NO_SLOT) {
        atomic_fetch_sub_explicit(&f->populated_pages, plan->count, memory_order_relaxed);
        return more_than_allowed(f, plan->pfns[0], pages, e);
    }
    if (plan->whole && populate_extent(f, x, slot, plan->pfns[0]))
        return 0;
    return populate_singles(f, x, slot, plan->pfns, plan->count, e);
}

/* ---- what has been ballooned out ---- */

static pthread_mutex_t *lock_of(struct frames *f, uint64_t extent)
{
    return &f->stripes[extent % FRAMES_STRIPES];
}

/* Under the extent's lock. */
static void set_absent(struct frames *f, uint32_t slot, uint64_t pfn, bool absent)
{
    _Atomic uint64_t *const word = word_of(f->absent, slot, pfn);
    const uint64_t bit = 1ull << (pfn % 64), old = atomic_load_explicit(word, memory_order_relaxed);

    if (!(old & bit) == !absent)
        return;
    atomic_store_explicit(word, old ^ bit, memory_order_relaxed);
    if (absent)
        atomic_fetch_add_explicit(&f->absent_pages, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&f->absent_pages, 1, memory_order_relaxed);
}

void frames_note_absent(struct frames *f, uint64_t pfn)
{
    const uint64_t extent = pfn / EXTENT_FRAMES;

    if (!frames_is_populated(f, pfn))
        return;
    pthread_mutex_lock(lock_of(f, extent));
    /* Not if it was taken back since. */
    if (frames_is_populated(f, pfn))
        set_absent(f, extent_map_find(&f->map, extent), pfn, true);
    pthread_mutex_unlock(lock_of(f, extent));
}

/* Under the extent's lock: its absent frames, and what they are to Xen. */
static unsigned list_absent(const struct frames *f, uint32_t slot, uint64_t extent,
    uint64_t pfns[static EXTENT_FRAMES], uint64_t gfns[static EXTENT_FRAMES])
{
    unsigned count = 0;

    for (uint64_t pfn = extent * EXTENT_FRAMES; pfn < (extent + 1) * EXTENT_FRAMES; pfn += 64) {
        uint64_t word = atomic_load_explicit(word_of(f->absent, slot, pfn), memory_order_relaxed);

        for (; word; word &= word - 1) {
            pfns[count] = pfn + (unsigned)__builtin_ctzll(word);
            gfns[count] = frames_gfn(f, pfns[count]);
            count++;
        }
    }
    return count;
}

/* Under the extent's lock. */
static void forget_page(struct frames *f, uint32_t slot, uint64_t pfn)
{
    if (f->levels)
        *frames_type(f, pfn) = 0;
    set_absent(f, slot, pfn, false);
    atomic_fetch_and_explicit(
        word_of(f->populated, slot, pfn), ~(1ull << (pfn % 64)), memory_order_relaxed);
    atomic_fetch_sub_explicit(&f->populated_pages, 1, memory_order_relaxed);
}

static int release_in_extent(
    struct frames *f, struct xen *x, uint32_t slot, uint64_t extent, struct err *e)
{
    uint64_t pfns[EXTENT_FRAMES], gfns[EXTENT_FRAMES];
    int rc = 0;

    pthread_mutex_lock(lock_of(f, extent));

    const unsigned count = list_absent(f, slot, extent, pfns, gfns);

    if (count)
        rc = build_release(x, f->domid, gfns, count, e);
    for (unsigned i = 0; i < count && !rc; i++)
        forget_page(f, slot, pfns[i]);
    pthread_mutex_unlock(lock_of(f, extent));
    return rc;
}

int frames_release_absent(struct frames *f, struct xen *x, struct err *e)
{
    int rc = 0;

    for (uint32_t place = 0; place < extent_map_places(&f->map) && !rc; place++) {
        uint64_t extent;
        uint32_t slot;

        if (!atomic_load_explicit(&f->absent_pages, memory_order_relaxed))
            break;
        if (extent_map_at(&f->map, place, &extent, &slot))
            rc = release_in_extent(f, x, slot, extent, e);
    }
    return rc;
}

/* ---- giving memory ---- */

/* All of pfns lie in one extent. */
static int populate_in_extent(struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count,
    bool named, struct err *e)
{
    const uint64_t extent = pfns[0] / EXTENT_FRAMES;
    uint64_t populated[EXTENT_WORDS] = {0};
    struct populate_plan plan;

    pthread_mutex_lock(lock_of(f, extent));

    const uint32_t slot = extent_map_find(&f->map, extent);

    for (unsigned w = 0; w < EXTENT_WORDS && slot != EXTENT_NO_SLOT; w++)
        populated[w] = atomic_load_explicit(
            &f->populated[slot * (size_t)EXTENT_WORDS + w], memory_order_relaxed);
    for (unsigned i = 0; i < count && slot != EXTENT_NO_SLOT && !named; i++)
        set_absent(f, slot, pfns[i], false);
    plan_populate(populated, pfns, count, &plan);

    const int rc = plan.count ? populate_planned(f, x, &plan, e) : 0;

    for (unsigned i = 0; i < plan.count && !rc && named; i++)
        set_absent(f, extent_map_find(&f->map, extent), plan.pfns[i], true);
    pthread_mutex_unlock(lock_of(f, extent));
    return rc;
}

/* At the limit: what other extents no longer need is taken back first, as often as there is some.
 */
static int populate_run(struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count,
    bool named, struct err *e)
{
    for (;;) {
        struct err full = ERR_INIT;
        int rc = populate_in_extent(f, x, pfns, count, named, &full);

        if (!rc)
            return 0;
        if (rc != -ENOMEM || f->levels || !atomic_load(&f->absent_pages))
            return err_take(e, &full);
        rc = frames_release_absent(f, x, e);
        if (rc)
            return rc;
    }
}

static int populate(struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count,
    bool named, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0, n; i < count && !rc; i += n) {
        n = run_of_extent(pfns + i, count - i);
        rc = populate_run(f, x, pfns + i, n, named, e);
    }
    return rc;
}

int frames_populate(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e)
{
    return populate(f, x, pfns, count, false, e);
}

int frames_populate_named(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e)
{
    return populate(f, x, pfns, count, true, e);
}
