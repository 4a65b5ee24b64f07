/* SPDX-License-Identifier: MIT */
#include "transport/compact/chain.h"

#include "transport/zero_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

static int check_parent(
    const struct compact_file *child, const struct compact_file *f, struct err *e)
{
    if (memcmp(child->header.parent_uuid, f->header.uuid, FILE_UUID_BYTES))
        return err_damaged(
            e, "%s is not the parent of %s: its UUID is another", f->name, child->name);
    if (memcmp(child->header.parent_index, f->index_hash, FILE_HASH_BYTES))
        return err_damaged(
            e, "%s is not the parent of %s: its index is another", f->name, child->name);
    if (child->header.depth != f->header.depth + 1 ||
        child->header.encrypted != f->header.encrypted ||
        memcmp(child->index.hash_key, f->index.hash_key, PAGE_HASH_KEY_BYTES))
        return err_damaged(e, "%s and %s cannot be of one chain", f->name, child->name);
    return 0;
}

static int enter(struct compact_chain *c, struct compact_file *f, struct err *e)
{
    int rc = compact_table_grow(&c->table, f->index.frame_count, e);

    if (!rc)
        rc = compact_index_enter(&f->index, c->first + c->count, &c->table, e);
    if (rc)
        err_prepend(e, "%s: at byte %" PRIu64, f->name, f->at);
    compact_file_forget(f);
    return rc;
}

int compact_chain_add(struct compact_chain *c, int fd, const char *name,
    const struct file_secret *secret, const struct file_keys *keys, struct err *e)
{
    struct compact_file *f = &c->files[c->count];

    if (c->first + c->count == COMPACT_MAX_FILES)
        return err_damaged(e, "%s: a chain has %d files at most", name, COMPACT_MAX_FILES);

    int rc = compact_file_open(f, fd, name, e);

    if (!rc)
        rc = compact_file_unlock(f, secret, keys, e);
    if (!rc)
        rc = compact_file_load(f, COMPACT_SECTIONS, e);
    if (!rc && c->count)
        rc = check_parent(f - 1, f, e);
    if (!rc)
        rc = enter(c, f, e);
    if (rc) {
        c->damage_at = f->at;
        compact_file_close(f);
    } else {
        c->count++;
    }
    return rc;
}

void compact_chain_close(struct compact_chain *c)
{
    for (unsigned i = 0; i < c->count; i++)
        compact_file_close(&c->files[i]);
    compact_table_destroy(&c->table);
    c->count = 0;
}

bool compact_chain_wants_parent(const struct compact_chain *c)
{
    return c->count && c->files[c->count - 1].header.depth;
}

/* ---- pages ---- */

struct compact_reader {
    const struct compact_chain *chain;
    struct compact_unpacker *unpacker;
    struct page_hasher *hasher;                     /* NULL: hashes are not compared */
    struct file_sealer *sealers[COMPACT_MAX_FILES]; /* by index in the chain; of encrypted ones */
};

static int make_sealers(struct compact_reader *r, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < r->chain->count && !rc; i++)
        if (r->chain->files[i].header.encrypted)
            rc = file_sealer_create(&r->chain->files[i].keys, &r->sealers[i], e);
    return rc;
}

int compact_reader_create(
    const struct compact_chain *c, bool check, struct compact_reader **out, struct err *e)
{
    struct compact_reader *r = calloc(1, sizeof(*r));

    if (!r)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    r->chain = c;

    int rc = compact_unpacker_create(&r->unpacker, e);

    if (!rc && check)
        rc = page_hasher_create(c->files[0].index.hash_key, &r->hasher, e);
    if (!rc)
        rc = make_sealers(r, e);
    if (rc)
        compact_reader_destroy(r);
    else
        *out = r;
    return rc;
}

void compact_reader_destroy(struct compact_reader *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < COMPACT_MAX_FILES; i++)
        file_sealer_destroy(r->sealers[i]);
    page_hasher_destroy(r->hasher);
    compact_unpacker_destroy(r->unpacker);
    free(r);
}

