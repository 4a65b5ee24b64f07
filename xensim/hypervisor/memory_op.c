/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/memory_op.h"
#include "xensim/hypervisor/physmap.h"

#include <errno.h>

/* What one call may ask for: Xen has no limit but preempts; a client that wants more loops. */
enum { MAX_EXTENTS = 1 << 20 };

/* Populate some of what is left of the list: its first extent, or as many single frames as are
 * contiguous both there and in machine memory. Returns how many extents, or -errno. */
static int64_t populate_some(
    struct domain *d, const struct xen_memory_reservation *r, xen_pfn_t *list, uint64_t left)
{
    const uint64_t pfn = list[0];
    uint64_t run = 1, mfn;
    int64_t done;

    if (r->extent_order) {
        done = physmap_populate(d, pfn, r->extent_order, &mfn);
        done = done ? done : 1;
    } else {
        while (run < left && list[run] == pfn + run)
            run++;
        done = physmap_populate_run(d, pfn, run, &mfn);
    }
    for (int64_t i = 0; !d->hvm && i < done; i++)
        list[i] = mfn + (uint64_t)i;
    return done;
}

static int64_t populate_physmap(struct host *h, struct caller *caller, uint64_t va)
{
    struct xen_memory_reservation *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    struct xen_memory_reservation r = *p;
    uint64_t list_va = (uint64_t)(uintptr_t)r.extent_start.p;

    if (r.nr_extents > MAX_EXTENTS)
        return -E2BIG;

    xen_pfn_t *list = caller_pointer(caller, list_va, r.nr_extents * sizeof(*list));

    /* Xen gives up at the first extent it cannot do and returns how many it did. */
    if (!list)
        return 0;
    if (r.mem_flags & XENMEMF_populate_on_demand)
        return 0;

    struct domain *d = domain_get(h, r.domid);
    uint64_t done = 0;

    if (!d)
        return -ESRCH;
    pthread_mutex_lock(&d->lock);
    while (done < r.nr_extents) {
        int64_t rc = populate_some(d, &r, &list[done], r.nr_extents - done);

        if (rc < 0) {
            if (rc == -EPERM)
                host_log_rate(h, "d%u: over-allocation: %llu > %llu pages", d->id,
                    (unsigned long long)(d->tot_pages + (1ull << r.extent_order)),
                    (unsigned long long)d->max_pages);
            break;
        }
        done += (uint64_t)rc;
    }
    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    return (int64_t)done;
}

static int64_t decrease_reservation(struct host *h, struct caller *caller, uint64_t va)
{
    struct xen_memory_reservation *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    struct xen_memory_reservation r = *p;
    uint64_t list_va = (uint64_t)(uintptr_t)r.extent_start.p;

    if (r.nr_extents > MAX_EXTENTS || r.extent_order > 9)
        return -E2BIG;

    xen_pfn_t *list = caller_pointer(caller, list_va, r.nr_extents * sizeof(*list));
    struct domain *d = list ? domain_get(h, r.domid) : NULL;
    uint64_t done = 0;

    if (!list)
        return 0;
    if (!d)
        return -ESRCH;
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    for (bool ok = true; ok && done < r.nr_extents;) {
        for (uint64_t i = 0; ok && i < 1ull << r.extent_order; i++)
            ok = physmap_depopulate(d, list[done] + i) == 0;
        done += ok;
    }
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    domain_put(d);
    return (int64_t)done;
}

/* In all, so that what the domain has counts; none: what is left of a claim is given up. */
static int64_t claim_pages(struct host *h, struct caller *caller, uint64_t va)
{
    struct xen_memory_reservation *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    const struct xen_memory_reservation r = *p;

    if (r.extent_start.p || r.extent_order || r.mem_flags)
        return -EINVAL;

    struct domain *d = domain_get(h, r.domid);

    if (!d)
        return -ESRCH;
    pthread_mutex_lock(&d->lock);

    const int rc = physmap_claim(d, r.nr_extents);

    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    return rc;
}

/* The first MFN of each 2 MiB of the table. */
static int64_t machphys_list(
    struct caller *caller, uint64_t va, uint64_t first_mfn, uint64_t chunks)
{
    struct xen_machphys_mfn_list *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    struct xen_machphys_mfn_list l = *p;
    uint64_t count = l.max_extents < chunks ? l.max_extents : chunks;
    uint64_t done = 0;

