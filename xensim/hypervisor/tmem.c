/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/tmem.h"
#include "xensim/hypervisor/sparse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct tmem_key key;
    uint32_t mfn; /* 0: no page */
    bool used;    /* there is or was such a key */
    bool noted;   /* in changed[] */
    bool queued;  /* in queue[] */
    bool sent;    /* handed out as a page, and not as gone since */
};

struct tmem {
    struct machine *machine;
    pthread_mutex_t lock;
    struct tmem_pool pools[TMEM_MAX_POOLS];
    unsigned nr_pools;
    uint64_t max_pages;
    uint64_t pages[2]; /* in ephemeral and persistent pools */
    struct slot *slots;
    uint64_t capacity; /* a power of two */
    uint64_t used_slots;
    bool tracking;
    uint32_t *changed, *queue; /* slots */
    uint64_t nr_changed, nr_queue, next;
};

/* ---- slots ---- */

static uint64_t hash_of(const struct tmem_key *k)
{
    uint64_t x = (uint64_t)k->pool << 32 | k->index;

    for (unsigned i = 0; i < 3; i++)
        x = (x ^ k->object[i]) * 0x9E3779B97F4A7C15ull + (x >> 29);
    return x ^ x >> 32;
}

static bool same_key(const struct tmem_key *a, const struct tmem_key *b)
{
    return a->pool == b->pool && a->index == b->index && !memcmp(a->object, b->object, 24);
}

/* The key's slot; make: one is made. NULL: none, or no room. */
static struct slot *find(struct tmem *t, const struct tmem_key *key, bool make)
{
    uint64_t at = hash_of(key) & (t->capacity - 1);

    for (; t->slots[at].used; at = (at + 1) & (t->capacity - 1))
        if (same_key(&t->slots[at].key, key))
            return &t->slots[at];
    if (!make || t->used_slots * 4 >= t->capacity * 3)
        return NULL;
    t->used_slots++;
    t->slots[at] = (struct slot){.key = *key, .used = true};
    return &t->slots[at];
}

static const struct tmem_pool *pool_of(const struct tmem *t, uint32_t id)
{
    for (unsigned i = 0; i < t->nr_pools; i++)
        if (t->pools[i].id == id)
            return &t->pools[i];
    return NULL;
}

static bool is_persistent(const struct tmem *t, const struct slot *s)
{
    return pool_of(t, s->key.pool)->flags & TMEM_PERSISTENT;
}

static void note(struct tmem *t, struct slot *s)
{
    if (!t->tracking || s->noted || !is_persistent(t, s))
        return;
    s->noted = true;
    t->changed[t->nr_changed++] = (uint32_t)(s - t->slots);
}

static void drop(struct tmem *t, struct slot *s)
{
    if (!s || !s->mfn)
        return;
    heap_free_frame(t->machine, s->mfn);
    s->mfn = 0;
    t->pages[is_persistent(t, s)]--;
    note(t, s);
}

static bool store(struct tmem *t, const struct tmem_key *key, const void *page)
{
    const bool valid = pool_of(t, key->pool) && key->index < TMEM_OBJECT_PAGES;
    struct slot *s = valid ? find(t, key, true) : NULL;

    if (!s)
        return false;
    if (!s->mfn && t->pages[is_persistent(t, s)] < t->max_pages) {
        s->mfn = (uint32_t)heap_alloc_frame(t->machine, OWNER_XEN, true);
        t->pages[is_persistent(t, s)] += s->mfn != 0;
    }
    if (!s->mfn)
        return false;
    memcpy(frame_ptr(t->machine, s->mfn), page, PAGE_BYTES);
    note(t, s);
    return true;
}

/* ---- the guest's ---- */

bool tmem_put(struct tmem *t, const struct tmem_key *key, const void *page)
{
    bool done = false;

    if (!t)
        return false;
    pthread_mutex_lock(&t->lock);
    done = store(t, key, page);
    pthread_mutex_unlock(&t->lock);
    return done;
}

bool tmem_get(struct tmem *t, const struct tmem_key *key, void *page)
{
    bool found = false;

    if (!t)
        return false;
    pthread_mutex_lock(&t->lock);

    const struct slot *s = find(t, key, false);

    found = s && s->mfn;
    if (found)
        memcpy(page, frame_ptr(t->machine, s->mfn), PAGE_BYTES);
    pthread_mutex_unlock(&t->lock);
    return found;
}

void tmem_flush(struct tmem *t, const struct tmem_key *key)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    drop(t, find(t, key, false));
    pthread_mutex_unlock(&t->lock);
}

void tmem_flush_object(struct tmem *t, const struct tmem_key *key)
{
    struct tmem_key each = *key;

    for (each.index = 0; each.index < TMEM_OBJECT_PAGES; each.index++)
        tmem_flush(t, &each);
}

/* ---- its life ---- */

static uint64_t capacity_for(uint64_t max_pages)
{
    uint64_t capacity = 1024;

    while (capacity < 4 * max_pages)
        capacity *= 2;
    return capacity;
}

static void free_tables(struct tmem *t)
{
    if (t->slots)
        munmap(t->slots, t->capacity * sizeof(*t->slots));
    if (t->changed)
        munmap(t->changed, t->capacity * sizeof(*t->changed));
    if (t->queue)
        munmap(t->queue, t->capacity * sizeof(*t->queue));
    free(t);
}

