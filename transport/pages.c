/* SPDX-License-Identifier: MIT */
#include "transport/pages.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "transport/v3.h"
#include "transport/zero_page.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    BLOCK_CODEC_SHIFT = 30,
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
    RAW_PIECE_PAGES = (1 << 20) / PAGE_BYTES, /* received at once */
    MAX_PACKED_BYTES = PAGES_BLOCK_BYTES - PAGES_BLOCK_BYTES / MIN_SAVED_FRACTION,
};

#define BLOCK_LENGTH_MASK ((1u << BLOCK_CODEC_SHIFT) - 1)

/* Indexed by enum codec: what the block table calls it. */
static const uint32_t block_words[] = {
    [CODEC_NONE] = 2u << BLOCK_CODEC_SHIFT,
    [CODEC_LZ4] = 0,
    [CODEC_ZSTD] = 1u << BLOCK_CODEC_SHIFT,
};

_Static_assert(MAX_PACKED_BYTES % 8 == 0, "padding needs no room of its own");
_Static_assert(1 + PAGES_MAX_ENTRIES <= (int)RECORD_MAX_PARTS, "every page may be a part");
_Static_assert(PAGES_MAX_BLOCKS % 2 == 0, "the block table ends on eight bytes");

/* ---- common ---- */

static uint32_t count_blocks(uint32_t byte_pages)
{
    return (byte_pages + PAGES_BLOCK_PAGES - 1) / PAGES_BLOCK_PAGES;
}

/* Header, entries and the block table with its padding. */
static size_t front_bytes(uint32_t count, uint32_t blocks)
{
    return 8 + 8 * (size_t)count + 4 * (size_t)(blocks + blocks % 2);
}

static size_t padded_bytes(size_t len_bytes)
{
    return (len_bytes + 7) & ~(size_t)7;
}

/* ---- sending ---- */

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

    enum codec codec;                     /* of this record */
    const void *block[PAGES_BLOCK_PAGES]; /* pages of the block being filled */
    unsigned block_pages;
    uint32_t blocks;
    uint32_t table[PAGES_MAX_BLOCKS];
    uint64_t entries[PAGES_MAX_ENTRIES]; /* with ZERO set on zero pages */
    uint8_t front[PAGES_MAX_FRONT_BYTES];
    struct iovec iov[1 + PAGES_MAX_ENTRIES];
    int iov_count;
};

