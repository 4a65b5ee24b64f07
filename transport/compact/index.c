/* SPDX-License-Identifier: MIT */
#include "transport/compact/index.h"

#include "base/bytes.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRONT_BYTES = 64,
    FRONT_ZEROS = 24,
    CHUNK_BYTES = 20,
    GROUP_BYTES = 8,
    ENTRY_BYTES = 2,
    CONTENTS_BYTES = 4 + 2 + PAGE_HASH_BYTES,
    TYPE_SHIFT = 9,
    FRAME_MASK = EXTENT_FRAMES - 1,
    ZERO_BIT = 1 << 13,
    NO_BITS = 3 << 14,
};

/* ---- encoding ---- */

/* What the file says of a page, if anything. */
static bool is_told(const struct compact_page *p, bool incremental, struct compact_page *told)
{
    static const struct compact_page none = {.kind = COMPACT_BARE, .type = V3_PAGE_XTAB};
    const bool has = compact_page_has_memory(p);

    *told = *p;
    if (has && !p->seen) {
        *told = none;
        return incremental;
    }
    return !p->file && (has || (incremental && p->kind != COMPACT_UNKNOWN));
}

struct told {
    unsigned count, contents;
    uint16_t frames[EXTENT_FRAMES]; /* within the extent */
    struct compact_page pages[EXTENT_FRAMES];
};

static void gather(const struct compact_group *g, bool incremental, struct told *told)
{
    told->count = told->contents = 0;
    for (unsigned i = 0; i < EXTENT_FRAMES; i++) {
        struct compact_page *p = &told->pages[told->count];

        if (!is_told(&g->pages[i], incremental, p))
            continue;
        told->frames[told->count++] = (uint16_t)i;
        told->contents += p->kind == COMPACT_CONTENTS;
    }
}

static uint16_t entry_of(unsigned frame, const struct compact_page *p)
{
    return (uint16_t)(frame | (unsigned)p->type << TYPE_SHIFT |
                      (p->kind == COMPACT_ZERO ? ZERO_BIT : 0));
}

static void put_group(struct bytes_out *o, uint32_t extent, const struct told *t)
{
    bytes_out_u32(o, extent);
    bytes_out_u16(o, (uint16_t)t->count);
    bytes_out_u16(o, (uint16_t)t->contents);
    for (unsigned i = 0; i < t->count; i++)
        bytes_out_u16(o, entry_of(t->frames[i], &t->pages[i]));
    for (unsigned i = 0; i < t->count; i++)
        if (t->pages[i].kind == COMPACT_CONTENTS)
            bytes_out_u32(o, t->pages[i].chunk);
    for (unsigned i = 0; i < t->count; i++)
        if (t->pages[i].kind == COMPACT_CONTENTS)
            bytes_out_u16(o, t->pages[i].slot);
    for (unsigned i = 0; i < t->count; i++)
        if (t->pages[i].kind == COMPACT_CONTENTS)
            bytes_out_copy(o, t->pages[i].hash, PAGE_HASH_BYTES);
}

static void put_chunks(struct bytes_out *o, const struct compact_index *index)
{
    for (uint32_t i = 0; i < index->chunk_count; i++) {
        const struct compact_chunk *c = &index->chunks[i];

        bytes_out_u32(o, c->stored_bytes);
        bytes_out_u32(o, c->crc);
        bytes_out_u32(o, c->extent);
        bytes_out_u16(o, c->pages);
        bytes_out_u16(o, c->raw_pages);
        bytes_out_u32(o, c->codec);
    }
}

struct sums {
    uint32_t groups;
    uint64_t entries;
    size_t bytes;
};

static struct sums sum_up(
    const struct compact_index *index, const struct compact_table *t, bool incremental)
{
    struct sums s = {.bytes = FRONT_BYTES + (size_t)index->chunk_count * CHUNK_BYTES};
    struct told told;

    for (uint64_t x = compact_next_group(t, 0); x < t->extent_count;
         x = compact_next_group(t, x + 1)) {
        gather(t->groups[x], incremental, &told);
        if (!told.count)
            continue;
        s.groups++;
        s.entries += told.count;
        s.bytes += GROUP_BYTES + told.count * ENTRY_BYTES + told.contents * (size_t)CONTENTS_BYTES;
    }
    return s;
}

