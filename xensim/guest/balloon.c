/* SPDX-License-Identifier: MIT */
#include "xensim/guest/balloon.h"
#include "xensim/guest/pagetables.h"
#include "xensim/hypervisor/physmap.h"

static void set_p2m(struct guest *g, uint64_t index, uint64_t mfn)
{
    unsigned width = guest_width(g->domain);
    uint64_t per_page = PAGE_BYTES / width;
    uint8_t *leaf = guest_page(g, g->kernel->p2m.first + index / per_page);

    if (width == 4)
        __atomic_store_n((uint32_t *)leaf + index % per_page, (uint32_t)mfn, __ATOMIC_RELEASE);
    else
        __atomic_store_n((uint64_t *)leaf + index % per_page, mfn, __ATOMIC_RELEASE);
    guest_touch(g, g->kernel->p2m.first + index / per_page);
}

static int give_back(struct guest *g, uint64_t index)
{
    struct domain *d = g->domain;
    uint64_t gfn = d->hvm ? guest_pfn(g->kernel, index) : g->mfns[index];
    int rc = 0;

    /* Linux scrubs what it gives back, which is how the dirty log gets to know of it. */
    guest_touch(g, index);
    if (!d->hvm) {
        rc = guest_set_direct(g, index, 0);
        if (rc)
            return rc;
        set_p2m(g, index, ~0ull);
    }
    rc = physmap_depopulate(d, gfn);
    if (rc) { /* a toolstack maps it: keep it */
        if (!d->hvm) {
            set_p2m(g, index, g->mfns[index]);
            guest_set_direct(g, index, guest_direct_pte(g->kernel, index, g->mfns[index]));
        }
        return 0;
    }
    g->mfns[index] = 0;
    *guest_version(g, index) |= VERSION_BALLOONED;
    return 0;
}

static int take_again(struct guest *g, unsigned cpu, uint64_t index)
{
    struct domain *d = g->domain;
    struct guest_kernel *k = g->kernel;
    uint64_t mfn;
    int rc = physmap_populate(d, guest_pfn(k, index), 0, &mfn);

    if (rc)
        return 0; /* the host is full: try again later */
    g->mfns[index] = (uint32_t)mfn;
    if (!d->hvm) {
        set_p2m(g, index, mfn);
        rc = guest_set_direct(g, index, guest_direct_pte(k, index, mfn));
    }

    uint32_t *version = guest_version(g, index);

    *version &= ~VERSION_BALLOONED;
    (*version)++;
    __atomic_fetch_add(&k->cpus[cpu].writes, 1, __ATOMIC_RELAXED);
    content_fill(guest_page(g, index), &k->mix, k->seed, index, *version);
    guest_touch(g, index);
    return rc;
}

void guest_balloon(struct guest *g, unsigned cpu)
{
    struct guest_kernel *k = g->kernel;
    struct guest_region s = guest_slice(k, cpu), stable = guest_stable_slice(k, cpu);
    uint64_t count = s.count - stable.count;
    uint64_t index = stable.first + stable.count + guest_random(k, cpu) % count;
    int rc;

    pthread_mutex_lock(&g->domain->lock);
    if (g->mfns[index])
        rc = give_back(g, index);
    else
        rc = take_again(g, cpu, index);
    pthread_mutex_unlock(&g->domain->lock);
    guest_touch(g, k->table.first + index / 1024);
    guest_touch(g, INDEX_KERNEL);
    if (rc)
        guest_fault(g, "ballooning page %#llx failed: %d", (unsigned long long)index, rc);
}
