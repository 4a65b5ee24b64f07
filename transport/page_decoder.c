/* SPDX-License-Identifier: MIT */
#include "transport/page_decoder.h"

#include "base/codec.h"
#include "transport/page_blocks.h"
#include "transport/page_delta.h"
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

enum { RAW_PIECE_PAGES = (1 << 20) / PAGE_BYTES }; /* received at once */

struct page_decoder {
    struct page_rules rules;
    uint8_t *packed;  /* a compressed block as it arrives */
    uint8_t *scratch; /* what it decodes to, if its pages do not lie side by side */
    ZSTD_DCtx *zstd;

    /* The record being received. */
    size_t left_bytes;             /* of its body */
    uint32_t blocks, delta_blocks; /* the latter come first */
    struct page_front front;
    uint64_t entries[PAGES_MAX_ENTRIES];
    uint32_t checks[PAGES_MAX_ENTRIES]; /* of the DELTA entries, in order */
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

    if (entry & V3_ENTRY_RESERVED_MASK & ~(WIRE_ENTRY_ZERO | (r->deltas ? WIRE_ENTRY_DELTA : 0)))
        return "reserved bits are set";
    if ((entry & WIRE_ENTRY_DELTA) && (type != V3_PAGE_NOTAB || (entry & WIRE_ENTRY_ZERO)))
        return "a difference to what is no plain page";
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

/* The pages of a group of that many, in its block of that number. */
static uint32_t pages_in_block(uint32_t group_pages, uint32_t block)
{
    const uint32_t left = group_pages - block * PAGES_BLOCK_PAGES;

    return left < PAGES_BLOCK_PAGES ? left : PAGES_BLOCK_PAGES;
}

static uint32_t block_pages(const struct page_decoder *dec, const struct page_front *f, uint32_t b)
{
    return b < dec->delta_blocks
               ? pages_in_block(f->delta_pages, b)
               : pages_in_block(f->data_pages - f->delta_pages, b - dec->delta_blocks);
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
        if (entry & WIRE_ENTRY_DELTA)
            f->delta_pages++;
    }
    return 0;
}

/* A difference may be stored by any codec, but not as it is. */
static bool may_store(const struct page_decoder *dec, uint32_t block, enum codec codec)
{
    return block < dec->delta_blocks ? codec != CODEC_NONE
                                     : codec == CODEC_NONE || dec->rules.codecs & CODEC_BIT(codec);
}