int tmem_create(struct machine *m, const struct tmem_pool *pools, unsigned count,
    uint64_t max_pages, struct tmem **out)
{
    if (!count || count > TMEM_MAX_POOLS || max_pages > 2 * TMEM_MAX_PAGES)
        return -EINVAL;

    struct tmem *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->machine = m;
    t->max_pages = max_pages;
    t->capacity = capacity_for(max_pages);
    t->slots = sparse_map(t->capacity * sizeof(*t->slots));
    t->changed = sparse_map(t->capacity * sizeof(*t->changed));
    t->queue = sparse_map(t->capacity * sizeof(*t->queue));
    memcpy(t->pools, pools, count * sizeof(*pools));
    t->nr_pools = count;
    if (!t->slots || !t->changed || !t->queue) {
        free_tables(t);
        return -ENOMEM;
    }
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return 0;
}

void tmem_free(struct tmem *t)
{
    if (!t)
        return;
    for (uint64_t i = 0; i < t->capacity && t->used_slots; i++) {
        if (t->slots[i].mfn)
            heap_free_frame(t->machine, t->slots[i].mfn);
        t->used_slots -= t->slots[i].used;
    }
    pthread_mutex_destroy(&t->lock);
    free_tables(t);
}

/* ---- the toolstack's ---- */

static void save_begin(struct tmem *t)
{
    t->tracking = true;
    t->nr_changed = t->nr_queue = t->next = 0;
    for (uint64_t i = 0; i < t->capacity; i++) {
        struct slot *s = &t->slots[i];

        if (!s->used)
            continue;
        s->noted = s->queued = s->sent = false;
        if (s->mfn)
            note(t, s);
    }
}

/* What the queue still holds stays in it. */
static void look(struct tmem *t)
{
    uint64_t kept = 0;

    for (uint64_t i = t->next; i < t->nr_queue; i++)
        t->queue[kept++] = t->queue[i];
    t->next = 0;
    t->nr_queue = kept;
    for (uint64_t i = 0; i < t->nr_changed; i++) {
        struct slot *s = &t->slots[t->changed[i]];

        s->noted = false;
        if (!s->queued)
            t->queue[t->nr_queue++] = t->changed[i];
        s->queued = true;
    }
    t->nr_changed = 0;
}

static void save_next(struct tmem *t, struct tmem_op *op, struct tmem_entry *list, uint8_t *pages)
{
    const uint32_t most = op->count;

    for (op->count = 0; op->count < most && t->next < t->nr_queue;) {
        struct slot *s = &t->slots[t->queue[t->next++]];
        const bool gone = !s->mfn;

        s->queued = false;
        if (gone && !s->sent)
            continue;
        s->sent = !gone;
        list[op->count] = (struct tmem_entry){.pool = s->key.pool,
            .index = s->key.index,
            .object = {s->key.object[0], s->key.object[1], s->key.object[2]},
            .flags = gone ? TMEM_GONE : 0};
        if (!gone)
            memcpy(pages + op->count * PAGE_BYTES, frame_ptr(t->machine, s->mfn), PAGE_BYTES);
        op->count++;
    }
}

static int64_t restore(
    struct tmem *t, const struct tmem_op *op, const struct tmem_entry *list, const uint8_t *pages)
{
    for (uint32_t i = 0; i < op->count; i++) {
        const struct tmem_key key = {
            list[i].pool, list[i].index, {list[i].object[0], list[i].object[1], list[i].object[2]}};
        const struct tmem_pool *pool = pool_of(t, key.pool);

        if (!pool || !(pool->flags & TMEM_PERSISTENT) || key.index >= TMEM_OBJECT_PAGES)
            return -EINVAL;
        if (op->cmd == TMEM_RESTORE_FLUSH)
            drop(t, find(t, &key, false));
        else if (!store(t, &key, pages + i * PAGE_BYTES))
            return -ENOMEM;
    }
    return 0;
}

/* Lock held. */
static int64_t operate(struct tmem *t, struct tmem_op *op, void *list, void *pages)
{
    switch (op->cmd) {
    case TMEM_INFO:
        op->max_pages = t->max_pages;
        op->stored_pages = t->pages[1];
        op->changed = t->nr_changed;
        op->count = t->nr_pools;
        return 0;
    case TMEM_POOLS:
        if (op->count < t->nr_pools)
            return -ENOBUFS;
        op->count = t->nr_pools;
        memcpy(list, t->pools, t->nr_pools * sizeof(*t->pools));
        return 0;
    case TMEM_SAVE_BEGIN:
        save_begin(t);
        return 0;
    case TMEM_SAVE_LOOK:
        look(t);
        return 0;
    case TMEM_SAVE_NEXT:
        save_next(t, op, list, pages);
        return 0;
    case TMEM_SAVE_END:
        t->tracking = false;
        return 0;
    case TMEM_RESTORE_PUT:
    case TMEM_RESTORE_FLUSH:
        return restore(t, op, list, pages);
    case TMEM_RESTORE_END:
        t->max_pages = op->max_pages;
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

bool tmem_is_noted(struct tmem *t)
{
    bool noted;

    if (!t)
        return false;
    pthread_mutex_lock(&t->lock);
    noted = t->tracking;
    pthread_mutex_unlock(&t->lock);
    return noted;
}

int64_t tmem_operate(struct tmem *t, struct tmem_op *op, void *list, void *pages)
{
    pthread_mutex_lock(&t->lock);

    const int64_t rc = operate(t, op, list, pages);

    pthread_mutex_unlock(&t->lock);
    return rc;
}
