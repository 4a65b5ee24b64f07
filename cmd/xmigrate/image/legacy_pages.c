/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/legacy_read.h"

#include "base/bitmap.h"
#include "base/bytes.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PIECE_BYTES = 64 << 10, WORD_BYTES = 4 };
enum { SKIP_FLAG = 0x80, WORDS_MASK = 0x7f };

/* ---- batches ---- */

/* XTAB entries name no frame, and come many times. */
static int check_entry(struct legacy_reader *r, uint64_t word, bool *named, struct err *e)
{
    const unsigned type = (unsigned)(word >> 28);
    const uint64_t pfn = word & (LEGACY_MAX_FRAMES - 1);
    struct legacy *l = r->l;

    *named = type != V3_PAGE_XTAB;
    if (word >> 32 || !v3_type_is_known(type) ||
        (l->guest_type == V3_GUEST_HVM && v3_type_has_data(type) && type != V3_PAGE_NOTAB))
        return err_damaged(e, "0x%" PRIx64 " is no frame with a type", word);
    if (!*named)
        return 0;
    if (pfn >= l->frame_count)
        return err_damaged(e, "a batch has frame 0x%" PRIx64 ", which the guest does not", pfn);
    if (bitmap_test(r->batched, pfn))
        return err_damaged(e, "a batch has frame 0x%" PRIx64 " twice", pfn);
    bitmap_set(r->batched, pfn);
    if (pfn > l->max_pfn)
        l->max_pfn = pfn;
    return 0;
}

/* Into entries, in place. */
static int check_entries(struct legacy_reader *r, uint64_t *entries, unsigned *count, struct err *e)
{
    unsigned n = 0;
    int rc = 0;

    for (unsigned i = 0; i < *count && !rc; i++) {
        const uint64_t word = entries[i];
        bool named;

        rc = check_entry(r, word, &named, e);
        if (!rc && named)
            entries[n++] = v3_entry(word & (LEGACY_MAX_FRAMES - 1), (uint32_t)word);
    }
    for (unsigned i = 0; i < n; i++)
        bitmap_clear(r->batched, v3_entry_pfn(entries[i]));
    *count = n;
    return rc;
}

static unsigned count_data(const uint64_t *entries, unsigned count)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += v3_type_has_data(v3_entry_type(entries[i]));
    return n;
}

static int await(struct legacy_reader *r, uint64_t entry, struct err *e)
{
    if (r->awaited_count == r->awaited_cap) {
        const size_t cap = r->awaited_cap ? 2 * r->awaited_cap : LEGACY_MAX_BATCH;
        uint64_t *bigger = realloc(r->awaited, cap * sizeof(*bigger));

        if (!bigger)
            return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
        r->awaited = bigger;
        r->awaited_cap = cap;
    }
    r->awaited[r->awaited_count++] = entry;
    return 0;
}

/* Entries without contents go on at once. */
static int await_batch(
    struct legacy_reader *r, const uint64_t *entries, unsigned count, struct err *e)
{
    static const void *const none[1];
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        if (v3_type_has_data(v3_entry_type(entries[i])))
            rc = await(r, entries[i], e);
        else if (r->sink)
            rc = r->sink->pages(r->sink->arg, &entries[i], none, 1, e);
    return rc;
}

static int hand_on(struct legacy_reader *r, const uint64_t *entries, unsigned count,
    unsigned data_pages, struct err *e)
{
    const void *pages[LEGACY_MAX_BATCH];
    const uint8_t *next;

    if (!r->buffer && !(r->buffer = malloc((size_t)LEGACY_MAX_BATCH * PAGE_BYTES)))
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    const int rc = file_take(&r->file, r->buffer, (size_t)data_pages * PAGE_BYTES, e);

    if (rc)
        return rc;
    next = r->buffer;
    for (unsigned i = 0; i < count; i++) {
        const bool has_data = v3_type_has_data(v3_entry_type(entries[i]));

        pages[i] = has_data ? next : NULL;
        next += has_data ? PAGE_BYTES : 0;
    }
    return count ? r->sink->pages(r->sink->arg, entries, pages, count, e) : 0;
}

int legacy_read_batch(struct legacy_reader *r, unsigned count, struct err *e)
{
    uint64_t entries[LEGACY_MAX_BATCH];
    int rc = legacy_take_words(r, entries, count, e);

    if (!rc)
        rc = check_entries(r, entries, &count, e);
    if (rc)
        return rc;
    r->l->batches++;
    if (r->packed)
        return await_batch(r, entries, count, e);

    const unsigned data_pages = count_data(entries, count);

    if (r->verify) {
        r->l->verified_pages += data_pages;
        return file_skip(&r->file, (uint64_t)data_pages * PAGE_BYTES, e);
    }
    r->l->data_pages += data_pages;
    for (unsigned i = 0; i < count; i++)
        if (v3_type_has_data(v3_entry_type(entries[i])))
            bitmap_set(r->seen, v3_entry_pfn(entries[i]));
    return r->sink ? hand_on(r, entries, count, data_pages, e)
                   : file_skip(&r->file, (uint64_t)data_pages * PAGE_BYTES, e);
}

