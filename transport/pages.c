/* SPDX-License-Identifier: MIT */
#include "transport/pages.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "transport/page_blocks.h"
#include "transport/page_delta.h"
#include "transport/v3.h"
#include "transport/zero_page.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    /* Far enough ahead for a page's first bytes to be in the cache when they are read. */
    PREFETCH_PAGES = 8,
    /* A codec must save at least a sixteenth, or the receiver's work is not worth it. */
    MIN_SAVED_FRACTION = 16,
    /* After this many blocks in a row that did not shrink, only every second one is tried; each
     * further miss doubles the distance, up to MOST_SKIPPED, and a block that shrinks resets it. */
    MISSES_BEFORE_SKIPPING = 4,
    MOST_SKIPPED = 63,
    /* The fastest level whose output is still clearly smaller than LZ4's. */
    ZSTD_LEVEL = 1,
    MAX_PACKED_BYTES = PAGES_BLOCK_BYTES - PAGES_BLOCK_BYTES / MIN_SAVED_FRACTION,
};

/* Of differences: of so many tries, a quarter at least has to succeed, or only one run of pages in
 * so many takes part until it does. */
enum {
    TRIES_TO_BELIEVE = 16,
    TRIES_TO_JUDGE = 64,
    LEAST_SUCCESS = 4,
    SAMPLE_RUNS = 64,
    TRIES_KEPT = 1024
};

_Static_assert(MAX_PACKED_BYTES % 8 == 0, "padding needs no room of its own");
_Static_assert(1 + PAGES_MAX_ENTRIES <= (int)RECORD_MAX_PARTS, "every page may be a part");
_Static_assert(PAGES_MAX_BLOCKS % 2 == 0, "the block table ends on eight bytes");

/*
 * A raw block is sent from where its pages are mapped. Codecs work on a copy of them.
 * They must not work on the guest's pages themselves: LZ4, for one, describes a repeated string by
 * where it stood before. If the guest changed that place after LZ4 had emitted it, but before a
 * later page was found to repeat it, the receiver would rebuild that later page from the older
 * bytes; and as nobody had written to it, nobody would ever send it again.
 */
struct page_encoder {
    unsigned misses;  /* blocks in a row that did not shrink */
    unsigned skipped; /* since the last try */
    uint8_t *copy;    /* one block's pages */
    uint8_t *packed;  /* this record's compressed blocks */
    size_t packed_bytes;
    void *lz_state; /* LZ4's tables */
    ZSTD_CCtx *zstd;

    struct sent_pages *sent; /* NULL: no differences */
    struct page_deltas deltas;
    unsigned tries, successes;      /* of differences, lately */
    uint8_t *diffs;                 /* one block of them, */
    uint16_t of[PAGES_BLOCK_PAGES]; /* which entries' they are, */
    unsigned diff_pages;            /* and how many */
    uint64_t trial[PAGES_TRIAL];    /* of those that were kept first, */
    unsigned trial_count;           /* and how many */

    enum codec codec;                     /* of this record */
    const void *block[PAGES_BLOCK_PAGES]; /* pages of the block being filled */
    unsigned block_pages;
    uint32_t blocks;
    uint32_t table[PAGES_MAX_BLOCKS];
    uint64_t entries[PAGES_MAX_ENTRIES];     /* with ZERO and DELTA */
    const void *contents[PAGES_MAX_ENTRIES]; /* the guest's pages, or what is kept of them */
    uint32_t checks[PAGES_MAX_ENTRIES];      /* of DELTA entries, in order */
    uint32_t check_count;
    uint8_t front[PAGES_MAX_FRONT_BYTES];
    struct iovec iov[1 + PAGES_MAX_ENTRIES];
    int iov_count;
};

static bool allocate(struct page_encoder *enc, uint32_t codecs)
{
    if (enc->sent) {
        codecs |= CODEC_BIT(CODEC_LZ4);
        enc->diffs = aligned_alloc(PAGE_BYTES, PAGES_BLOCK_BYTES);
        if (!enc->diffs)
            return false;
    }
    if (!(codecs & ~CODEC_BIT(CODEC_NONE)))
        return true;
    enc->copy = aligned_alloc(PAGE_BYTES, PAGES_BLOCK_BYTES);
    enc->packed = aligned_alloc(PAGE_BYTES, (size_t)PAGES_MAX_BLOCKS * MAX_PACKED_BYTES);
    if (codecs & CODEC_BIT(CODEC_LZ4))
        enc->lz_state = malloc((size_t)LZ4_sizeofState()); /* aligned for anything */
    if (codecs & CODEC_BIT(CODEC_ZSTD))
        enc->zstd = ZSTD_createCCtx();
    return enc->copy && enc->packed && (!(codecs & CODEC_BIT(CODEC_LZ4)) || enc->lz_state) &&
           (!(codecs & CODEC_BIT(CODEC_ZSTD)) || enc->zstd);
}

