/* SPDX-License-Identifier: MIT */
#include "engine/in/frames.h"

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

int frames_init(
    struct frames *f, uint32_t domid, unsigned levels, uint64_t frame_count, struct err *e)
{
    *f = (struct frames){
        .domid = domid,
        .levels = levels,
        .frame_count = frame_count,
        .populated_bytes = (frame_count + EXTENT_FRAMES - 1) / EXTENT_FRAMES * EXTENT_FRAMES / 8,
        .p2m_bytes = levels ? frame_count * sizeof(uint64_t) : 0,
    };
    for (unsigned i = 0; i < FRAMES_STRIPES; i++)
        pthread_mutex_init(&f->stripes[i], NULL);
    f->populated = reserve(f->populated_bytes);
    if (f->populated && levels) {
        f->p2m = reserve(f->p2m_bytes);
        f->types = reserve(frame_count);
    }
    if (!f->populated || (levels && (!f->p2m || !f->types)))
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory to keep track of %llu frames",
            (unsigned long long)frame_count);
    return 0;
}

void frames_destroy(struct frames *f)
{
    if (!f->frame_count)
        return;
    if (f->populated)
        munmap((void *)f->populated, f->populated_bytes);
    if (f->p2m)
        munmap(f->p2m, f->p2m_bytes);
    if (f->types)
        munmap(f->types, f->frame_count);
    for (unsigned i = 0; i < FRAMES_STRIPES; i++)
        pthread_mutex_destroy(&f->stripes[i]);
    *f = (struct frames){0};
}

bool frames_is_populated(const struct frames *f, uint64_t pfn)
{
    return atomic_load_explicit(&f->populated[pfn / 64], memory_order_acquire) >> (pfn % 64) & 1;
}

static void publish(struct frames *f, uint64_t pfn, uint64_t mfn)
{
    if (f->levels)
        f->p2m[pfn] = mfn;
    atomic_fetch_or_explicit(&f->populated[pfn / 64], 1ull << (pfn % 64), memory_order_release);
}

/* Under the extent's lock: a 2 MiB page, if Xen has one. */
static bool populate_extent(struct frames *f, struct xen *x, uint64_t first)
{
    uint64_t frame = first;

    if (build_populate(x, f->domid, SUPERPAGE_ORDER, &frame, 1) != 1)
        return false;
    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        publish(f, first + i, frame + i);
    atomic_fetch_add_explicit(&f->populated_pages, EXTENT_FRAMES, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->superpages, 1, memory_order_relaxed);
    return true;
}

static int out_of_memory(const struct frames *f, uint64_t pfn, struct err *e)
{
    return err_set(e, ERR_LOCAL, ENOMEM,
        "Xen has no memory for frame %#llx of domain %u, after %llu pages (%llu MiB): free memory "
        "on this host, or its maximum is too small",
        (unsigned long long)pfn, f->domid, (unsigned long long)atomic_load(&f->populated_pages),
        (unsigned long long)atomic_load(&f->populated_pages) / 256);
}

/* Under the extent's lock: single pages, none of them populated. */
static int populate_singles(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e)
{
    uint64_t frames[EXTENT_FRAMES];

    memcpy(frames, pfns, count * sizeof(frames[0]));

    const int done = build_populate(x, f->domid, 0, frames, count);

    for (int i = 0; i < done; i++)
        publish(f, pfns[i], frames[i]);
    if (done > 0)
        atomic_fetch_add_explicit(&f->populated_pages, (unsigned)done, memory_order_relaxed);
    if (done < 0)
        return err_sys(e, ERR_LOCAL, -done, "cannot give memory to domain %u", f->domid);
    return (unsigned)done == count ? 0 : out_of_memory(f, pfns[done], e);
}

/* All of pfns lie in one extent. */
static int populate_in_extent(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e)
{
    const uint64_t extent = pfns[0] / EXTENT_FRAMES;
    pthread_mutex_t *lock = &f->stripes[extent % FRAMES_STRIPES];
    uint64_t populated[EXTENT_WORDS];
    struct populate_plan plan;
    int rc = 0;

    pthread_mutex_lock(lock);
    for (unsigned w = 0; w < EXTENT_WORDS; w++)
        populated[w] = atomic_load_explicit(
            &f->populated[extent * EXTENT_WORDS + w], memory_order_relaxed);
    plan_populate(populated, pfns, count, &plan);
    if (plan.count && !(plan.whole && populate_extent(f, x, plan.pfns[0])))
        rc = populate_singles(f, x, plan.pfns, plan.count, e);
    pthread_mutex_unlock(lock);
    return rc;
}

int frames_populate(
    struct frames *f, struct xen *x, const uint64_t *pfns, unsigned count, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0, n; i < count && !rc; i += n) {
        n = run_of_extent(pfns + i, count - i);
        rc = populate_in_extent(f, x, pfns + i, n, e);
    }
    return rc;
}