int compact_index_encode(const struct compact_index *index, const struct compact_table *t,
    bool incremental, uint8_t **bytes, size_t *len_bytes, struct err *e)
{
    const struct sums s = sum_up(index, t, incremental);
    static const uint8_t zeros[FRONT_ZEROS];
    struct bytes_out o;
    struct told told;

    *bytes = malloc(s.bytes);
    *len_bytes = s.bytes;
    if (!*bytes)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for the index");
    o = bytes_out_init(*bytes, s.bytes);
    bytes_out_copy(&o, index->hash_key, sizeof(index->hash_key));
    bytes_out_u64(&o, index->frame_count);
    bytes_out_u32(&o, index->chunk_count);
    bytes_out_u32(&o, s.groups);
    bytes_out_u64(&o, s.entries);
    bytes_out_copy(&o, zeros, sizeof(zeros));
    put_chunks(&o, index);
    for (uint64_t x = compact_next_group(t, 0); x < t->extent_count;
         x = compact_next_group(t, x + 1)) {
        gather(t->groups[x], incremental, &told);
        if (told.count)
            put_group(&o, (uint32_t)x, &told);
    }
    return 0;
}

/* ---- decoding ---- */

static int take_chunk(struct bytes_in *i, uint64_t extent_count, bool encrypted, uint64_t *at,
    struct compact_chunk *c, struct err *e)
{
    c->offset = *at;
    c->stored_bytes = bytes_in_u32(i);
    c->crc = bytes_in_u32(i);
    c->extent = bytes_in_u32(i);
    c->pages = bytes_in_u16(i);
    c->raw_pages = bytes_in_u16(i);

    const uint32_t codec = bytes_in_u32(i);

    c->codec = (uint8_t)codec;
    *at += c->stored_bytes;
    return codec > UINT8_MAX ? err_damaged(e, "a chunk would have the codec %u", codec)
                             : compact_chunk_check(c, extent_count, encrypted, e);
}

static int take_chunks(struct bytes_in *i, uint64_t chunks_bytes, bool encrypted,
    struct compact_index *index, struct err *e)
{
    const uint64_t extent_count = (index->frame_count + EXTENT_FRAMES - 1) / EXTENT_FRAMES;
    uint64_t at = COMPACT_HEADER_BYTES;
    int rc = 0;

    if (index->chunk_count > bytes_in_left(i) / CHUNK_BYTES)
        return err_damaged(
            e, "INDEX says that there are %u chunks, and is shorter than that", index->chunk_count);
    index->chunks = calloc(index->chunk_count ?: 1, sizeof(*index->chunks));
    if (!index->chunks)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for the index");
    for (uint32_t n = 0; n < index->chunk_count && !rc; n++)
        rc = take_chunk(i, extent_count, encrypted, &at, &index->chunks[n], e);
    if (!rc && at - COMPACT_HEADER_BYTES != chunks_bytes)
        rc = err_damaged(e, "the chunks have %" PRIu64 " bytes, and INDEX says %" PRIu64,
            chunks_bytes, at - COMPACT_HEADER_BYTES);
    return rc;
}

int compact_index_decode(const uint8_t *bytes, size_t len_bytes, uint64_t chunks_bytes,
    bool encrypted, struct compact_index *index, struct err *e)
{
    struct bytes_in i = bytes_in_init(bytes, len_bytes);
    uint8_t zeros = 0;

    *index = (struct compact_index){0};
    if (len_bytes < FRONT_BYTES)
        return err_damaged(e, "INDEX has %zu bytes", len_bytes);
    memcpy(index->hash_key, bytes_in_take(&i, PAGE_HASH_KEY_BYTES), PAGE_HASH_KEY_BYTES);
    index->frame_count = bytes_in_u64(&i);
    index->chunk_count = bytes_in_u32(&i);
    index->group_count = bytes_in_u32(&i);
    index->entry_count = bytes_in_u64(&i);
    for (unsigned n = 0; n < FRONT_ZEROS; n++)
        zeros |= bytes_in_u8(&i);
    if (zeros)
        return err_damaged(e, "INDEX has bytes that should be zero");
    if (!index->frame_count || index->frame_count > COMPACT_MAX_FRAMES)
        return err_damaged(
            e, "INDEX says that the guest has %" PRIu64 " frames", index->frame_count);

    const int rc = take_chunks(&i, chunks_bytes, encrypted, index, e);

    index->groups_bytes = bytes_in_left(&i);
    index->groups = bytes_in_take(&i, index->groups_bytes);
    return rc;
}

/* ---- groups ---- */

/* The columns of one group. */
struct group_in {
    uint32_t extent;
    unsigned count, contents;
    const uint8_t *entries, *chunks, *slots, *hashes;
};