static bool allocate_codecs(struct page_encoder *enc, uint32_t codecs)
{
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

int page_encoder_create(uint32_t codecs, struct page_encoder **enc, struct err *e)
{
    struct page_encoder *n = calloc(1, sizeof(*n));

    if (!n || !allocate_codecs(n, codecs)) {
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

/* Compress the block into enc->packed. Its stored length; 0: it does not shrink enough. */
static uint32_t pack_block(struct page_encoder *enc)
{
    const size_t raw_bytes = (size_t)enc->block_pages * PAGE_BYTES;
    const size_t room_bytes = raw_bytes - raw_bytes / MIN_SAVED_FRACTION;
    uint8_t *const out = enc->packed + enc->packed_bytes;
    size_t bytes;

    for (unsigned i = 0; i < enc->block_pages; i++)
        memcpy(enc->copy + (size_t)i * PAGE_BYTES, enc->block[i], PAGE_BYTES);
    if (enc->codec == CODEC_ZSTD) {
        bytes = ZSTD_compressCCtx(enc->zstd, out, room_bytes, enc->copy, raw_bytes, ZSTD_LEVEL);
        if (ZSTD_isError(bytes))
            bytes = 0;
    } else {
        const int lz_bytes = LZ4_compress_fast_extState(
            enc->lz_state, (char *)enc->copy, (char *)out, (int)raw_bytes, (int)room_bytes, 1);

        bytes = lz_bytes > 0 ? (size_t)lz_bytes : 0;
    }
    memset(out + bytes, 0, padded_bytes(bytes) - bytes);
    return (uint32_t)bytes;
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
        add_piece(enc, enc->packed + enc->packed_bytes, padded_bytes(packed_bytes));
        enc->packed_bytes += padded_bytes(packed_bytes);
        enc->table[enc->blocks++] = block_words[enc->codec] | packed_bytes;
    } else {
        for (unsigned i = 0; i < enc->block_pages; i++)
            add_piece(enc, enc->block[i], PAGE_BYTES);
        enc->table[enc->blocks++] = block_words[CODEC_NONE] | enc->block_pages * PAGE_BYTES;
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
    for (unsigned i = 0; i < count; i++) {
        if (!v3_type_has_data(v3_entry_type(entries[i])) || (enc->entries[i] & WIRE_ENTRY_ZERO))
            continue;
        enc->block[enc->block_pages++] = pages[i];
        if (enc->block_pages == PAGES_BLOCK_PAGES)
            finish_block(enc);
    }
    if (enc->block_pages)
        finish_block(enc);

    struct bytes_out out = bytes_out_init(enc->front, sizeof(enc->front));

    bytes_out_u32(&out, count);
    bytes_out_u32(&out, 0);
    bytes_out_copy(&out, enc->entries, count * sizeof(*enc->entries));
    bytes_out_copy(&out, enc->table, enc->blocks * sizeof(*enc->table));
    if (enc->blocks % 2)
        bytes_out_u32(&out, 0);
    enc->iov[0].iov_len = front_bytes(count, enc->blocks);
    body->iov = enc->iov;
    body->iov_count = enc->iov_count;
    body->encode_cpu_ns = lap_cpu_ns(&mark_ns);
    return 0;
}

/* ---- receiving ---- */

struct page_decoder {
    struct page_rules rules;
    uint8_t *packed;  /* a compressed block as it arrives */
    uint8_t *scratch; /* what it decodes to, if its pages do not lie side by side */
    ZSTD_DCtx *zstd;

    /* The record being received. */
    size_t left_bytes; /* of its body */
    uint32_t blocks;
    struct page_front front;
    uint64_t entries[PAGES_MAX_ENTRIES];
    uint32_t table[PAGES_MAX_BLOCKS];
};

int page_decoder_create(const struct page_rules *rules, struct page_decoder **dec, struct err *e)
{
    struct page_decoder *n = calloc(1, sizeof(*n));

    if (n) {
        n->rules = *rules;
        n->packed = aligned_alloc(PAGE_BYTES, PAGES_BLOCK_BYTES);
        n->scratch = aligned_alloc(PAGE_BYTES, PAGES_BLOCK_BYTES);
        n->zstd = ZSTD_createDCtx();
    }
    if (!n || !n->packed || !n->scratch || !n->zstd) {
        page_decoder_destroy(n);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a lane's pages");
    }
    *dec = n;
    return 0;
}

void page_decoder_destroy(struct page_decoder *dec)
{
    if (!dec)
        return;
    free(dec->packed);
    free(dec->scratch);
    ZSTD_freeDCtx(dec->zstd);
    free(dec);
}

static int bad_pages(const struct page_decoder *dec, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int bad_pages(const struct page_decoder *dec, struct err *e, const char *fmt, ...)
{
    char what[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return err_set(e, ERR_PEER, EPROTO, "lane %u: bad PAGES record: %s", dec->rules.lane, what);
}

/* What is wrong with the entry, or NULL. */
static const char *judge_entry(const struct page_rules *r, uint64_t entry)
{
    const unsigned type = v3_entry_type(entry);
    const uint64_t pfn = v3_entry_pfn(entry);

    if (entry & V3_ENTRY_RESERVED_MASK & ~WIRE_ENTRY_ZERO)
        return "reserved bits are set";
    if (!v3_type_is_known(type))
        return "a type that is not known";
    if ((entry & WIRE_ENTRY_ZERO) && !v3_type_has_data(type))
        return "zeros in a page without content";
    if (pfn >= r->frame_count)
        return "beyond the guest's last frame";
    return NULL;
}

/* The next bytes of the body. what: the part that is cut short if there are too few. */
static int take_parts(struct page_decoder *dec, struct channel *ch, struct iovec *iov, int count,
    size_t len_bytes, const char *what, struct err *e)
{
    if (len_bytes > dec->left_bytes)
        return bad_pages(dec, e, "cut short in its %s", what);
    dec->left_bytes -= len_bytes;
    return record_recv_parts(ch, RECORD_PAGES, iov, count, e);
}

static int take(struct page_decoder *dec, struct channel *ch, void *into, size_t len_bytes,
    const char *what, struct err *e)
{
    struct iovec iov = {into, len_bytes};

    return take_parts(dec, ch, &iov, 1, len_bytes, what, e);
}

static uint32_t pages_in_block(uint32_t byte_pages, uint32_t block)
{
    const uint32_t left = byte_pages - block * PAGES_BLOCK_PAGES;

    return left < PAGES_BLOCK_PAGES ? left : PAGES_BLOCK_PAGES;
}

static int check_entries(const struct page_decoder *dec, struct page_front *f, struct err *e)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const uint64_t entry = f->entries[i];
        const char *wrong = judge_entry(&dec->rules, entry);

        if (!wrong && i && v3_entry_pfn(entry) <= v3_entry_pfn(f->entries[i - 1]))
            wrong = "not in ascending order";
        if (wrong)
            return bad_pages(dec, e, "entry %" PRIu32 " (%#" PRIx64 "): %s", i, entry, wrong);
        if (entry & WIRE_ENTRY_ZERO)
            f->zero_pages++;
        else
            f->data_pages += v3_type_has_data(v3_entry_type(entry));
    }
    return 0;
}

/* CODECS: the word names none. */
static enum codec codec_of(uint32_t word)
{
    enum codec codec = 0;

    while (codec < CODECS && block_words[codec] != (word & ~BLOCK_LENGTH_MASK))
        codec++;
    return codec;
}

static int check_blocks(const struct page_decoder *dec, const struct page_front *f, struct err *e)
{
    size_t left_bytes = dec->left_bytes;

    for (uint32_t b = 0; b < dec->blocks; b++) {
        const uint32_t raw_bytes = pages_in_block(f->data_pages, b) * PAGE_BYTES;
        const uint32_t stored_bytes = dec->table[b] & BLOCK_LENGTH_MASK;
        const enum codec codec = codec_of(dec->table[b]);
        const bool raw = codec == CODEC_NONE;

        if (codec == CODECS)
            return bad_pages(dec, e, "block %" PRIu32 " is stored in a way that is not known", b);
        if (!raw && !(dec->rules.codecs & CODEC_BIT(codec)))
            return bad_pages(
                dec, e, "block %" PRIu32 " is compressed in a way that was not agreed", b);
        if (raw ? stored_bytes != raw_bytes : stored_bytes == 0 || stored_bytes >= raw_bytes)
            return bad_pages(dec, e,
                "block %" PRIu32 " of %" PRIu32 " bytes is stored in %" PRIu32 "%s", b, raw_bytes,
                stored_bytes, raw ? " raw" : "");
        if (padded_bytes(stored_bytes) > left_bytes)
            return bad_pages(dec, e, "cut short in block %" PRIu32, b);
        left_bytes -= padded_bytes(stored_bytes);
    }
    return left_bytes ? bad_pages(dec, e, "%zu bytes after the last block", left_bytes) : 0;
}

int page_recv_front(struct page_decoder *dec, struct channel *ch, size_t len_bytes,
    struct page_front *front, struct err *e)
{
    struct page_front f = {.entries = dec->entries};
    uint32_t words[2];

    dec->left_bytes = len_bytes;

    int rc = take(dec, ch, words, sizeof(words), "header", e);

    if (rc)
        return rc;
    f.count = words[0];
    if (words[1])
        return bad_pages(dec, e, "reserved bits are set");
    if (f.count < 1 || f.count > PAGES_MAX_ENTRIES)
        return bad_pages(dec, e, "it counts %" PRIu32 " pages", f.count);
    rc = take(dec, ch, dec->entries, f.count * sizeof(*dec->entries), "entries", e);
    if (!rc)
        rc = check_entries(dec, &f, e);
    if (rc)
        return rc;

    const uint32_t blocks = count_blocks(f.data_pages);

    dec->blocks = blocks;
    rc = take(dec, ch, dec->table, (blocks + blocks % 2) * sizeof(*dec->table), "block table", e);
    if (!rc && blocks % 2 && dec->table[blocks])
        return bad_pages(dec, e, "padding after the block table is not zero");
    if (!rc)
        rc = check_blocks(dec, &f, e);
    if (rc)
        return rc;
    dec->front = *front = f;
    return 0;
}

static bool side_by_side(uint8_t *const *pages, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (pages[i] != pages[i - 1] + PAGE_BYTES)
            return false;
    return true;
}

/* Decode dec->packed to raw_bytes at out; false if it is not exactly that many. */
static bool unpack(struct page_decoder *dec, enum codec codec, uint32_t stored_bytes, uint8_t *out,
    size_t raw_bytes)
{
    if (codec == CODEC_LZ4)
        return LZ4_decompress_safe((const char *)dec->packed, (char *)out, (int)stored_bytes,
                   (int)raw_bytes) == (int)raw_bytes;
    /* Exactly one frame: several would decode, too. */
    return ZSTD_findFrameCompressedSize(dec->packed, stored_bytes) == stored_bytes &&
           ZSTD_decompressDCtx(dec->zstd, out, raw_bytes, dec->packed, stored_bytes) == raw_bytes;
}

static int recv_packed(struct page_decoder *dec, struct channel *ch, uint32_t block,
    uint8_t *const *pages, uint32_t count, struct err *e)
{
    const uint32_t stored_bytes = dec->table[block] & BLOCK_LENGTH_MASK;
    const size_t raw_bytes = (size_t)count * PAGE_BYTES;
    uint8_t *const out = side_by_side(pages, count) ? pages[0] : dec->scratch;
    const int rc = take(dec, ch, dec->packed, padded_bytes(stored_bytes), "blocks", e);

    if (rc)
        return rc;
    for (uint32_t i = stored_bytes; i < padded_bytes(stored_bytes); i++)
        if (dec->packed[i])
            return bad_pages(dec, e, "padding after block %" PRIu32 " is not zero", block);
    if (!unpack(dec, codec_of(dec->table[block]), stored_bytes, out, raw_bytes))
        return bad_pages(
            dec, e, "block %" PRIu32 " does not decode to %zu bytes", block, raw_bytes);
    for (uint32_t i = 0; out == dec->scratch && i < count; i++)
        memcpy(pages[i], out + (size_t)i * PAGE_BYTES, PAGE_BYTES);
    return 0;
}

/* Raw pages, in pieces that may take stall_ns each. */
static int recv_raw(struct page_decoder *dec, struct channel *ch, uint8_t *const *pages,
    uint32_t count, struct err *e)
{
    int rc = 0;

    for (uint32_t i = 0, n; i < count && !rc; i += n) {
        struct iovec iov[RAW_PIECE_PAGES];
        int parts = 0;

        for (n = 0; n < RAW_PIECE_PAGES && i + n < count; n++)
            if (n && pages[i + n] == pages[i + n - 1] + PAGE_BYTES)
                iov[parts - 1].iov_len += PAGE_BYTES;
            else
                iov[parts++] = (struct iovec){pages[i + n], PAGE_BYTES};
        rc = take_parts(dec, ch, iov, parts, (size_t)n * PAGE_BYTES, "blocks", e);
    }
    return rc;
}

/* Clear the zero pages; collect in pages, in order, where the others go. */
static void place_pages(const struct page_front *f, void *const *into, uint8_t **pages)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->entries[i] & WIRE_ENTRY_ZERO)
            page_clear(into[i]);
        else if (v3_type_has_data(v3_entry_type(f->entries[i])))
            *pages++ = into[i];
    page_clear_done();
}

int page_recv_contents(
    struct page_decoder *dec, struct channel *ch, void *const *into, struct err *e)
{
    uint8_t *pages[PAGES_MAX_ENTRIES];
    uint32_t done = 0;
    int rc = 0;

    place_pages(&dec->front, into, pages);
    for (uint32_t b = 0; b < dec->blocks && !rc;) {
        uint32_t count = pages_in_block(dec->front.data_pages, b);

        if (codec_of(dec->table[b]) != CODEC_NONE) {
            rc = recv_packed(dec, ch, b++, pages + done, count, e);
        } else { /* and all raw ones that follow */
            while (++b < dec->blocks && codec_of(dec->table[b]) == CODEC_NONE)
                count += pages_in_block(dec->front.data_pages, b);
            rc = recv_raw(dec, ch, pages + done, count, e);
        }
        done += count;
    }
    return rc ? rc : record_recv_end(ch, RECORD_PAGES, e);
}
