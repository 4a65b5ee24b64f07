/* SPDX-License-Identifier: MIT */
#include "xensim/mapping.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/proto.h"

#include <errno.h>

/* A client that holds more mappings than this has probably let go of most. */
enum { SWEEP_MAPPINGS = 64 };

int mappings_init(struct mappings *m, _Atomic uint8_t *releases)
{
    pthread_mutex_init(&m->lock, NULL);
    m->releases = releases;
    m->slots = calloc(MAX_MAPPINGS, sizeof(*m->slots));
    m->free_slots = calloc(MAX_MAPPINGS, sizeof(*m->free_slots));
    if (!m->slots || !m->free_slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < MAX_MAPPINGS; i++)
        m->free_slots[m->nr_free_slots++] = MAX_MAPPINGS - 1 - i;
    return 0;
}

void mappings_free(struct mappings *m)
{
    free(m->slots);
    free(m->free_slots);
    pthread_mutex_destroy(&m->lock);
}

/* Caller holds the domain's lock. */
static void drop_reference(struct mapping *map, uint64_t mfn)
{
    struct machine *m = map->domain->machine;

    if (map->typed && m->frames[mfn].owner == map->domain->id)
        page_put_type(map->domain, mfn);
    frame_put_map_ref(m, mfn);
}

/* Caller holds the domain's lock (if the mapping has a domain). */
static void drop_references(struct mapping *map)
{
    for (uint32_t i = 0; map->domain && i < map->nr_mfns; i++) {
        uint64_t mfn = map->mfns ? map->mfns[i] : map->first_mfn + i;

        if (mfn)
            drop_reference(map, mfn);
    }
    free(map->mfns);
    map->mfns = NULL;
}

/* Take slot i out of the table. Caller holds m->lock. */
static struct mapping detach_slot(struct mappings *m, uint32_t i)
{
    struct mapping map = m->slots[i];

    m->slots[i] = (struct mapping){0};
    atomic_store(&m->releases[i], 0);
    m->free_slots[m->nr_free_slots++] = i;
    return map;
}

static void drop_mapping(struct mapping *map)
{
    if (map->domain)
        pthread_mutex_lock(&map->domain->lock);
    drop_references(map);
    if (map->domain) {
        pthread_mutex_unlock(&map->domain->lock);
        domain_put(map->domain);
    }
}

/* Detach one released (or, for a process that is gone, any) mapping at a time, so that no lock is
 * held when the domain's is taken. */
static void sweep(struct mappings *m, bool all)
{
    uint32_t at = 0;

    for (;;) {
        struct mapping map = {0};

        pthread_mutex_lock(&m->lock);
        while (at < m->high_slot && !map.live) {
            if (m->slots[at].live && (all || atomic_load(&m->releases[at])))
                map = detach_slot(m, at);
            at++;
        }
        pthread_mutex_unlock(&m->lock);
        if (!map.live)
            return;
        drop_mapping(&map);
    }
}

void mappings_sweep(struct mappings *m)
{
    sweep(m, false);
}

void mappings_sweep_domain(struct mappings *m, struct domain *d)
{
    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < m->high_slot; i++) {
        if (!m->slots[i].live || m->slots[i].domain != d || !atomic_load(&m->releases[i]))
            continue;

        struct mapping map = detach_slot(m, i);

        drop_references(&map);
        /* The caller holds a reference: this is not the last. */
        domain_put(d);
    }
    pthread_mutex_unlock(&m->lock);
}

void mappings_end(struct mappings *m)
{
    pthread_mutex_lock(&m->lock);
    m->dead = true;
    pthread_mutex_unlock(&m->lock);
    sweep(m, true);
}

static void page_fails(struct map_request *r, uint32_t i, int32_t error)
{
    if (!r->failed++)
        memset(r->errs, 0, r->count * sizeof(*r->errs));
    r->errs[i] = error;
    r->gfns[i] = 0;
}

/* Xen's own frames can be read (M2P), never written. */
static void map_xens(struct host *h, bool writable, struct map_request *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t mfn = r->gfns[i]; /* read once: the client could change it meanwhile */

        if (writable || !mfn_valid(&h->machine, mfn) || h->machine.frames[mfn].owner != OWNER_XEN)
            page_fails(r, i, -EINVAL);
        else
            r->gfns[i] = mfn;
    }
}

