/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/domain.h"
#include "xensim/hypervisor/sparse.h"
#include "xensim/hypervisor/tmem.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void domain_free(struct domain *d)
{
    if (d->p2m)
        munmap(d->p2m, MAX_PFNS * sizeof(*d->p2m));
    if (d->extent_first)
        munmap(d->extent_first, MAX_PFNS / PAGES_PER_CHUNK * sizeof(*d->extent_first));
    logdirty_free(&d->logdirty);
    tmem_free(d->tmem);
    for (unsigned i = 0; i < MAX_VCPUS; i++)
        free(d->vcpus[i]);
    free(d->config_json);
    d->host->ops->free_emulator(d->emulator);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->guest_lock);
    free(d);
}

/* A free id, or the one that was asked for. Caller holds domains_lock for writing. */
static int choose_id(struct host *h, uint16_t want, uint16_t *id)
{
    if (want) {
        if (want >= MAX_DOMAINS)
            return -EINVAL;
        if (h->domains[want])
            return -EEXIST;
        *id = want;
        return 0;
    }
    for (unsigned n = 0; n < MAX_DOMAINS; n++) {
        uint16_t candidate = (uint16_t)(FIRST_DOMID + (h->next_domid - FIRST_DOMID + n) %
                                                          (MAX_DOMAINS - FIRST_DOMID));

        if (!h->domains[candidate]) {
            *id = candidate;
            h->next_domid = (uint16_t)(candidate + 1);
            return 0;
        }
    }
    return -ENOMEM;
}

static int alloc_tables(struct domain *d)
{
    d->extent_first = sparse_map(MAX_PFNS / PAGES_PER_CHUNK * sizeof(*d->extent_first));
    if (d->hvm)
        d->p2m = sparse_map(MAX_PFNS * sizeof(*d->p2m));
    if (!d->extent_first || logdirty_init(&d->logdirty) || (d->hvm && !d->p2m))
        return -ENOMEM;
    d->shared_info_mfn = domain_alloc_special(d);
    if (!d->shared_info_mfn)
        return -ENOMEM;
    memset(frame_ptr(d->machine, d->shared_info_mfn), 0, PAGE_BYTES);
    return 0;
}

int domain_create(
    struct host *h, uint16_t want_id, const struct xen_domctl_createdomain *c, struct domain **out)
{
    if (!c->max_vcpus || c->max_vcpus > MAX_VCPUS)
        return -EINVAL;
    if (c->flags & ~(XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_s3_integrity |
                       XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_iommu))
        return -EOPNOTSUPP;
    if (c->flags & XEN_DOMCTL_CDF_hap && !(c->flags & XEN_DOMCTL_CDF_hvm))
        return -EINVAL;

    struct domain *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->host = h;
    d->machine = &h->machine;
    d->hvm = c->flags & XEN_DOMCTL_CDF_hvm;
    d->hap = c->flags & XEN_DOMCTL_CDF_hap;
    d->max_vcpus = c->max_vcpus;
    d->arch_config = c->arch;
    memcpy(d->handle, c->handle, sizeof(d->handle));
    d->max_grant_frames = c->max_grant_frames > 0 && c->max_grant_frames < MAX_GRANT_FRAMES
                              ? (unsigned)c->max_grant_frames
                              : MAX_GRANT_FRAMES;
    d->tsc_khz = 2600000;
    d->sched_weight = 256;
    atomic_init(&d->refs, 1);
    atomic_init(&d->pause_count, 1);
    d->controller_pauses = 1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->guest_lock, NULL);
    policy_default(&d->policy, h->old_cpu);

    pthread_rwlock_wrlock(&h->domains_lock);

    int rc = choose_id(h, want_id, &d->id);

    if (!rc) {
        snprintf(d->name, sizeof(d->name), "Domain-%u", d->id);
        rc = alloc_tables(d);
    }
    if (!rc)
        h->domains[d->id] = d;
    pthread_rwlock_unlock(&h->domains_lock);
    if (rc) {
        if (d->shared_info_mfn)
            heap_free_frame(d->machine, d->shared_info_mfn);
        domain_free(d);
        return rc;
    }
    *out = d;
    return 0;
}

struct domain *domain_get(struct host *h, uint16_t id)
{
    struct domain *d = NULL;

    if (id >= MAX_DOMAINS)
        return NULL;
    pthread_rwlock_rdlock(&h->domains_lock);
    d = h->domains[id];
    if (d)
        atomic_fetch_add(&d->refs, 1);
    pthread_rwlock_unlock(&h->domains_lock);
    return d;
}

void domain_put(struct domain *d)
{
    if (atomic_fetch_sub(&d->refs, 1) == 1)
        domain_free(d);
}

static void stop_vcpus(struct domain *d)
{
    atomic_store(&d->stopping, true);
    atomic_fetch_add(&d->pause_count, 1);
    futex_wake(&d->pause_count);
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];

        if (v && v->thread_started) {
            pthread_join(v->thread, NULL);
            v->thread_started = false;
        }
    }
}

static void free_memory(struct domain *d)
{
    struct machine *m = d->machine;

    for (uint64_t extent = 0; extent < MAX_PFNS / PAGES_PER_CHUNK && d->tot_pages; extent++)
        if (d->extent_first[extent] && d->extent_first[extent] != EXTENT_SCATTERED) {
            heap_unreserve_chunk(m, d->extent_first[extent]);
            d->extent_first[extent] = 0;
        }
    for (uint64_t mfn = 1; mfn < m->nr_frames; mfn++)
        if (m->frames[mfn].owner == d->id)
            heap_free_frame(m, mfn);
    d->tot_pages = 0;
    heap_unclaim(m, d->claimed_pages);
    d->claimed_pages = 0;
}