static int take_group(struct bytes_in *i, uint64_t least_extent, uint64_t extent_count,
    struct group_in *g, struct err *e)
{
    g->extent = bytes_in_u32(i);
    g->count = bytes_in_u16(i);
    g->contents = bytes_in_u16(i);
    if (i->underflow || g->extent < least_extent || g->extent >= extent_count || !g->count ||
        g->count > EXTENT_FRAMES || g->contents > g->count)
        return err_damaged(e, "INDEX has a group of extent %u with %u entries, %u with contents",
            g->extent, g->count, g->contents);
    g->entries = bytes_in_take(i, g->count * (size_t)ENTRY_BYTES);
    g->chunks = bytes_in_take(i, g->contents * (size_t)4);
    g->slots = bytes_in_take(i, g->contents * (size_t)2);
    g->hashes = bytes_in_take(i, g->contents * (size_t)PAGE_HASH_BYTES);
    return i->underflow ? err_damaged(e, "INDEX ends within the group of extent %u", g->extent) : 0;
}

static int take_place(const struct compact_index *index, const struct group_in *g, unsigned n,
    struct compact_page *p, struct err *e)
{
    if (n >= g->contents)
        return err_damaged(
            e, "INDEX has more pages with contents in extent %u than places", g->extent);
    p->chunk = get_le32(g->chunks + n * (size_t)4);
    p->slot = get_le16(g->slots + n * (size_t)2);
    memcpy(p->hash, g->hashes + n * (size_t)PAGE_HASH_BYTES, PAGE_HASH_BYTES);
    if (p->chunk < index->chunk_count && index->chunks[p->chunk].extent == g->extent &&
        p->slot < index->chunks[p->chunk].pages)
        return 0;
    return err_damaged(e,
        "INDEX has a page of extent %u in slot %u of chunk %u, which is not there", g->extent,
        p->slot, p->chunk);
}

static int enter_group(const struct compact_index *index, const struct group_in *g, unsigned file,
    struct compact_group *to, struct err *e)
{
    unsigned contents = 0, least = 0;
    int rc = 0;

    for (unsigned i = 0; i < g->count && !rc; i++) {
        const uint16_t entry = get_le16(g->entries + i * (size_t)ENTRY_BYTES);
        const unsigned frame = entry & FRAME_MASK;
        struct compact_page p = {.type = (entry >> TYPE_SHIFT) & 0xf, .file = file & 0x1f};
        const bool has_data = v3_type_has_data(p.type);

        if (entry & NO_BITS || frame < least || !v3_type_is_known(p.type) ||
            (entry & ZERO_BIT && !has_data) ||
            (uint64_t)g->extent * EXTENT_FRAMES + frame >= index->frame_count)
            return err_damaged(e, "INDEX has the entry 0x%04x in extent %u", entry, g->extent);
        least = frame + 1;
        p.kind = entry & ZERO_BIT ? COMPACT_ZERO : has_data ? COMPACT_CONTENTS : COMPACT_BARE;
        if (p.kind == COMPACT_CONTENTS)
            rc = take_place(index, g, contents++, &p, e);
        if (to->pages[frame].kind == COMPACT_UNKNOWN)
            to->pages[frame] = p;
    }
    if (!rc && contents != g->contents)
        rc = err_damaged(
            e, "INDEX has more places in extent %u than pages with contents", g->extent);
    return rc;
}

/* The extent's group, made if a file may have one more. */
static int make_group(
    struct compact_table *t, uint64_t extent, struct compact_group **group, struct err *e)
{
    if (!compact_group(t, extent) && t->entered_groups++ >= t->max_entered_groups)
        return err_set(e, ERR_REFUSED, ENOMEM,
            "INDEX speaks of so many frames that a table of them does not fit in half of the "
            "memory");
    *group = compact_group_make(t, extent);
    return *group ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "no memory for a table of pages");
}

int compact_index_enter(
    const struct compact_index *index, unsigned file, struct compact_table *t, struct err *e)
{
    struct bytes_in i = bytes_in_init(index->groups, index->groups_bytes);
    uint64_t entries = 0, least_extent = 0;
    struct group_in g = {0};
    int rc = 0;

    for (uint32_t n = 0; n < index->group_count && !rc; n++) {
        rc = take_group(&i, least_extent, t->extent_count, &g, e);
        if (rc)
            break;
        least_extent = (uint64_t)g.extent + 1;
        entries += g.count;

        struct compact_group *to;

        rc = make_group(t, g.extent, &to, e);
        if (!rc)
            rc = enter_group(index, &g, file, to, e);
    }
    if (!rc && (!bytes_in_done(&i) || entries != index->entry_count))
        rc = err_damaged(e, "INDEX has %" PRIu64 " entries and %zu bytes behind them, not %" PRIu64,
            entries, bytes_in_left(&i), index->entry_count);
    return rc;
}
