/* SPDX-License-Identifier: MIT */
#include "transport/compact/writer.h"

#include "transport/compact/ends.h"
#include "transport/compact/file_io.h"
#include "transport/v3.h"
#include "transport/zero_page.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct compact_writer {
    int fd;
    enum codec codec;
    bool incremental;
    struct compact_header header;
    struct file_keys keys;
    struct compact_table table;
    struct compact_index index; /* lock: its chunks, of which there is room for chunk_room */
    uint32_t chunk_room;        /* lock */
    pthread_mutex_t lock;
    atomic_uint_fast64_t end; /* changed under lock: where the next chunk goes */
};

/* One that goes into the chunk that is being filled. */
struct place {
    struct compact_page *page;
    unsigned ticket;
};

/* One that is copied and waits to be hashed with others. */
struct waiting {
    struct compact_page *known; /* what there is of its frame so far */
    struct compact_page page;
    const void *copy;
};

enum { AT_ONCE = 8 };

struct compact_lane {
    struct compact_writer *writer;
    struct compact_packer *packer;
    struct page_hasher *hasher;
    struct place places[EXTENT_FRAMES];
    unsigned count;
    struct waiting waiting[AT_ONCE];
    uint8_t (*room)[PAGE_BYTES]; /* for copies whose place in the chunk is not known yet */
    unsigned waits;
};

/* ---- the file ---- */

static int take_header(struct compact_writer *w, struct err *e)
{
    uint8_t header[COMPACT_HEADER_BYTES];
    const int rc = file_io_read(w->fd, header, sizeof(header), 0, e);

    return rc ? rc : compact_decode_header(header, &w->header, e);
}

static int take_chain(struct compact_writer *w, struct compact_chain *chain, struct err *e)
{
    w->incremental = chain->count != 0;
    if (w->incremental != (w->header.depth != 0))
        return err_set(e, ERR_INTERNAL, EINVAL, "a file and its chain do not agree");
    if (!w->incremental)
        return getrandom(w->index.hash_key, PAGE_HASH_KEY_BYTES, 0) == PAGE_HASH_KEY_BYTES
                   ? 0
                   : err_sys(e, ERR_LOCAL, errno, "no random bytes");
    memcpy(w->index.hash_key, chain->files[0].index.hash_key, PAGE_HASH_KEY_BYTES);
    w->table = chain->table;
    chain->table = (struct compact_table){0};
    return 0;
}

int compact_writer_open(int fd, const struct file_keys *keys, enum codec codec,
    struct compact_chain *chain, struct compact_writer **out, struct err *e)
{
    struct compact_writer *w = calloc(1, sizeof(*w));
    int rc = w ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (!rc) {
        *w = (struct compact_writer){.fd = fd, .codec = codec, .keys = *keys};
        pthread_mutex_init(&w->lock, NULL);
        atomic_init(&w->end, COMPACT_HEADER_BYTES);
        rc = take_header(w, e);
        if (!rc)
            rc = take_chain(w, chain, e);
        if (rc)
            compact_writer_close(w);
        else
            *out = w;
    }
    compact_chain_close(chain);
    return rc;
}

int compact_writer_begin(struct compact_writer *w, uint64_t frame_count, struct err *e)
{
    if (!frame_count || frame_count > COMPACT_MAX_FRAMES)
        return err_set(e, ERR_REFUSED, E2BIG,
            "the guest has %" PRIu64
            " frames, more than a compact file can hold: leave --compact out",
            frame_count);
    w->index.frame_count = frame_count > w->table.frame_count ? frame_count : w->table.frame_count;
    return compact_table_grow(&w->table, frame_count, e);
}

void compact_writer_close(struct compact_writer *w)
{
    compact_table_destroy(&w->table);
    free(w->index.chunks);
    explicit_bzero(&w->keys, sizeof(w->keys));
    pthread_mutex_destroy(&w->lock);
    free(w);
}

uint64_t compact_writer_bytes(const struct compact_writer *w)
{
    return atomic_load_explicit(&w->end, memory_order_relaxed);
}