    /* libxenguest asks for the compat table's first frame with a pointer to its own stack. */
    for (; done < count; done++) {
        xen_pfn_t mfn = first_mfn + done * PAGES_PER_CHUNK;

        if (caller_write(caller, (uint64_t)(uintptr_t)(l.extent_start.p + done), &mfn, sizeof(mfn)))
            return -EFAULT;
    }
    p->nr_extents = (unsigned)done;
    return 0;
}

/* For PV it is what the guest wrote into its shared info: a count, 0 while it wrote none. */
static uint64_t pv_max_pfn(const struct domain *d)
{
    const shared_info_any_t *s = frame_ptr(d->machine, d->shared_info_mfn);
    uint64_t count = d->pv32 ? s->x32.arch.max_pfn : s->x64.arch.max_pfn;

    return (count ? count : 1) - 1;
}

/* One number about one domain. */
static int64_t query(struct host *h, struct caller *caller, uint64_t cmd, uint64_t va)
{
    struct xen_memory_domain *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    struct domain *d = domain_get(h, p->domid);
    int64_t value = 0;

    if (!d)
        return -ESRCH;
    pthread_mutex_lock(&d->lock);
    switch (cmd) {
    case XENMEM_current_reservation:
        value = (int64_t)d->tot_pages;
        break;
    case XENMEM_maximum_reservation:
        value = (int64_t)d->max_pages;
        break;
    case XENMEM_maximum_gpfn:
        /* For PV: what the guest wrote into its shared info, minus one, as in Xen. */
        value = (int64_t)(d->hvm ? d->max_gpfn : pv_max_pfn(d));
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    return value;
}

/* No guest of ours has such, but for tests: as many as they say, with nothing behind them. */
static int64_t pod_target(struct host *h, struct caller *caller, uint64_t va)
{
    xen_pod_target_t *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;

    struct domain *d = domain_get(h, p->domid);

    if (!d)
        return -ESRCH;
    p->tot_pages = d->tot_pages;
    p->pod_cache_pages = 0;
    p->pod_entries = d->pod_entries;
    domain_put(d);
    return 0;
}

static int64_t acquire_resource_size(struct host *h, struct caller *caller, uint64_t va)
{
    struct xen_mem_acquire_resource *p = caller_pointer(caller, va, sizeof(*p));

    if (!p)
        return -EFAULT;
    /* Frames reach a client through the mapping ioctl; only the size is asked here. */
    if (p->nr_frames || p->type != XENMEM_resource_grant_table)
        return -EOPNOTSUPP;

    struct domain *d = domain_get(h, p->domid);

    if (!d)
        return -ESRCH;
    p->nr_frames = d->max_grant_frames;
    domain_put(d);
    return 0;
}

int64_t do_memory_op(struct host *h, struct caller *caller, uint64_t cmd, uint64_t arg)
{
    struct machine *m = &h->machine;

    switch (cmd) {
    case XENMEM_populate_physmap:
        return populate_physmap(h, caller, arg);
    case XENMEM_decrease_reservation:
        return decrease_reservation(h, caller, arg);
    case XENMEM_claim_pages:
        return claim_pages(h, caller, arg);
    case XENMEM_maximum_ram_page:
        return (int64_t)m->nr_frames - 1;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return query(h, caller, cmd, arg);
    case XENMEM_machphys_mfn_list:
        return machphys_list(
            caller, arg, m->m2p_mfn, (m->compat_m2p_mfn - m->m2p_mfn) / PAGES_PER_CHUNK);
    case XENMEM_machphys_compat_mfn_list:
        return machphys_list(
            caller, arg, m->compat_m2p_mfn, (m->nr_frames - m->compat_m2p_mfn) / PAGES_PER_CHUNK);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return -ENOSYS; /* as Xen built without memory sharing says */
    case XENMEM_get_pod_target:
        return pod_target(h, caller, arg);
    case XENMEM_acquire_resource:
        return acquire_resource_size(h, caller, arg);
    default:
        host_log_rate(h, "memory_op %llu is not modelled", (unsigned long long)cmd);
        return -ENOSYS;
    }
}
