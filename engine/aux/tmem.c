/* SPDX-License-Identifier: MIT */
#include "engine/aux/tmem.h"

#include "base/bytes.h"
#include "engine/xen/tmem.h"

#include <errno.h>
#include <stdlib.h>

#define NAME "tmem"

enum { VERSION = 1, POOL_BYTES = 24, HEAD_BYTES = 16 };
_Static_assert(HEAD_BYTES + TMEM_MAX_POOLS * POOL_BYTES <= AUX_MAX_HEAD_BYTES, "a head");
_Static_assert((int)AUX_MAX_ENTRIES <= (int)TMEM_MAX_BATCH, "a batch is one call");
_Static_assert((int)AUX_MAX_CONTENT_BYTES == (int)TMEM_PAGE_BYTES, "an entry is a page");

/* A guest of 8 GiB of it, twice. */
#define MOST_PAGES (2 * (8ull << 30) / TMEM_PAGE_BYTES)

struct tmem {
    struct xen *x;
    uint32_t domid;
    uint64_t max_pages; /* of persistent pools, when all is there */
    struct tmem_buffer buffer;
};

static int call(struct tmem *t, struct tmem_op *op)
{
    op->domid = t->domid;
    return tmem_call(t->x, op, &t->buffer);
}

static int explain(const struct tmem *t, const char *what, int rc, struct err *e)
{
    return err_sys(
        e, ERR_LOCAL, -rc, "cannot %s the transcendent memory of domain %u", what, t->domid);
}

static int tmem_open(struct xen *x, uint32_t domid, struct tmem **t, struct err *e)
{
    *t = calloc(1, sizeof(**t));
    if (!*t)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    (*t)->x = x;
    (*t)->domid = domid;

    const int rc = tmem_buffer_alloc(x, &(*t)->buffer, e);

    if (rc)
        free(*t);
    return rc;
}

static void tmem_close(struct tmem *t)
{
    tmem_buffer_free(t->x, &t->buffer);
    free(t);
}

/* ---- keys ---- */

static void encode_key(const struct tmem_entry *from, uint8_t key[static AUX_KEY_BYTES])
{
    put_le32(key, from->pool);
    put_le32(key + 4, from->index);
    for (unsigned i = 0; i < 3; i++)
        put_le64(key + 8 + 8 * i, from->object[i]);
}

static struct tmem_entry decode_key(const uint8_t key[static AUX_KEY_BYTES])
{
    return (struct tmem_entry){.pool = get_le32(key),
        .index = get_le32(key + 4),
        .object = {get_le64(key + 8), get_le64(key + 16), get_le64(key + 24)}};
}

/* ---- the source ---- */

/* The pools in t->buffer. Returns whether any is persistent. */
static bool encode_head(const struct tmem *t, unsigned pools, struct aux_source *s)
{
    struct bytes_out out = bytes_out_init(s->head, sizeof(s->head));
    bool persistent = false;

    bytes_out_u32(&out, pools);
    bytes_out_u32(&out, 0);
    bytes_out_u64(&out, t->max_pages);
    for (unsigned i = 0; i < pools; i++) {
        const struct tmem_pool *pool = &t->buffer.pools[i];

        persistent |= pool->flags & TMEM_PERSISTENT;
        bytes_out_u32(&out, pool->id);
        bytes_out_u32(&out, pool->flags & TMEM_PERSISTENT);
        bytes_out_u64(&out, pool->uuid[0]);
        bytes_out_u64(&out, pool->uuid[1]);
    }
    s->head_bytes = (uint32_t)out.len_bytes;
    return persistent;
}