/* ---- chunks ---- */

static int make_room(struct compact_writer *w, struct err *e)
{
    const uint32_t room = w->chunk_room ? w->chunk_room * 2 : 1024;
    struct compact_chunk *more;

    if (w->index.chunk_count < w->chunk_room)
        return 0;
    more = room > w->chunk_room ? realloc(w->index.chunks, room * sizeof(*more)) : NULL;
    if (!more)
        return err_set(
            e, ERR_LOCAL, ENOMEM, "no memory for the index: free some, or leave --compact out");
    w->index.chunks = more;
    w->chunk_room = room;
    return 0;
}

/* The next number and place are the chunk's. */
static int reserve(
    struct compact_writer *w, struct compact_chunk *c, uint32_t *number, struct err *e)
{
    pthread_mutex_lock(&w->lock);

    const int rc = make_room(w, e);

    if (!rc) {
        *number = w->index.chunk_count++;
        c->offset = atomic_fetch_add(&w->end, c->stored_bytes);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void settle(struct compact_writer *w, const struct compact_chunk *c, uint32_t number)
{
    pthread_mutex_lock(&w->lock);
    w->index.chunks[number] = *c;
    pthread_mutex_unlock(&w->lock);
}

static int write_chunk(struct compact_lane *l, uint64_t extent, struct err *e)
{
    struct compact_writer *w = l->writer;
    struct compact_chunk c = {.extent = (uint32_t)extent};
    struct iovec parts[COMPACT_MAX_PARTS];
    uint32_t number;
    int count;

    if (!l->count)
        return 0;
    compact_packer_finish(l->packer, &c);

    int rc = reserve(w, &c, &number, e);

    for (unsigned i = 0; i < l->count && !rc; i++) {
        l->places[i].page->chunk = number;
        l->places[i].page->slot = (uint16_t)compact_packer_slot(l->packer, l->places[i].ticket);
    }
    l->count = 0;
    if (!rc)
        rc = compact_packer_seal(l->packer, number, &c, parts, &count, e);
    if (!rc)
        rc = file_io_writev(w->fd, parts, count, c.offset, e);
    if (!rc)
        settle(w, &c, number);
    return rc;
}

/* ---- lanes ---- */

int compact_lane_create(struct compact_writer *w, struct compact_lane **out, struct err *e)
{
    struct compact_lane *l = calloc(1, sizeof(*l));

    if (!l)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    l->writer = w;

    int rc = compact_packer_create(
        w->codec, w->header.encrypted ? &w->keys : NULL, w->header.uuid, &l->packer, e);

    if (!rc)
        rc = page_hasher_create(w->index.hash_key, &l->hasher, e);
    if (!rc && !(l->room = aligned_alloc(PAGE_BYTES, (size_t)AT_ONCE * PAGE_BYTES)))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for a lane's pages");
    if (rc)
        compact_lane_destroy(l);
    else
        *out = l;
    return rc;
}

void compact_lane_destroy(struct compact_lane *l)
{
    if (!l)
        return;
    page_hasher_destroy(l->hasher);
    compact_packer_destroy(l->packer);
    free(l->room);
    free(l);
}

/* The page is what the frame has now, unless it had it already. */
static void keep_page(struct compact_lane *l, struct compact_page *known,
    const struct compact_page *p, const void *copy)
{
    if (compact_page_equal(known, p)) {
        known->seen = known->kind != COMPACT_UNKNOWN;
        return;
    }
    *known = *p;
    if (p->kind != COMPACT_CONTENTS)
        return;

    void *place = compact_packer_room(l->packer, copy);

    if (place != copy)
        memcpy(place, copy, PAGE_BYTES);
    l->places[l->count++] = (struct place){known, compact_packer_keep(l->packer)};
}

static int hash_waiting(struct compact_lane *l, struct err *e)
{
    uint8_t hashes[AT_ONCE][PAGE_HASH_BYTES];
    const void *copies[AT_ONCE];
    int rc;

    for (unsigned i = 0; i < l->waits; i++)
        copies[i] = l->waiting[i].copy;
    rc = page_hashes(l->hasher, copies, l->waits, hashes, e);
    for (unsigned i = 0; i < l->waits && !rc; i++) {
        struct waiting *w = &l->waiting[i];

        memcpy(w->page.hash, hashes[i], sizeof(w->page.hash));
        keep_page(l, w->known, &w->page, copies[i]);
    }
    l->waits = 0;
    return rc;
}

/* What has contents is copied first, because the guest may write to it. */
static int put_page(struct compact_lane *l, struct compact_group *g, uint64_t entry,
    const void *content, struct compact_counts *counts, struct err *e)
{
    struct compact_page *known = &g->pages[v3_entry_pfn(entry) % EXTENT_FRAMES];
    struct compact_page p = {
        .type = (uint8_t)v3_entry_type(entry), .kind = COMPACT_BARE, .seen = true};

    if (v3_type_has_data(p.type))
        p.kind = page_is_zero(content) ? COMPACT_ZERO : COMPACT_CONTENTS;
    counts->data_pages += p.kind == COMPACT_CONTENTS;
    counts->zero_pages += p.kind == COMPACT_ZERO;
    if (p.kind != COMPACT_CONTENTS) {
        keep_page(l, known, &p, NULL);
        return 0;
    }

    void *copy = compact_packer_room_ahead(l->packer, l->waits) ?: l->room[l->waits];

    l->waiting[l->waits++] = (struct waiting){known, p, memcpy(copy, content, PAGE_BYTES)};
    return l->waits == AT_ONCE ? hash_waiting(l, e) : 0;
}

/* Nothing more comes of the extent. */
static int end_extent(struct compact_lane *l, uint64_t extent, struct err *e)
{
    const int rc = hash_waiting(l, e);

    return rc ? rc : write_chunk(l, extent, e);
}

int compact_lane_put(struct compact_lane *l, const uint64_t *entries, const void *const *pages,
    unsigned count, struct compact_counts *counts, struct err *e)
{
    struct compact_table *t = &l->writer->table;
    struct compact_group *g = NULL;
    uint64_t extent = 0;
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++) {
        const uint64_t of = v3_entry_pfn(entries[i]) / EXTENT_FRAMES;

        if (g && of != extent)
            rc = end_extent(l, extent, e);
        if (rc)
            break;
        if (of >= t->extent_count)
            return err_set(e, ERR_INTERNAL, ERANGE,
                "frame 0x%" PRIx64 " is beyond the guest's last", v3_entry_pfn(entries[i]));
        if (!g || of != extent)
            g = compact_group_make(t, of);
        extent = of;
        rc = g ? put_page(l, g, entries[i], pages[i], counts, e)
               : err_set(e, ERR_LOCAL, ENOMEM,
                     "no memory for what is known of pages, 24 bytes each: free some, or leave "
                     "--compact out");
    }
    return rc || !g ? rc : end_extent(l, extent, e);
}

/* ---- the end ---- */

int compact_writer_finish(
    struct compact_writer *w, const struct iovec *head, const struct iovec *tail, struct err *e)
{
    struct compact_footer f = {0};
    uint64_t end = atomic_load(&w->end);
    uint8_t *index = NULL;
    size_t len_bytes;
    int rc = compact_add_section(w->fd, &w->header, &w->keys, &f, &end, head, e);

    if (!rc)
        rc = compact_add_section(w->fd, &w->header, &w->keys, &f, &end, tail, e);
    if (!rc)
        rc = compact_index_encode(&w->index, &w->table, w->incremental, &index, &len_bytes, e);
    if (!rc)
        rc = compact_add_section(
            w->fd, &w->header, &w->keys, &f, &end, &(struct iovec){index, len_bytes}, e);
    free(index);
    if (!rc)
        rc = compact_end_file(w->fd, &w->header, &w->keys, &f, end, e);
    atomic_store(&w->end, end + COMPACT_FOOTER_BYTES);
    return rc;
}