/* The mapping's frames are no longer one run; the first i were. */
static int list_mfns(struct mapping *map, uint32_t count, uint32_t i)
{
    map->mfns = malloc(count * sizeof(*map->mfns));
    if (!map->mfns)
        return -ENOMEM;
    for (uint32_t k = 0; k < i; k++)
        map->mfns[k] = map->first_mfn + k;
    return 0;
}

/* Caller holds the domain's lock. After a failure map names the references taken so far. */
static int take_references(struct mapping *map, struct map_request *r)
{
    struct domain *d = map->domain;

    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t mfn = domain_gfn_to_mfn(d, r->gfns[i]);
        bool busy = mfn && map->typed && page_get_type(d, mfn, PT_WRITABLE);

        if (!mfn || busy) {
            page_fails(r, i, busy ? -EBUSY : -EINVAL);
            mfn = 0;
        } else {
            d->machine->frames[mfn].map_refs++;
            r->gfns[i] = mfn;
        }
        if (!i)
            map->first_mfn = (uint32_t)mfn;
        if (!map->mfns && (!mfn || mfn != (uint64_t)map->first_mfn + i) &&
            list_mfns(map, r->count, i)) {
            if (mfn)
                drop_reference(map, mfn);
            return -ENOMEM;
        }
        if (map->mfns)
            map->mfns[i] = (uint32_t)mfn;
        map->nr_mfns = i + 1;
    }
    return 0;
}

static uint32_t mappings_held(struct mappings *m)
{
    uint32_t held;

    pthread_mutex_lock(&m->lock);
    held = MAX_MAPPINGS - m->nr_free_slots;
    pthread_mutex_unlock(&m->lock);
    return held;
}

static int64_t take_slot(struct mappings *m, const struct mapping *map)
{
    int64_t slot = -ENOSPC;

    pthread_mutex_lock(&m->lock);
    if (m->dead)
        slot = -EPIPE;
    else if (m->nr_free_slots) {
        slot = m->free_slots[--m->nr_free_slots];
        m->slots[slot] = *map;
        if ((uint32_t)slot >= m->high_slot)
            m->high_slot = (uint32_t)slot + 1;
    }
    pthread_mutex_unlock(&m->lock);
    return slot;
}

int64_t mappings_map_pages(
    struct mappings *m, struct host *h, uint16_t domid, bool writable, struct map_request *r)
{
    struct mapping map = {.live = true};
    int64_t slot = 0;

    if (mappings_held(m) > SWEEP_MAPPINGS)
        mappings_sweep(m);
    if (domid == DOMID_XEN) {
        map_xens(h, writable, r);
    } else {
        map.domain = domain_get(h, domid);
        if (!map.domain)
            return -ESRCH;
        map.typed = writable && !map.domain->hvm;
        pthread_mutex_lock(&map.domain->lock);
        slot = take_references(&map, r);
        pthread_mutex_unlock(&map.domain->lock);
    }
    if (!slot)
        slot = take_slot(m, &map);
    if (slot < 0)
        drop_mapping(&map);
    return slot;
}

int64_t mappings_map_grants(
    struct mappings *m, struct domain *d, uint64_t first, uint64_t count, uint64_t *mfns)
{
    struct mapping map = {.live = true, .nr_mfns = (uint32_t)count};
    int64_t rc = 0;

    map.mfns = calloc(count, sizeof(*map.mfns));
    if (!map.mfns)
        return -ENOMEM;
    map.domain = domain_hold(d);
    pthread_mutex_lock(&d->lock);
    for (uint64_t i = 0; i < count && !rc; i++) {
        rc = domain_grant_frame(d, first + i, &mfns[i]);
        if (rc)
            break;
        map.mfns[i] = (uint32_t)mfns[i];
        d->machine->frames[mfns[i]].map_refs++;
    }
    pthread_mutex_unlock(&d->lock);
    if (!rc)
        rc = take_slot(m, &map);
    if (rc < 0)
        drop_mapping(&map);
    return rc;
}