static int compare(struct compact_reader *r, const struct compact_page *p, uint64_t pfn,
    const uint8_t *content, struct err *e)
{
    uint8_t hash[PAGE_HASH_BYTES];
    int rc = r->hasher ? page_hash(r->hasher, content, hash, e) : 0;

    if (!rc && r->hasher && memcmp(hash, p->hash, sizeof(hash))) {
        const struct compact_file *f = &r->chain->files[p->file - r->chain->first];

        rc = err_damaged(e,
            "%s: at byte %" PRIu64 ": frame 0x%" PRIx64 " is not what the index says", f->name,
            f->index.chunks[p->chunk].offset, pfn);
    }
    return rc;
}

/* The group's pages that are in the same chunk as the one at first, by slot: where they go. */
static void find_wanted(const struct compact_group *g, unsigned first, void *const *into,
    void *by_slot[static EXTENT_FRAMES])
{
    const struct compact_page *from = &g->pages[first];

    memset(by_slot, 0, EXTENT_FRAMES * sizeof(by_slot[0]));
    for (unsigned i = first; i < EXTENT_FRAMES; i++) {
        const struct compact_page *p = &g->pages[i];

        if (p->kind == COMPACT_CONTENTS && p->chunk == from->chunk && p->file == from->file &&
            !by_slot[p->slot])
            by_slot[p->slot] = into[i];
    }
}

static int unpack(struct compact_reader *r, const struct compact_page *from,
    void *const by_slot[static EXTENT_FRAMES], const uint8_t *pages[static EXTENT_FRAMES],
    struct err *e)
{
    const unsigned index = from->file - r->chain->first;
    const struct compact_file *f = &r->chain->files[index];
    const struct compact_chunk *chunk = &f->index.chunks[from->chunk];
    const int rc = compact_unpack(r->unpacker, f->fd, chunk, from->chunk, r->sealers[index],
        f->header.uuid, by_slot, pages, e);

    if (rc)
        err_prepend(e, "%s: at byte %" PRIu64, f->name, chunk->offset);
    return rc;
}

/* All those pages, which are then done. */
static int fill_from_chunk(struct compact_reader *r, const struct compact_group *g, unsigned first,
    uint64_t extent, bool *done, void *const *into, struct err *e)
{
    const struct compact_page *from = &g->pages[first];
    const uint8_t *pages[EXTENT_FRAMES];
    void *by_slot[EXTENT_FRAMES];
    int rc;

    find_wanted(g, first, into, by_slot);
    rc = unpack(r, from, by_slot, pages, e);
    for (unsigned i = first; i < EXTENT_FRAMES && !rc; i++) {
        const struct compact_page *p = &g->pages[i];

        if (p->kind != COMPACT_CONTENTS || p->chunk != from->chunk || p->file != from->file)
            continue;
        done[i] = true;
        if (!into[i])
            continue;
        if (pages[p->slot] != into[i])
            memcpy(into[i], pages[p->slot], PAGE_BYTES);
        rc = compare(r, p, extent * EXTENT_FRAMES + i, into[i], e);
    }
    return rc;
}

int compact_reader_fill(struct compact_reader *r, uint64_t extent,
    void *const into[static EXTENT_FRAMES], struct err *e)
{
    const struct compact_group *g = compact_group(&r->chain->table, extent);
    bool done[EXTENT_FRAMES] = {false};
    int rc = 0;

    for (unsigned i = 0; i < EXTENT_FRAMES && g && !rc; i++) {
        const struct compact_page *p = &g->pages[i];

        if (p->kind == COMPACT_ZERO && into[i])
            page_clear(into[i]);
        else if (p->kind == COMPACT_CONTENTS && !done[i] && into[i])
            rc = fill_from_chunk(r, g, i, extent, done, into, e);
    }
    page_clear_done();
    return rc;
}

int compact_reader_load(struct compact_reader *r, uint64_t extent, uint8_t *buffer, struct err *e)
{
    void *into[EXTENT_FRAMES];

    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        into[i] = buffer + (size_t)i * PAGE_BYTES;
    return compact_reader_fill(r, extent, into, e);
}