/* ---- compressed chunks ---- */

/* A run of no words is the whole page: as it is, or as it was. */
static int start_run(struct legacy_unpack *u, uint8_t marker, struct err *e)
{
    const bool skip = marker & SKIP_FLAG;
    unsigned run_bytes = (marker & WORDS_MASK) * WORD_BYTES;

    if (!run_bytes) {
        if (u->at)
            return err_damaged(e, "a compressed page has a run of no words");
        u->kept = !skip;
        u->copy_bytes = skip ? PAGE_BYTES : 0;
        u->at = skip ? 0 : PAGE_BYTES;
        return 0;
    }
    if (run_bytes > PAGE_BYTES - u->at)
        return err_damaged(e, "a run of a compressed page goes beyond it");
    u->kept |= skip;
    if (skip)
        u->at += run_bytes;
    else
        u->copy_bytes = run_bytes;
    return 0;
}

static void copy_run(struct legacy_unpack *u, struct bytes_in *in, uint8_t *page)
{
    const size_t left_bytes = bytes_in_left(in);
    const unsigned n = left_bytes < u->copy_bytes ? (unsigned)left_bytes : u->copy_bytes;
    const void *from = bytes_in_take(in, n);

    if (page)
        memcpy(page + u->at, from, n);
    u->at += n;
    u->copy_bytes -= n;
}

int legacy_unpack(
    struct legacy_unpack *u, struct bytes_in *in, uint8_t *page, bool *done, struct err *e)
{
    int rc = 0;

    while (!rc && u->at < PAGE_BYTES && bytes_in_left(in)) {
        if (u->copy_bytes)
            copy_run(u, in, page);
        else
            rc = start_run(u, bytes_in_u8(in), e);
    }
    *done = u->at == PAGE_BYTES;
    return rc;
}

static int begin_page(struct legacy_reader *r, struct err *e)
{
    uint64_t pfn;

    if (r->awaited_done == r->awaited_count)
        return err_damaged(e, "compressed_data has more pages than were announced");
    pfn = v3_entry_pfn(r->awaited[r->awaited_done]);
    if (!r->sink || !bitmap_test(r->seen, pfn))
        return 0;
    return r->sink->fetch(r->sink->arg, pfn, r->page, e);
}

static int end_page(struct legacy_reader *r, struct err *e)
{
    const uint64_t entry = r->awaited[r->awaited_done++], pfn = v3_entry_pfn(entry);
    const void *const page = r->page;

    if (r->unpack.kept && !bitmap_test(r->seen, pfn))
        return err_damaged(e, "compressed_data changes frame 0x%" PRIx64 ", which never came", pfn);
    r->unpack = (struct legacy_unpack){0};
    bitmap_set(r->seen, pfn);
    r->l->data_pages++;
    r->l->packed_pages++;
    return r->sink ? r->sink->pages(r->sink->arg, &entry, &page, 1, e) : 0;
}

static int unpack_piece(struct legacy_reader *r, size_t len_bytes, struct err *e)
{
    struct bytes_in in = bytes_in_init(r->file.body, len_bytes);
    int rc = 0;

    while (!rc && bytes_in_left(&in)) {
        bool done = false;

        if (!r->unpack.at && !r->unpack.copy_bytes)
            rc = begin_page(r, e);
        if (!rc)
            rc = legacy_unpack(&r->unpack, &in, r->sink ? r->page : NULL, &done, e);
        if (!rc && done)
            rc = end_page(r, e);
    }
    return rc;
}

int legacy_read_packed(struct legacy_reader *r, struct err *e)
{
    uint64_t left_bytes;
    int rc = r->packed ? legacy_take_words(r, &left_bytes, 1, e)
                       : err_damaged(e, "compressed_data before a checkpoint enabled it");

    while (!rc && left_bytes) {
        const size_t n = left_bytes < PIECE_BYTES ? (size_t)left_bytes : PIECE_BYTES;

        rc = file_take_body(&r->file, n, e);
        if (!rc)
            rc = unpack_piece(r, n, e);
        left_bytes -= n;
    }
    return rc;
}

int legacy_end_packed(struct legacy_reader *r, struct err *e)
{
    const size_t missing = r->awaited_count - r->awaited_done;

    r->awaited_count = r->awaited_done = 0;
    if (missing || r->unpack.at || r->unpack.copy_bytes)
        return err_damaged(e, "a checkpoint ends without the contents of %zu pages", missing);
    return 0;
}