static int check_blocks(const struct page_decoder *dec, const struct page_front *f, struct err *e)
{
    size_t left_bytes = dec->left_bytes;

    for (uint32_t b = 0; b < dec->blocks; b++) {
        const uint32_t raw_bytes = block_pages(dec, f, b) * PAGE_BYTES;
        const uint32_t stored_bytes = dec->table[b] & BLOCK_LENGTH_MASK;
        const enum codec codec = block_codec_of(dec->table[b]);
        const bool raw = codec == CODEC_NONE;

        if (codec == CODECS)
            return bad_pages(dec, e, "block %" PRIu32 " is stored in a way that is not known", b);
        if (!may_store(dec, b, codec))
            return bad_pages(dec, e, "block %" PRIu32 " is stored in a way that was not agreed", b);
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

/* A table of so many u32, and one more if that is odd, which is zero. */
static int take_table(struct page_decoder *dec, struct channel *ch, uint32_t *table, uint32_t count,
    const char *what, struct err *e)
{
    const int rc = take(dec, ch, table, even(count) * sizeof(*table), what, e);

    if (rc)
        return rc;
    return count % 2 && table[count] ? bad_pages(dec, e, "padding after the %s is not zero", what)
                                     : 0;
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
    dec->delta_blocks = blocks_of(f.delta_pages);
    dec->blocks = dec->delta_blocks + blocks_of(f.data_pages - f.delta_pages);
    if (!rc)
        rc = take_table(dec, ch, dec->checks, f.delta_pages, "checks", e);
    if (!rc)
        rc = take_table(dec, ch, dec->table, dec->blocks, "block table", e);
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

/* A compressed block, decoded to out. */
static int recv_packed(struct page_decoder *dec, struct channel *ch, uint32_t block, uint8_t *out,
    size_t raw_bytes, struct err *e)
{
    const uint32_t stored_bytes = dec->table[block] & BLOCK_LENGTH_MASK;
    const int rc = take(dec, ch, dec->packed, padded_bytes(stored_bytes), "blocks", e);

    if (rc)
        return rc;
    for (uint32_t i = stored_bytes; i < padded_bytes(stored_bytes); i++)
        if (dec->packed[i])
            return bad_pages(dec, e, "padding after block %" PRIu32 " is not zero", block);
    if (!unpack(dec, block_codec_of(dec->table[block]), stored_bytes, out, raw_bytes))
        return bad_pages(
            dec, e, "block %" PRIu32 " does not decode to %zu bytes", block, raw_bytes);
    return 0;
}

static int recv_coded(struct page_decoder *dec, struct channel *ch, uint32_t block,
    uint8_t *const *pages, uint32_t count, struct err *e)
{
    uint8_t *const out = side_by_side(pages, count) ? pages[0] : dec->scratch;
    const int rc = recv_packed(dec, ch, block, out, (size_t)count * PAGE_BYTES, e);

    for (uint32_t i = 0; !rc && out == dec->scratch && i < count; i++)
        memcpy(pages[i], out + (size_t)i * PAGE_BYTES, PAGE_BYTES);
    return rc;
}

static bool is_dropped(const struct page_rules *rules, const uint8_t *page)
{
    return rules->dropped && page >= rules->dropped && page < rules->dropped + rules->dropped_bytes;
}

/* The pages have the versions before. checks: what they have to be afterwards. */
static int recv_deltas(struct page_decoder *dec, struct channel *ch, uint32_t block,
    uint8_t *const *pages, const uint32_t *checks, uint32_t count, struct err *e)
{
    const int rc = recv_packed(dec, ch, block, dec->scratch, (size_t)count * PAGE_BYTES, e);

    for (uint32_t i = 0; !rc && i < count; i++) {
        if (is_dropped(&dec->rules, pages[i]))
            continue;
        page_delta_apply(pages[i], dec->scratch + (size_t)i * PAGE_BYTES);
        if (page_check_sum(pages[i]) != checks[i])
            return bad_pages(dec, e,
                "difference %" PRIu32 " of block %" PRIu32 " is to another page than is here", i,
                block);
    }
    return rc;
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

/* Where the pages go that come in blocks, in order. */
struct block_pages {
    uint32_t deltas, others; /* so far */
    uint8_t *delta[PAGES_MAX_ENTRIES], *other[PAGES_MAX_ENTRIES];
};

/* Clear the zero pages and collect the others. */
static void place_pages(const struct page_front *f, void *const *into, struct block_pages *p)
{
    p->deltas = p->others = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->entries[i] & WIRE_ENTRY_ZERO)
            page_clear(into[i]);
        else if (f->entries[i] & WIRE_ENTRY_DELTA)
            p->delta[p->deltas++] = into[i];
        else if (v3_type_has_data(v3_entry_type(f->entries[i])))
            p->other[p->others++] = into[i];
    page_clear_done();
}

/* The blocks from first on, of pages as they are. */
static int recv_others(struct page_decoder *dec, struct channel *ch, uint32_t first,
    uint8_t *const *pages, struct err *e)
{
    uint32_t done = 0;
    int rc = 0;

    for (uint32_t b = first; b < dec->blocks && !rc;) {
        uint32_t count = block_pages(dec, &dec->front, b);

        if (block_codec_of(dec->table[b]) != CODEC_NONE) {
            rc = recv_coded(dec, ch, b++, pages + done, count, e);
        } else { /* and all raw ones that follow */
            while (++b < dec->blocks && block_codec_of(dec->table[b]) == CODEC_NONE)
                count += block_pages(dec, &dec->front, b);
            rc = recv_raw(dec, ch, pages + done, count, e);
        }
        done += count;
    }
    return rc;
}

int page_recv_contents(
    struct page_decoder *dec, struct channel *ch, void *const *into, struct err *e)
{
    struct block_pages p;
    int rc = 0;

    place_pages(&dec->front, into, &p);
    for (uint32_t b = 0; b < dec->delta_blocks && !rc; b++) {
        const uint32_t done = b * PAGES_BLOCK_PAGES;

        rc = recv_deltas(
            dec, ch, b, p.delta + done, dec->checks + done, block_pages(dec, &dec->front, b), e);
    }
    if (!rc)
        rc = recv_others(dec, ch, dec->delta_blocks, p.other, e);
    return rc ? rc : record_recv_end(ch, RECORD_PAGES, e);
}
