/* SPDX-License-Identifier: MIT */
#include "transport/compact/check.h"

#include "base/bitmap.h"
#include "transport/compact/share.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct check {
    const struct compact_chain *chain;
    unsigned index;         /* of the file whose chunks are read */
    const uint64_t *needed; /* of these, a bit each; NULL: all */
    uint32_t *extents;      /* whose pages are read */
};

/* ---- chunks ---- */

static int open_chunks(void *arg, void **with, struct err *e)
{
    (void)arg;
    return compact_unpacker_create((struct compact_unpacker **)with, e);
}

static int look_at_chunk(void *arg, void *with, uint64_t number, struct err *e)
{
    const struct check *k = arg;
    const struct compact_file *f = &k->chain->files[k->index];
    const struct compact_chunk *c = &f->index.chunks[number];
    const int rc = k->needed && !bitmap_test(k->needed, number)
                       ? 0
                       : compact_unpacker_read(with, f->fd, c, e);

    if (rc)
        err_prepend(e, "%s: at byte %" PRIu64, f->name, c->offset);
    return rc;
}

static void close_chunks(void *with)
{
    compact_unpacker_destroy(with);
}

/* *failed: the number of the first that is wrong. */
static int look_at_chunks(
    struct check *k, unsigned threads, const struct cancel *cancel, uint64_t *failed, struct err *e)
{
    const struct compact_work work = {.parts = k->chain->files[k->index].index.chunk_count,
        .open = open_chunks,
        .part = look_at_chunk,
        .close = close_chunks,
        .arg = k,
        .cancel = cancel};

    return compact_share(&work, threads, failed, e);
}

int compact_check_chunks(const struct compact_chain *c, unsigned index, unsigned threads,
    const struct cancel *cancel, uint64_t *damage_at, struct err *e)
{
    const struct compact_index *of = &c->files[index].index;
    struct check k = {.chain = c, .index = index};
    uint64_t failed;
    const int rc = look_at_chunks(&k, threads, cancel, &failed, e);

    *damage_at = rc && rc != -ECANCELED && of->chunk_count ? of->chunks[failed].offset : 0;
    return rc;
}

static void mark_needed(const struct compact_chain *c, unsigned index, uint64_t *needed)
{
    const struct compact_table *t = &c->table;

    for (uint64_t x = compact_next_group(t, 0); x < t->extent_count;
         x = compact_next_group(t, x + 1)) {
        const struct compact_group *g = t->groups[x];

        for (unsigned i = 0; i < EXTENT_FRAMES; i++)
            if (g->pages[i].kind == COMPACT_CONTENTS && g->pages[i].file == c->first + index)
                bitmap_set(needed, g->pages[i].chunk);
    }
}

static int check_needed_of(const struct compact_chain *c, unsigned index, unsigned threads,
    const struct cancel *cancel, struct err *e)
{
    uint64_t *needed = bitmap_alloc(c->files[index].index.chunk_count ?: 1);
    struct check k = {.chain = c, .index = index, .needed = needed};
    int rc;

    if (!needed)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    mark_needed(c, index, needed);
    rc = look_at_chunks(&k, threads, cancel, NULL, e);
    free(needed);
    return rc;
}

int compact_check_needed(
    const struct compact_chain *c, unsigned threads, const struct cancel *cancel, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < c->count && !rc; i++)
        rc = check_needed_of(c, i, threads, cancel, e);
    return rc;
}

/* ---- pages ---- */

struct pages {
    struct compact_reader *reader;
    uint8_t *buffer;
};

static void close_pages(void *with)
{
    struct pages *p = with;

    compact_reader_destroy(p->reader);
    free(p->buffer);
    free(p);
}

static int open_pages(void *arg, void **with, struct err *e)
{
    const struct check *k = arg;
    struct pages *p = calloc(1, sizeof(*p));

    if (!p)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    p->buffer = aligned_alloc(PAGE_BYTES, (size_t)EXTENT_FRAMES * PAGE_BYTES);

    const int rc = p->buffer ? compact_reader_create(k->chain, true, &p->reader, e)
                             : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (rc)
        close_pages(p);
    else
        *with = p;
    return rc;
}

static int look_at_extent(void *arg, void *with, uint64_t number, struct err *e)
{
    const struct check *k = arg;
    struct pages *p = with;

    return compact_reader_load(p->reader, k->extents[number], p->buffer, e);
}

int compact_check_pages(
    const struct compact_chain *c, unsigned threads, const struct cancel *cancel, struct err *e)
{
    struct check k = {.chain = c};
    struct compact_work work = {.open = open_pages,
        .part = look_at_extent,
        .close = close_pages,
        .arg = &k,
        .cancel = cancel};
    int rc = compact_list_groups(&c->table, &k.extents, &work.parts, e);

    if (!rc)
        rc = compact_share(&work, threads, NULL, e);
    free(k.extents);
    return rc;
}