int page_encoder_create(
    uint32_t codecs, struct sent_pages *sent, struct page_encoder **enc, struct err *e)
{
    struct page_encoder *n = calloc(1, sizeof(*n));

    if (n)
        n->sent = sent;
    if (!n || !allocate(n, codecs)) {
        page_encoder_destroy(n);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a lane's pages");
    }
    *enc = n;
    return 0;
}

void page_encoder_destroy(struct page_encoder *enc)
{
    if (!enc)
        return;
    free(enc->diffs);
    free(enc->copy);
    free(enc->packed);
    free(enc->lz_state);
    ZSTD_freeCCtx(enc->zstd);
    free(enc);
}

/* Is compressing worth a try? Memory that does not compress comes in runs. */
static bool should_try(struct page_encoder *enc)
{
    if (enc->codec == CODEC_NONE)
        return false;
    if (enc->misses < MISSES_BEFORE_SKIPPING)
        return true;

    const unsigned doublings = enc->misses - MISSES_BEFORE_SKIPPING;
    const unsigned skip = doublings < 6 ? (2u << doublings) - 1 : MOST_SKIPPED;

    if (enc->skipped++ < skip)
        return false;
    enc->skipped = 0;
    return true;
}

static void add_piece(struct page_encoder *enc, const void *at, size_t len_bytes)
{
    struct iovec *last = &enc->iov[enc->iov_count - 1];

    /* Pages mapped side by side are sent in one piece. */
    if ((const uint8_t *)last->iov_base + last->iov_len == at)
        last->iov_len += len_bytes;
    else
        enc->iov[enc->iov_count++] = (struct iovec){(void *)at, len_bytes};
}

/* Compress that into enc->packed. Its stored length; 0: it does not shrink enough. */
static uint32_t pack(struct page_encoder *enc, const uint8_t *from, size_t raw_bytes)
{
    const size_t room_bytes = raw_bytes - raw_bytes / MIN_SAVED_FRACTION;
    uint8_t *const out = enc->packed + enc->packed_bytes;
    size_t bytes;

    if (enc->codec == CODEC_ZSTD) {
        bytes = ZSTD_compressCCtx(enc->zstd, out, room_bytes, from, raw_bytes, ZSTD_LEVEL);
        if (ZSTD_isError(bytes))
            bytes = 0;
    } else {
        const int lz_bytes = LZ4_compress_fast_extState(
            enc->lz_state, (const char *)from, (char *)out, (int)raw_bytes, (int)room_bytes, 1);

        bytes = lz_bytes > 0 ? (size_t)lz_bytes : 0;
    }
    memset(out + bytes, 0, padded_bytes(bytes) - bytes);
    return (uint32_t)bytes;
}

static uint32_t pack_block(struct page_encoder *enc)
{
    for (unsigned i = 0; i < enc->block_pages; i++)
        memcpy(enc->copy + (size_t)i * PAGE_BYTES, enc->block[i], PAGE_BYTES);
    return pack(enc, enc->copy, (size_t)enc->block_pages * PAGE_BYTES);
}

static void add_packed(struct page_encoder *enc, enum codec codec, uint32_t packed_bytes)
{
    add_piece(enc, enc->packed + enc->packed_bytes, padded_bytes(packed_bytes));
    enc->packed_bytes += padded_bytes(packed_bytes);
    enc->table[enc->blocks++] = block_word_of(codec) | packed_bytes;
}

/* The block is full, or the last one: append it to the record. */
static void finish_block(struct page_encoder *enc)
{
    uint32_t packed_bytes = 0;

    if (should_try(enc)) {
        packed_bytes = pack_block(enc);
        enc->misses = packed_bytes ? 0 : enc->misses + 1;
    }
    if (packed_bytes) {
        add_packed(enc, enc->codec, packed_bytes);
    } else {
        for (unsigned i = 0; i < enc->block_pages; i++)
            add_piece(enc, enc->block[i], PAGE_BYTES);
        enc->table[enc->blocks++] = block_word_of(CODEC_NONE) | enc->block_pages * PAGE_BYTES;
    }
    enc->block_pages = 0;
}

