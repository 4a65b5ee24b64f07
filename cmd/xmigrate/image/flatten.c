/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/flatten.h"

#include "transport/compact/ends.h"
#include "transport/compact/share.h"
#include "transport/compact/writer.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct flattening {
    const struct flatten_params *p;
    struct file_keys keys;
    struct compact_writer *writer;
    uint32_t *extents; /* that have pages */
};

/* ---- pages, by several threads ---- */

struct copier {
    struct compact_reader *reader;
    struct compact_lane *lane;
    uint8_t *buffer; /* an extent's pages */
};

static void close_copier(void *with)
{
    struct copier *c = with;

    compact_lane_destroy(c->lane);
    compact_reader_destroy(c->reader);
    free(c->buffer);
    free(c);
}

static int open_copier(void *arg, void **with, struct err *e)
{
    const struct flattening *f = arg;
    struct copier *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    c->buffer = aligned_alloc(PAGE_BYTES, (size_t)EXTENT_FRAMES * PAGE_BYTES);
    rc = c->buffer ? compact_reader_create(f->p->chain, true, &c->reader, e)
                   : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    if (!rc)
        rc = compact_lane_create(f->writer, &c->lane, e);
    if (rc)
        close_copier(c);
    else
        *with = c;
    return rc;
}

static int copy_extent(void *arg, void *with, uint64_t number, struct err *e)
{
    const struct flattening *f = arg;
    struct copier *c = with;
    uint64_t entries[EXTENT_FRAMES];
    const void *pages[EXTENT_FRAMES];
    struct compact_counts counts = {0};
    const uint64_t extent = f->extents[number];
    const unsigned count = compact_entries_of(&f->p->chain->table, extent, entries);

    if (!count)
        return 0;
    for (unsigned i = 0; i < count; i++)
        pages[i] = compact_page_at(c->buffer, entries[i]);

    const int rc = compact_reader_load(c->reader, extent, c->buffer, e);

    return rc ? rc : compact_lane_put(c->lane, entries, pages, count, &counts, e);
}

static int copy_pages(struct flattening *f, struct err *e)
{
    struct compact_work work = {.open = open_copier,
        .part = copy_extent,
        .close = close_copier,
        .arg = f,
        .cancel = f->p->cancel};
    int rc = compact_list_groups(&f->p->chain->table, &f->extents, &work.parts, e);

    if (!rc)
        rc = compact_share(&work, f->p->threads, NULL, e);
    free(f->extents);
    return rc;
}

/* ---- the rest ---- */

static int begin(struct flattening *f, struct err *e)
{
    struct file_secret secret = {.len_bytes = 0};
    const struct compact_plan plan = {.secret = &secret};
    struct compact_chain none = {.count = 0};
    int rc = f->p->key ? file_secret_read(&secret, f->p->key, e) : 0;

    if (!rc)
        rc = compact_create(f->p->fd, &plan, &f->keys, e);
    explicit_bzero(&secret, sizeof(secret));
    if (!rc)
        rc = compact_writer_open(f->p->fd, &f->keys, f->p->codec, &none, &f->writer, e);
    return rc ? rc : compact_writer_begin(f->writer, f->p->chain->table.frame_count, e);
}

static int finish_engine(struct flattening *f, struct err *e)
{
    struct compact_file *newest = &f->p->chain->files[0];
    struct iovec head = {0}, tail = {0};
    int rc = compact_file_section(newest, COMPACT_HEAD, &head, e);

    if (!rc)
        rc = compact_file_section(newest, COMPACT_TAIL, &tail, e);
    if (!rc)
        rc = compact_writer_finish(f->writer, &head, &tail, e);
    free(head.iov_base);
    free(tail.iov_base);
    return rc;
}

static int complete(struct flattening *f, struct err *e)
{
    struct compact_file *newest = &f->p->chain->files[0];
    struct iovec libxl = {0};
    char *config = NULL, *note = NULL;
    int rc = compact_file_section(newest, COMPACT_LIBXL, &libxl, e);

    if (!rc)
        rc = compact_file_text(newest, COMPACT_CONFIG, &config, e);
    if (!rc)
        rc = compact_file_text(newest, COMPACT_NOTE, &note, e);
    if (!rc) {
        const struct compact_rest rest = {libxl.iov_base, libxl.iov_len, config, note};

        rc = compact_complete(f->p->fd, f->p->name, &f->keys, &rest, e);
    }
    free(libxl.iov_base);
    free(config);
    free(note);
    return rc;
}

int flatten(const struct flatten_params *p, struct err *e)
{
    struct flattening f = {.p = p};
    int rc = begin(&f, e);

    if (!rc)
        rc = copy_pages(&f, e);
    if (!rc)
        rc = finish_engine(&f, e);
    if (!rc)
        rc = complete(&f, e);
    if (f.writer)
        compact_writer_close(f.writer);
    explicit_bzero(&f.keys, sizeof(f.keys));
    return rc;
}