int domain_destroy(struct domain *d)
{
    struct host *h = d->host;

    pthread_rwlock_wrlock(&h->domains_lock);
    if (d->dying) {
        pthread_rwlock_unlock(&h->domains_lock);
        return 0;
    }
    d->dying = true;
    pthread_rwlock_unlock(&h->domains_lock);

    stop_vcpus(d);
    h->ops->stop_emulator(d);
    pthread_mutex_lock(&d->guest_lock);
    if (d->guest)
        h->ops->free_guest(d->guest);
    d->guest = NULL;
    pthread_mutex_unlock(&d->guest_lock);

    pthread_mutex_lock(&d->lock);
    host_sweep_mappings(h, d);
    free_memory(d);
    pthread_mutex_unlock(&d->lock);

    pthread_rwlock_wrlock(&h->domains_lock);
    h->domains[d->id] = NULL;
    pthread_rwlock_unlock(&h->domains_lock);
    host_notify(h);
    domain_put(d);
    return 0;
}

void domain_destroy_all(struct host *h)
{
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        struct domain *d = domain_get(h, (uint16_t)i);

        if (!d)
            continue;
        domain_destroy(d);
        domain_put(d);
    }
}

static void vcpu_reset_state(struct vcpu *v)
{
    v->lapic.apic_base_msr = 0xFEE00C00ull | (v->id ? 0 : 0x100);
    v->mtrr.msr_pat_cr = 0x0007040600070406ull;
    v->ext.vcpu = v->id;
}

int domain_set_max_vcpus(struct domain *d, unsigned max)
{
    if (max != d->max_vcpus)
        return -EINVAL;
    for (unsigned i = 0; i < max; i++) {
        if (d->vcpus[i])
            continue;

        struct vcpu *v = calloc(1, sizeof(*v));

        if (!v)
            return -ENOMEM;
        v->domain = d;
        v->id = i;
        v->initialised = d->hvm;
        vcpu_reset_state(v);
        d->vcpus[i] = v;
    }
    return 0;
}

void domain_pause(struct domain *d)
{
    atomic_fetch_add(&d->pause_count, 1);
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];

        while (v && atomic_load(&v->in_guest))
            futex_wait(&v->in_guest, 1);
    }
}

void domain_unpause(struct domain *d)
{
    if (atomic_fetch_sub(&d->pause_count, 1) == 1)
        futex_wake(&d->pause_count);
}

void domain_pause_by_controller(struct domain *d)
{
    pthread_mutex_lock(&d->guest_lock);
    d->controller_pauses++;
    pthread_mutex_unlock(&d->guest_lock);
    domain_pause(d);
}

int domain_unpause_by_controller(struct domain *d)
{
    int rc = 0;

    pthread_mutex_lock(&d->guest_lock);
    if (!d->controller_pauses)
        rc = -EINVAL;
    else
        d->controller_pauses--;
    if (!rc && !d->creation_finished && !d->controller_pauses) {
        d->creation_finished = true;
        d->host->ops->start_guest(d);
    }
    pthread_mutex_unlock(&d->guest_lock);
    if (!rc)
        domain_unpause(d);
    return rc;
}

void domain_shutdown(struct domain *d, unsigned code)
{
    pthread_mutex_lock(&d->guest_lock);

    bool first = !d->is_shut_down;

    d->is_shut_down = true;
    if (first)
        d->shutdown_code = code;
    pthread_mutex_unlock(&d->guest_lock);
    /* Without waiting for the vCPUs: the caller may be one of them. */
    if (first) {
        atomic_fetch_add(&d->pause_count, 1);
        host_notify(d->host);
    }
}

int domain_resume(struct domain *d)
{
    pthread_mutex_lock(&d->guest_lock);

    bool was = d->is_shut_down;

    d->is_shut_down = false;
    d->shutdown_code = 0;
    pthread_mutex_unlock(&d->guest_lock);
    if (was) {
        domain_unpause(d);
        host_notify(d->host);
    }
    return 0;
}

bool vcpu_enter(struct vcpu *v)
{
    struct domain *d = v->domain;

    for (;;) {
        atomic_store(&v->in_guest, 1);

        uint32_t pauses = atomic_load(&d->pause_count);

        if (!pauses)
            return true;
        atomic_store(&v->in_guest, 0);
        futex_wake(&v->in_guest);
        if (atomic_load(&d->stopping))
            return false;
        futex_wait(&d->pause_count, pauses);
    }
}

void vcpu_leave(struct vcpu *v)
{
    atomic_store(&v->in_guest, 0);
    if (atomic_load(&v->domain->pause_count))
        futex_wake(&v->in_guest);
}

uint64_t domain_gfn_to_mfn(struct domain *d, uint64_t gfn)
{
    uint64_t mfn = gfn;

    if (d->hvm)
        mfn = gfn < MAX_PFNS ? d->p2m[gfn] : 0;
    if (!mfn_valid(d->machine, mfn) || d->machine->frames[mfn].owner != d->id)
        return 0;
    return mfn;
}

uint64_t domain_alloc_special(struct domain *d)
{
    uint64_t mfn = heap_alloc_frame(d->machine, d->id, true);

    if (mfn)
        d->machine->frames[mfn].flags |= FRAME_SPECIAL;
    return mfn;
}

int domain_grant_frame(struct domain *d, uint64_t i, uint64_t *mfn)
{
    if (i >= d->max_grant_frames)
        return -EINVAL;
    if (!d->grant_mfns[i]) {
        d->grant_mfns[i] = domain_alloc_special(d);
        if (!d->grant_mfns[i])
            return -ENOMEM;
        memset(frame_ptr(d->machine, d->grant_mfns[i]), 0, PAGE_BYTES);
    }
    *mfn = d->grant_mfns[i];
    return 0;
}