static int check_caller(const uint64_t *entries, unsigned count, struct err *e)
{
    if (count < 1 || count > PAGES_MAX_ENTRIES)
        return err_set(e, ERR_INTERNAL, EINVAL, "%u entries for one PAGES record", count);
    for (unsigned i = 0; i < count; i++)
        if ((i && v3_entry_pfn(entries[i]) <= v3_entry_pfn(entries[i - 1])) ||
            (entries[i] & V3_ENTRY_RESERVED_MASK) || !v3_type_is_known(v3_entry_type(entries[i])))
            return err_set(e, ERR_INTERNAL, EINVAL, "entry %u (%#" PRIx64 ") for a PAGES record", i,
                entries[i]);
    return 0;
}

/* A page may change after this; it is sent as what it was classified as. */
static void find_zero_pages(struct page_encoder *enc, const uint64_t *entries,
    const void *const *pages, unsigned count, struct page_body *body)
{
    body->data_pages = body->zero_pages = 0;
    for (unsigned i = 0; i < count; i++) {
        enc->entries[i] = entries[i];
        enc->contents[i] = pages[i];
        if (i + PREFETCH_PAGES < count)
            __builtin_prefetch(pages[i + PREFETCH_PAGES]); /* NULL is harmless */
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        if (page_is_zero(pages[i])) {
            enc->entries[i] |= WIRE_ENTRY_ZERO;
            body->zero_pages++;
        } else {
            body->data_pages++;
        }
    }
}

/* ---- differences ---- */

void page_encoder_set_deltas(struct page_encoder *enc, const struct page_deltas *deltas)
{
    enc->deltas = *deltas;
}

static void judge_try(struct page_encoder *enc, bool success)
{
    enc->successes += success;
    if (++enc->tries < TRIES_KEPT)
        return;
    enc->tries /= 2;
    enc->successes /= 2;
}

enum page_deltas_known page_encoder_deltas(const struct page_encoder *enc)
{
    if (enc->tries < TRIES_TO_BELIEVE)
        return DELTAS_UNKNOWN;
    return enc->successes >= enc->tries / 2 ? DELTAS_WORK : DELTAS_FAIL;
}

unsigned page_encoder_trial(const struct page_encoder *enc, uint64_t pfns[PAGES_TRIAL])
{
    if (page_encoder_deltas(enc) != DELTAS_UNKNOWN)
        return 0;
    memcpy(pfns, enc->trial, enc->trial_count * sizeof(*pfns));
    return enc->trial_count;
}

void page_encoder_look_again(struct page_encoder *enc, uint64_t pfn, const void *page)
{
    const void *kept = sent_pages_find(enc->sent, pfn);
    const unsigned words = kept ? page_delta_words(kept, page) : 0;

    if (words)
        judge_try(enc, words <= enc->deltas.most_bytes / 8);
}

/* They fail, or are not worth it. */
static bool only_samples(const struct page_encoder *enc)
{
    const bool vain = enc->tries >= TRIES_TO_JUDGE && enc->successes < enc->tries / LEAST_SUCCESS;

    return vain || enc->deltas.sample;
}

double page_encoder_delta_share(const struct page_encoder *enc)
{
    if (page_encoder_deltas(enc) == DELTAS_UNKNOWN)
        return -1;
    return only_samples(enc) ? 0 : (double)enc->successes / enc->tries;
}

/* While they are only sampled, runs of pages take part that are always the same. */
static bool takes_part(const struct page_encoder *enc, uint64_t pfn)
{
    return !only_samples(enc) || pfn / PAGES_BLOCK_PAGES % SAMPLE_RUNS == 0;
}

/* The block of differences is full, or the last one. If it does not shrink, its pages go as they
 * are, from where they are kept. */
static void finish_diffs(struct page_encoder *enc)
{
    const enum codec codec = enc->codec == CODEC_ZSTD ? CODEC_ZSTD : CODEC_LZ4;
    const uint32_t packed_bytes = pack(enc, enc->diffs, (size_t)enc->diff_pages * PAGE_BYTES);

    if (packed_bytes)
        add_packed(enc, codec, packed_bytes);
    for (unsigned i = 0; i < enc->diff_pages && packed_bytes; i++) {
        enc->entries[enc->of[i]] |= WIRE_ENTRY_DELTA;
        enc->checks[enc->check_count++] = page_check_sum(enc->contents[enc->of[i]]);
    }
    enc->diff_pages = 0;
}

