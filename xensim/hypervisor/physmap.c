/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/physmap.h"

#include <errno.h>

/* Whether the frames of pfn's extent are scattered; decided once. */
static bool is_scattered(struct domain *d, uint64_t pfn)
{
    uint32_t *first = &d->extent_first[pfn / PAGES_PER_CHUNK];

    if (!*first && heap_scatters(d->machine))
        *first = EXTENT_SCATTERED;
    return *first == EXTENT_SCATTERED;
}

/* A run of frames for pfn and up to count - 1 after it, from the chunk promised to its extent; each
 * slot of a promise is used once. Returns how many there were, 0 if memory is out. */
static uint64_t alloc_for(struct domain *d, uint64_t pfn, uint64_t count, uint64_t *mfn)
{
    struct machine *m = d->machine;
    uint64_t extent = pfn / PAGES_PER_CHUNK;
    const bool scattered = is_scattered(d, pfn);

    if (!d->extent_first[extent]) {
        uint64_t first = heap_reserve_chunk(m);

        if (first == extent * PAGES_PER_CHUNK && first) {
            uint64_t other = heap_reserve_chunk(m);

            heap_unreserve_chunk(m, first);
            first = other;
        }
        d->extent_first[extent] = (uint32_t)first;
    }
    if (d->extent_first[extent] && !scattered) {
        *mfn = d->extent_first[extent] + pfn % PAGES_PER_CHUNK;

        uint64_t taken = heap_take_reserved(m, *mfn, count, d->id);

        if (taken)
            return taken;
    }

    *mfn = heap_alloc_frame(m, d->id, scattered);
    if (*mfn == pfn && *mfn) {
        uint64_t other = heap_alloc_frame(m, d->id, scattered);

        heap_free_frame(m, *mfn);
        *mfn = other;
    }
    return *mfn != 0;
}

/* A run of 512 frames from pfn on. */
static uint64_t alloc_run_for(struct domain *d, uint64_t pfn)
{
    uint64_t mfn = is_scattered(d, pfn) ? 0 : heap_alloc_chunk(d->machine, d->id);

    if (mfn == pfn && mfn) {
        uint64_t other = heap_alloc_chunk(d->machine, d->id);

        for (uint64_t i = 0; i < PAGES_PER_CHUNK; i++)
            heap_free_frame(d->machine, mfn + i);
        mfn = other;
    }
    return mfn;
}

static void add_to_physmap(struct domain *d, uint64_t pfn, uint64_t mfn)
{
    if (d->hvm) {
        uint64_t old = d->p2m[pfn];

        /* The old frame stays the domain's, but nobody can name it any more. */
        if (old)
            m2p_set(d->machine, old, M2P_INVALID);
        d->p2m[pfn] = (uint32_t)mfn;
        if (!d->any_gpfn || pfn > d->max_gpfn)
            d->max_gpfn = pfn;
        d->any_gpfn = true;
    }
    m2p_set(d->machine, mfn, pfn);
    domain_mark_dirty(d, pfn);
}

/* Whether the domain may have `count` frames more, from pfn on. */
static int may_populate(struct domain *d, uint64_t pfn, uint64_t count)
{
    if (d->dying)
        return -EINVAL;
    if (pfn >= MAX_PFNS || pfn + count > MAX_PFNS)
        return -EINVAL;
    return d->tot_pages + count > d->max_pages ? -EPERM : 0;
}

/* What a domain takes it claims first, so that nobody takes what others have claimed. */
static bool claim_for(struct domain *d, uint64_t count)
{
    const uint64_t more = count > d->claimed_pages ? count - d->claimed_pages : 0;

    if (!heap_claim(d->machine, more))
        return false;
    d->claimed_pages += more;
    return true;
}

/* So many were taken; before: what was claimed before it claimed for them. */
static void settle_claim(struct domain *d, uint64_t before, uint64_t taken)
{
    const uint64_t left = before > taken ? before - taken : 0;

    heap_unclaim(d->machine, d->claimed_pages - left);
    d->claimed_pages = left;
}

int physmap_claim(struct domain *d, uint64_t pages)
{
    if (!pages) {
        settle_claim(d, 0, 0);
        return 0;
    }
    if (d->dying || d->claimed_pages || pages <= d->tot_pages || pages > d->max_pages)
        return -EINVAL;
    return claim_for(d, pages - d->tot_pages) ? 0 : -ENOMEM;
}

static void add_run(struct domain *d, uint64_t pfn, uint64_t mfn, uint64_t count)
{
    d->tot_pages += count;
    for (uint64_t i = 0; i < count; i++)
        add_to_physmap(d, pfn + i, mfn + i);
}

int64_t physmap_populate_run(struct domain *d, uint64_t pfn, uint64_t count, uint64_t *mfn)
{
    int rc = may_populate(d, pfn, 1);

    if (rc)
        return rc;
    if (count > d->max_pages - d->tot_pages)
        count = d->max_pages - d->tot_pages;

    const uint64_t before = d->claimed_pages;

    if (!claim_for(d, count)) {
        count = 1;
        if (!claim_for(d, count))
            return -ENOMEM;
    }
    /* A run ends where its extent does, and so below MAX_PFNS. */
    count = alloc_for(d, pfn, count, mfn);
    settle_claim(d, before, count);
    if (!count)
        return -ENOMEM;
    add_run(d, pfn, *mfn, count);
    return (int64_t)count;
}

int physmap_populate(struct domain *d, uint64_t pfn, unsigned order, uint64_t *mfn)
{
    uint64_t count = 1ull << order;

    if (order == 0) {
        int64_t done = physmap_populate_run(d, pfn, 1, mfn);

        return done < 0 ? (int)done : 0;
    }
    if (order > 9)
        return -ENOMEM;

    int rc = may_populate(d, pfn, count);

    if (rc)
        return rc;

    const uint64_t before = d->claimed_pages;

    if (!claim_for(d, count))
        return -ENOMEM;
    *mfn = alloc_run_for(d, pfn);
    for (uint64_t i = count; *mfn && i < PAGES_PER_CHUNK; i++)
        heap_free_frame(d->machine, *mfn + i);
    settle_claim(d, before, *mfn ? count : 0);
    if (!*mfn)
        return -ENOMEM;
    add_run(d, pfn, *mfn, count);
    return 0;
}

int physmap_depopulate(struct domain *d, uint64_t gfn)
{
    uint64_t mfn = domain_gfn_to_mfn(d, gfn);

    if (!mfn)
        return -EINVAL;

    struct frame *f = &d->machine->frames[mfn];

    if (f->flags & FRAME_SPECIAL)
        return -EINVAL;
    if (f->type_refs)
        host_sweep_mappings(d->host, d);
    if (f->type_refs)
        return -EBUSY;
    if (d->hvm)
        d->p2m[gfn] = 0;
    heap_free_frame(d->machine, mfn);
    d->tot_pages--;
    return 0;
}
