/* SPDX-License-Identifier: MIT */
/* Transcendent memory, which Xen had until 4.11: pools of pages that a guest put there. */
#include "cmd/xmigrate/image/legacy_read.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUS_ONE       UINT32_MAX
#define POOL_PERSISTENT 1u
#define POOL_RESERVED   0x00ffff00u

enum { POOL_PAGE_SHIFT_AT = 4, POOL_PAGE_SHIFT_MASK = 0xf };

struct object {
    uint64_t id[3];
};

static bool is_terminator(const struct object *o)
{
    return o->id[0] == UINT64_MAX && o->id[1] == UINT64_MAX && o->id[2] == UINT64_MAX;
}

/* Version, number of pools at most, -1, the guest's flags, weight, cap, -1. */
static int read_front(struct legacy_reader *r, struct err *e)
{
    uint32_t words[7];
    const int rc = file_take(&r->file, words, sizeof(words), e);

    if (!rc && (words[0] == MINUS_ONE || words[2] != MINUS_ONE || words[6] != MINUS_ONE))
        return err_damaged(e, "tmem does not begin as it should");
    return rc;
}

/* A guest that destroys objects meanwhile makes the list shorter, and then it has a terminator. */
static int read_pages(struct legacy_reader *r, struct legacy_pool *p, uint32_t count, struct err *e)
{
    int rc = 0;

    for (; count && !rc; count--) {
        struct object o;
        uint32_t index;

        rc = file_take(&r->file, &o, sizeof(o), e);
        if (!rc && is_terminator(&o))
            return 0;
        if (!rc)
            rc = legacy_take_u32(r, &index, e);
        if (!rc)
            rc = file_skip(&r->file, p->page_bytes, e);
        p->pages += !rc;
    }
    return rc;
}

static int read_pool(struct legacy_reader *r, uint32_t id, struct err *e)
{
    struct {
        uint32_t flags, pages;
        uint64_t uuid[2];
    } front;
    struct legacy *l = r->l;
    int rc = file_take(&r->file, &front, sizeof(front), e);

    if (rc)
        return rc;
    if (id >= LEGACY_MAX_POOLS || l->pool_count == LEGACY_MAX_POOLS ||
        (front.flags & POOL_RESERVED) || (front.pages && !(front.flags & POOL_PERSISTENT)))
        return err_damaged(
            e, "tmem: no pool is like %u (flags 0x%x, pages: %u)", id, front.flags, front.pages);

    struct legacy_pool *p = &l->pools[l->pool_count++];

    *p = (struct legacy_pool){
        .id = id,
        .persistent = front.flags & POOL_PERSISTENT,
        .page_bytes = PAGE_BYTES << (front.flags >> POOL_PAGE_SHIFT_AT & POOL_PAGE_SHIFT_MASK),
        .uuid = {front.uuid[0], front.uuid[1]},
    };
    return read_pages(r, p, front.pages, e);
}

int legacy_read_tmem(struct legacy_reader *r, struct err *e)
{
    uint32_t id = 0;
    int rc = r->l->chunks[-LEGACY_TMEM] > 1 ? err_damaged(e, "tmem comes twice") : read_front(r, e);

    while (!rc && id != MINUS_ONE) {
        rc = legacy_take_u32(r, &id, e);
        if (!rc && id != MINUS_ONE)
            rc = read_pool(r, id, e);
    }
    return rc;
}

static bool has_pool(const struct legacy *l, uint32_t id)
{
    for (unsigned i = 0; i < l->pool_count; i++)
        if (l->pools[i].id == id)
            return true;
    return false;
}

/* Pages that the guest gave up while it ran on. */
int legacy_read_tmem_extra(struct legacy_reader *r, struct err *e)
{
    uint32_t id = 0, index;
    struct object o;
    int rc = 0;

    while (!rc && id != MINUS_ONE) {
        rc = legacy_take_u32(r, &id, e);
        if (rc || id == MINUS_ONE)
            return rc;
        rc = has_pool(r->l, id) ? file_take(&r->file, &o, sizeof(o), e)
                                : err_damaged(e, "tmem_extra: there is no pool %u", id);
        if (!rc)
            rc = legacy_take_u32(r, &index, e);
        r->l->tmem_flushed += !rc;
    }
    return rc;
}

int legacy_check_fits(const struct legacy *l, const char *path, struct err *e)
{
    char pools[256] = "", size[UNITS_TEXT_BYTES];
    size_t len = 0;

    for (unsigned i = 0; i < l->pool_count; i++)
        if (l->pools[i].pages && len < sizeof(pools))
            len += (size_t)snprintf(pools + len, sizeof(pools) - len, "%s%u (%s)", len ? ", " : "",
                l->pools[i].id,
                format_bytes((uint64_t)l->pools[i].pages * l->pools[i].page_bytes, size));
    if (!len)
        return 0;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "%s: the guest has pages in persistent tmem pools: %s; no stream has had a place for them "
        "since Xen 4.6, and no Xen since 4.12, and it would not get back what it put there",
        path, pools);
}