static int describe(struct tmem *t, struct aux_source *s, struct err *e)
{
    struct tmem_op info = {.cmd = TMEM_INFO}, pools = {.cmd = TMEM_POOLS, .count = TMEM_MAX_POOLS},
                   begin = {.cmd = TMEM_SAVE_BEGIN};
    int rc = call(t, &info);

    if (!rc)
        rc = call(t, &pools);
    if (!rc)
        rc = call(t, &begin);
    if (rc)
        return explain(t, "read", rc, e);
    t->max_pages = info.max_pages;
    s->version = VERSION;
    s->optional = !encode_head(t, pools.count, s);
    s->most_entries = 2 * t->max_pages;
    s->most_bytes = s->most_entries * TMEM_PAGE_BYTES;
    return 0;
}

static bool domain_has_some(struct xen *x, uint32_t domid)
{
    struct tmem_op info = {.cmd = TMEM_INFO, .domid = domid};

    return !tmem_call(x, &info, NULL) && info.count;
}

static int out_begin(
    struct xen *x, uint32_t domid, struct aux_source *s, void **state, struct err *e)
{
    struct tmem *t;

    *state = NULL;
    if (!domain_has_some(x, domid))
        return 0;

    int rc = tmem_open(x, domid, &t, e);

    if (rc)
        return rc;
    rc = describe(t, s, e);
    if (rc)
        tmem_close(t);
    else
        *state = t;
    return rc;
}

static int out_look(void *state, bool late, struct err *e)
{
    struct tmem_op op = {.cmd = TMEM_SAVE_LOOK};
    const int rc = call(state, &op);

    (void)late; /* a guest that stands still puts nothing */
    return rc ? explain(state, "read", rc, e) : 0;
}

static int out_more(void *state, struct aux_buffer *b, struct err *e)
{
    struct tmem *t = state;
    struct tmem_op op = {.cmd = TMEM_SAVE_NEXT, .count = AUX_MAX_ENTRIES};
    const int rc = call(t, &op);

    if (rc)
        return explain(t, "read", rc, e);
    b->batch.count = op.count;
    for (unsigned i = 0; i < op.count; i++) {
        struct aux_entry *entry = &b->batch.entries[i];
        const bool gone = t->buffer.list[i].flags & TMEM_GONE;

        encode_key(&t->buffer.list[i], entry->key);
        entry->withdrawn = gone;
        entry->bytes = gone ? 0 : TMEM_PAGE_BYTES;
        entry->content = b->contents[i];
        if (!gone)
            memcpy(b->contents[i], t->buffer.pages + i * (size_t)TMEM_PAGE_BYTES, TMEM_PAGE_BYTES);
    }
    return 0;
}

static int out_left(void *state, struct aux_left *left, struct err *e)
{
    struct tmem_op op = {.cmd = TMEM_INFO};
    const int rc = call(state, &op);

    if (rc)
        return explain(state, "look at", rc, e);
    *left = (struct aux_left){op.changed, op.changed * TMEM_PAGE_BYTES};
    return 0;
}

static int out_stop(void *state, struct err *e)
{
    const struct tmem *t = state;

    return tmem_stop(t->x, t->domid, e);
}

static void out_end(void *state)
{
    tmem_close(state);
}

const struct aux_out_ops aux_tmem_out = {
    .name = NAME,
    .begin = out_begin,
    .look = out_look,
    .more = out_more,
    .left = out_left,
    .stop = out_stop,
    .end = out_end,
};

/* ---- the destination ---- */

static int bad_head(struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "auxiliary data \"%s\": its head makes no sense", NAME);
}