/* A page that was sent before: as a difference, if that is small. What is kept is what is sent. */
static void take_diff(struct page_encoder *enc, unsigned i, void *kept)
{
    uint8_t *diff = enc->diffs + (size_t)enc->diff_pages * PAGE_BYTES;
    const bool small = page_delta_take(
        kept, enc->contents[i], (uint64_t *)diff, enc->deltas.most_bytes / 8);

    judge_try(enc, small);
    enc->contents[i] = kept;
    if (!small)
        return;
    enc->of[enc->diff_pages++] = (uint16_t)i;
    if (enc->diff_pages == PAGES_BLOCK_PAGES)
        finish_diffs(enc);
}

static void take_plain_page(struct page_encoder *enc, unsigned i)
{
    const uint64_t pfn = v3_entry_pfn(enc->entries[i]);
    const struct page_deltas *d = &enc->deltas;
    const bool is_hot = !d->hot || bitmap_test_shared(d->hot, pfn);
    void *kept;

    if (!takes_part(enc, pfn)) {
        sent_pages_forget(enc->sent, pfn);
        return;
    }
    kept = sent_pages_find(enc->sent, pfn);
    if (kept) {
        take_diff(enc, i, kept);
        return;
    }
    kept = d->keep ? sent_pages_add(enc->sent, pfn, !is_hot) : NULL;
    if (!kept)
        return;
    enc->contents[i] = memcpy(kept, enc->contents[i], PAGE_BYTES);
    if (is_hot && enc->trial_count < PAGES_TRIAL)
        enc->trial[enc->trial_count++] = pfn;
}

/* Every page that is sent passes here: what is kept of it is what the receiver has. */
static void find_diffs(struct page_encoder *enc, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (v3_entry_type(enc->entries[i]) == V3_PAGE_NOTAB && !(enc->entries[i] & WIRE_ENTRY_ZERO))
            take_plain_page(enc, i);
        else
            sent_pages_forget(enc->sent, v3_entry_pfn(enc->entries[i]));
    if (enc->diff_pages)
        finish_diffs(enc);
}

/* ---- a record ---- */

static void find_blocks(struct page_encoder *enc, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!v3_type_has_data(v3_entry_type(enc->entries[i])) ||
            (enc->entries[i] & (WIRE_ENTRY_ZERO | WIRE_ENTRY_DELTA)))
            continue;
        enc->block[enc->block_pages++] = enc->contents[i];
        if (enc->block_pages == PAGES_BLOCK_PAGES)
            finish_block(enc);
    }
    if (enc->block_pages)
        finish_block(enc);
}

static void put_table(struct bytes_out *out, const uint32_t *table, uint32_t count)
{
    bytes_out_copy(out, table, count * sizeof(*table));
    if (count % 2)
        bytes_out_u32(out, 0);
}

static void put_front(struct page_encoder *enc, unsigned count)
{
    struct bytes_out out = bytes_out_init(enc->front, sizeof(enc->front));

    bytes_out_u32(&out, count);
    bytes_out_u32(&out, 0);
    bytes_out_copy(&out, enc->entries, count * sizeof(*enc->entries));
    put_table(&out, enc->checks, enc->check_count);
    put_table(&out, enc->table, enc->blocks);
    enc->iov[0].iov_len = out.len_bytes;
}

int page_encode(struct page_encoder *enc, enum codec codec, const uint64_t *entries,
    const void *const *pages, unsigned count, struct page_body *body, struct err *e)
{
    int64_t mark_ns = thread_cpu_ns();
    const int rc = check_caller(entries, count, e);

    if (rc)
        return rc;
    enc->codec = codec;
    find_zero_pages(enc, entries, pages, count, body);
    body->zero_scan_cpu_ns = lap_cpu_ns(&mark_ns);

    enc->iov[0] = (struct iovec){enc->front, 0};
    enc->iov_count = 1;
    enc->packed_bytes = 0;
    enc->blocks = enc->block_pages = 0;
    enc->check_count = enc->diff_pages = 0;
    if (enc->sent)
        find_diffs(enc, count);
    body->delta_pages = enc->check_count;
    body->delta_bytes = enc->packed_bytes;
    body->delta_cpu_ns = enc->sent ? lap_cpu_ns(&mark_ns) : 0;

    find_blocks(enc, count);
    put_front(enc, count);
    body->iov = enc->iov;
    body->iov_count = enc->iov_count;
    body->encode_cpu_ns = lap_cpu_ns(&mark_ns);
    return 0;
}
