/* SPDX-License-Identifier: MIT */
#include "xensim/guest/pools.h"

#include <errno.h>
#include <stdio.h>

#define SEED_OF_POOLS    0x6D656D74ull
#define VERSION_FLUSHED  0x80000000u
#define ID_OF_EPHEMERAL  5
#define ID_OF_PERSISTENT 2

static bool is_persistent(const struct guest_kernel *k, uint64_t slot)
{
    return slot < k->tmem_pages[1];
}

static uint64_t slot_count(const struct guest_kernel *k)
{
    return k->tmem_pages[0] + k->tmem_pages[1];
}

static struct tmem_key key_of(const struct guest_kernel *k, uint64_t slot)
{
    const bool persistent = is_persistent(k, slot);
    const uint64_t page = persistent ? slot : slot - k->tmem_pages[1];

    return (struct tmem_key){
        .pool = persistent ? ID_OF_PERSISTENT : ID_OF_EPHEMERAL,
        .index = (uint32_t)(page % TMEM_OBJECT_PAGES),
        .object = {k->seed, page / TMEM_OBJECT_PAGES, ~page / TMEM_OBJECT_PAGES},
    };
}

static uint32_t *version_of(const struct guest *g, uint64_t slot)
{
    uint32_t *page = guest_page(g, g->kernel->tmem.first + slot / 1024);

    return &page[slot % 1024];
}

static void set_version(struct guest *g, uint64_t slot, uint32_t version)
{
    *version_of(g, slot) = version;
    guest_touch(g, g->kernel->tmem.first + slot / 1024);
}

static void put(struct guest *g, uint64_t slot)
{
    const struct guest_kernel *k = g->kernel;
    const struct tmem_key key = key_of(k, slot);
    const uint32_t version = (*version_of(g, slot) & ~VERSION_FLUSHED) + 1;
    uint8_t page[PAGE_BYTES];

    content_fill(page, &k->mix, k->seed ^ SEED_OF_POOLS, slot, version);
    if (tmem_put(g->domain->tmem, &key, page)) {
        set_version(g, slot, version);
        return;
    }
    /* What was there may be of an older version. */
    tmem_flush(g->domain->tmem, &key);
    set_version(g, slot, version | VERSION_FLUSHED);
}

/* What is wrong with it; NULL: it is what was put last. */
static const char *check(const struct guest *g, uint64_t slot)
{
    const struct guest_kernel *k = g->kernel;
    const struct tmem_key key = key_of(k, slot);
    const uint32_t version = *version_of(g, slot);
    uint8_t page[PAGE_BYTES];

    if (!tmem_get(g->domain->tmem, &key, page))
        return version & VERSION_FLUSHED || !is_persistent(k, slot) ? NULL : "lost";
    if (version & VERSION_FLUSHED)
        return "there, and was flushed";
    return content_matches(page, &k->mix, k->seed ^ SEED_OF_POOLS, slot, version)
               ? NULL
               : "not what was put last";
}

int guest_make_pools(struct guest *g, struct err *e)
{
    const struct guest_kernel *k = g->kernel;
    const struct tmem_pool pools[] = {
        {.id = ID_OF_EPHEMERAL, .uuid = {k->seed, 0}},
        {.id = ID_OF_PERSISTENT, .flags = TMEM_PERSISTENT, .uuid = {k->seed, 1}},
    };
    struct domain *d = g->domain;
    const int rc = d->host->tmem ? tmem_create(d->machine, pools, 2, k->tmem_pages[1], &d->tmem)
                                 : -ENOSYS;

    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "cannot make the guest's pools of transcendent memory");
    for (uint64_t i = 0; i < k->tmem.count; i++)
        memset(guest_page(g, k->tmem.first + i), 0, PAGE_BYTES);
    for (uint64_t slot = 0; slot < slot_count(k); slot++)
        put(g, slot);
    return 0;
}

static void flush_object(struct guest *g, uint64_t slot)
{
    const struct tmem_key key = key_of(g->kernel, slot);
    const uint64_t first = slot - slot % TMEM_OBJECT_PAGES;

    tmem_flush_object(g->domain->tmem, &key);
    for (uint64_t i = first; i < first + TMEM_OBJECT_PAGES; i++)
        set_version(g, i, *version_of(g, i) | VERSION_FLUSHED);
}

void guest_use_pools(struct guest *g)
{
    struct guest_kernel *k = g->kernel;
    const uint64_t r = guest_random(k, 0), slot = (r >> 16) % slot_count(k);
    const struct tmem_key key = key_of(k, slot);
    const char *wrong;

    guest_touch(g, INDEX_KERNEL);
    if (r % 1024 == 1) {
        flush_object(g, slot);
    } else if (r % 16 == 0) {
        tmem_flush(g->domain->tmem, &key);
        set_version(g, slot, *version_of(g, slot) | VERSION_FLUSHED);
    } else if (r % 16 < 10) {
        put(g, slot);
    } else if ((wrong = check(g, slot))) {
        guest_fault(g, "page %#llx of its pools is %s", (unsigned long long)slot, wrong);
    }
}

void guest_check_pools(struct guest *g, void (*problem)(void *arg, const char *what), void *arg)
{
    for (uint64_t slot = 0; slot < slot_count(g->kernel); slot++) {
        const char *wrong = check(g, slot);
        char text[80];

        if (!wrong)
            continue;
        snprintf(
            text, sizeof(text), "page %#llx of its pools is %s", (unsigned long long)slot, wrong);
        problem(arg, text);
    }
}