/* Into t->buffer; how many, or -errno. */
static int decode_head(struct tmem *t, const struct aux_source *s, struct err *e)
{
    struct bytes_in in = bytes_in_init(s->head, s->head_bytes);
    const uint32_t count = bytes_in_u32(&in), reserved = bytes_in_u32(&in);

    t->max_pages = bytes_in_u64(&in);
    if (in.underflow || reserved || !count || count > TMEM_MAX_POOLS ||
        t->max_pages > MOST_PAGES / 2)
        return bad_head(e);
    for (uint32_t i = 0; i < count; i++) {
        struct tmem_pool *pool = &t->buffer.pools[i];

        pool->id = bytes_in_u32(&in);
        pool->flags = bytes_in_u32(&in);
        pool->uuid[0] = bytes_in_u64(&in);
        pool->uuid[1] = bytes_in_u64(&in);
        if (pool->flags & ~(uint32_t)TMEM_PERSISTENT)
            return bad_head(e);
        for (uint32_t other = 0; other < i; other++)
            if (t->buffer.pools[other].id == pool->id)
                return bad_head(e);
    }
    return bytes_in_done(&in) ? (int)count : bad_head(e);
}

static int make_pools(struct tmem *t, const struct aux_source *s, struct err *e)
{
    const int count = decode_head(t, s, e);

    if (count < 0)
        return count;

    struct tmem_op op = {
        .cmd = TMEM_RESTORE_BEGIN, .count = (uint32_t)count, .max_pages = 2 * t->max_pages};
    const int rc = call(t, &op);

    if (rc == -ENOSYS || rc == -EOPNOTSUPP)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "the guest keeps pages in transcendent memory (tmem), which Xen on this host does not "
            "have");
    return rc ? explain(t, "make", rc, e) : 0;
}

static int in_begin(
    struct xen *x, uint32_t domid, const struct aux_source *s, void **state, struct err *e)
{
    struct tmem *t;
    int rc = tmem_open(x, domid, &t, e);

    if (rc)
        return rc;
    rc = make_pools(t, s, e);
    if (rc)
        tmem_close(t);
    else
        *state = t;
    return rc;
}

static int in_apply(void *state, const struct aux_batch *b, struct err *e)
{
    struct tmem *t = state;
    struct tmem_op op = {.cmd = TMEM_RESTORE_PUT};

    for (unsigned i = 0; i < b->count; i++) {
        const struct aux_entry *entry = &b->entries[i];

        if (entry->withdrawn)
            continue;
        if (entry->bytes != TMEM_PAGE_BYTES)
            return err_set(e, ERR_PEER, EPROTO,
                "auxiliary data \"%s\": an entry of %u bytes, which should be a page", NAME,
                entry->bytes);
        t->buffer.list[op.count] = decode_key(entry->key);
        memcpy(t->buffer.pages + op.count++ * (size_t)TMEM_PAGE_BYTES, entry->content,
            TMEM_PAGE_BYTES);
    }

    const int rc = op.count ? call(t, &op) : 0;

    if (rc == -ENOMEM)
        return err_set(e, ERR_LOCAL, ENOMEM,
            "this host has no memory for what the guest keeps in transcendent memory");
    return rc ? explain(t, "write", rc, e) : 0;
}

static int in_withdraw(void *state, const struct aux_batch *b, struct err *e)
{
    struct tmem *t = state;
    struct tmem_op op = {.cmd = TMEM_RESTORE_FLUSH};

    for (unsigned i = 0; i < b->count; i++)
        if (b->entries[i].withdrawn)
            t->buffer.list[op.count++] = decode_key(b->entries[i].key);

    const int rc = op.count ? call(t, &op) : 0;

    return rc ? explain(t, "write", rc, e) : 0;
}

static int in_complete(void *state, struct err *e)
{
    struct tmem *t = state;
    struct tmem_op op = {.cmd = TMEM_RESTORE_END, .max_pages = t->max_pages};
    const int rc = call(t, &op);

    return rc ? explain(t, "finish", rc, e) : 0;
}

static void in_end(void *state)
{
    tmem_close(state);
}

const struct aux_in_ops aux_tmem_in = {
    .name = NAME,
    .version = VERSION,
    .most_entries = MOST_PAGES,
    .most_bytes = MOST_PAGES * TMEM_PAGE_BYTES,
    .begin = in_begin,
    .apply = in_apply,
    .withdraw = in_withdraw,
    .complete = in_complete,
    .end = in_end,
};
