#include "transport/pages.h"

#include "base/bytes.h"
#include "transport/v3.h"

#include <errno.h>
#include <immintrin.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BLOCK_RAW_BIT = 31,
    /* Where the front ends and the payload begins in an encoder's buffer: page aligned. */
    FRONT_ROOM_BYTES = 2 * PAGE_BYTES,
    /* LZ4 must save at least a sixteenth, or the receiver's work is not worth it. */
    MIN_SAVED_FRACTION = 16,
    /* After that many blocks in a row that LZ4 could not shrink, only each eighth is tried. */
    MISSES_BEFORE_SKIPPING = 4,
    TRY_EACH = 8,
};

#define BLOCK_RAW (1u << BLOCK_RAW_BIT)

_Static_assert((int)PAGES_MAX_FRONT_BYTES <= (int)FRONT_ROOM_BYTES, "the front fits its room");
_Static_assert(PAGES_MAX_BLOCKS % 2 == 0, "the block table ends on eight bytes");

static const _Alignas(64) uint8_t zero_page[PAGE_BYTES];

/* ---- zero pages ---- */

__attribute__((target("avx2"))) static bool is_zero_avx2(const void *page)
{
    const __m256i *p = page;

    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 8) {
        const __m256i a = _mm256_or_si256(_mm256_loadu_si256(p + i), _mm256_loadu_si256(p + i + 1));
        const __m256i b = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 2), _mm256_loadu_si256(p + i + 3));
        const __m256i c = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 4), _mm256_loadu_si256(p + i + 5));
        const __m256i d = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 6), _mm256_loadu_si256(p + i + 7));
        const __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));

        if (!_mm256_testz_si256(all, all))
            return false;
    }
    return true;
}

static bool is_zero_sse2(const void *page)
{
    const __m128i *p = page;

    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 8) {
        const __m128i a = _mm_or_si128(_mm_loadu_si128(p + i), _mm_loadu_si128(p + i + 1));
        const __m128i b = _mm_or_si128(_mm_loadu_si128(p + i + 2), _mm_loadu_si128(p + i + 3));
        const __m128i c = _mm_or_si128(_mm_loadu_si128(p + i + 4), _mm_loadu_si128(p + i + 5));
        const __m128i d = _mm_or_si128(_mm_loadu_si128(p + i + 6), _mm_loadu_si128(p + i + 7));
        const __m128i all = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));

        if (_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128())) != 0xffff)
            return false;
    }
    return true;
}

bool page_is_zero(const void *page)
{
    const uint8_t *p = page;

    /* Pages in use mostly show it at their ends or in the middle. */
    if (get_le64(p) | get_le64(p + PAGE_BYTES / 2) | get_le64(p + PAGE_BYTES - 8))
        return false;
    return __builtin_cpu_supports("avx2") ? is_zero_avx2(page) : is_zero_sse2(page);
}

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
 * Every page with bytes is copied to where it would go if its block were stored raw, and LZ4 works
 * on that copy. It must not work on the guest's page itself: LZ4 describes a repeated string by
 * where it stood before. If the guest changed that place after LZ4 had emitted it, but before a
 * later page was found to repeat it, the receiver would rebuild that later page from the older
 * bytes; and as nobody had written to it, nobody would ever send it again.
 * A raw block costs this one copy; a compressed one a second copy of what is left of it.
 */
struct page_encoder {
    bool compress;
    unsigned misses;   /* blocks in a row that did not shrink */
    unsigned skipped;  /* since the last try */
    uint8_t *buf;      /* FRONT_ROOM_BYTES, then room for all pages raw */
    uint8_t *lz;       /* one block, compressed */
    void *lz_state;    /* LZ4's tables */
    uint64_t *entries; /* with ZERO where it is so */
    uint32_t table[PAGES_MAX_BLOCKS];
};

int page_encoder_create(bool compress, struct page_encoder **enc, struct err *e)
{
    struct page_encoder *n = calloc(1, sizeof(*n));

    if (n) {
        n->compress = compress;
        n->buf = aligned_alloc(PAGE_BYTES, FRONT_ROOM_BYTES + PAGES_MAX_ENTRIES * PAGE_BYTES);
        n->lz = aligned_alloc(PAGE_BYTES, PAGES_BLOCK_BYTES);
        n->lz_state = malloc((size_t)LZ4_sizeofState()); /* aligned for anything */
        n->entries = calloc(PAGES_MAX_ENTRIES, sizeof(*n->entries));
    }
    if (!n || !n->buf || !n->lz || !n->lz_state || !n->entries) {
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
    free(enc->buf);
    free(enc->lz);
    free(enc->lz_state);
    free(enc->entries);
    free(enc);
}

/* Is it worth trying? Memory that does not compress comes in runs. */
static bool should_try(struct page_encoder *enc)
{
    if (!enc->compress)
        return false;
    if (enc->misses < MISSES_BEFORE_SKIPPING || ++enc->skipped >= TRY_EACH) {
        enc->skipped = 0;
        return true;
    }
    return false;
}

/* The pages of a block stand raw at block. Make it what is sent; returns its entry in the table. */
static uint32_t finish_block(struct page_encoder *enc, uint8_t *block, uint32_t raw_bytes)
{
    if (should_try(enc)) {
        const int room_bytes = (int)(raw_bytes - raw_bytes / MIN_SAVED_FRACTION);
        const int lz_bytes = LZ4_compress_fast_extState(
            enc->lz_state, (char *)block, (char *)enc->lz, (int)raw_bytes, room_bytes, 1);

        if (lz_bytes > 0) {
            enc->misses = 0;
            memcpy(block, enc->lz, (size_t)lz_bytes);
            memset(block + lz_bytes, 0, padded_bytes((size_t)lz_bytes) - (size_t)lz_bytes);
            return (uint32_t)lz_bytes;
        }
        enc->misses++;
    }
    return BLOCK_RAW | raw_bytes;
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

int page_encode(struct page_encoder *enc, const uint64_t *entries, const void *const *pages,
    unsigned count, struct page_body *body, struct err *e)
{
    uint8_t *const payload = enc->buf + FRONT_ROOM_BYTES;
    size_t payload_bytes = 0;
    uint32_t blocks = 0, block_bytes = 0;
    const int rc = check_caller(entries, count, e);

    if (rc)
        return rc;

    body->data_pages = body->zero_pages = 0;
    for (unsigned i = 0; i < count; i++) {
        enc->entries[i] = entries[i];
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        if (page_is_zero(pages[i])) {
            enc->entries[i] |= WIRE_ENTRY_ZERO;
            body->zero_pages++;
            continue;
        }
        memcpy(payload + payload_bytes + block_bytes, pages[i], PAGE_BYTES);
        body->data_pages++;
        block_bytes += PAGE_BYTES;
        if (block_bytes == PAGES_BLOCK_BYTES) {
            enc->table[blocks] = finish_block(enc, payload + payload_bytes, block_bytes);
            payload_bytes += padded_bytes(enc->table[blocks++] & ~BLOCK_RAW);
            block_bytes = 0;
        }
    }
    if (block_bytes) {
        enc->table[blocks] = finish_block(enc, payload + payload_bytes, block_bytes);
        payload_bytes += padded_bytes(enc->table[blocks++] & ~BLOCK_RAW);
    }

    /* The front ends where the payload begins, so that the body is one run of bytes. */
    const size_t front = front_bytes(count, blocks);
    struct bytes_out out = bytes_out_init(payload - front, front);

    bytes_out_u32(&out, count);
    bytes_out_u32(&out, 0);
    bytes_out_copy(&out, enc->entries, count * sizeof(*enc->entries));
    bytes_out_copy(&out, enc->table, blocks * sizeof(*enc->table));
    if (blocks % 2)
        bytes_out_u32(&out, 0);
    body->iov = (struct iovec){out.buf, front + payload_bytes};
    return 0;
}

/* ---- receiving ---- */

struct page_decoder {
    struct page_rules rules;
    uint8_t *body;
    uint8_t *scratch; /* what LZ4 blocks decode to: room for all pages */
    const void *pages[PAGES_MAX_ENTRIES];
};

int page_decoder_create(const struct page_rules *rules, struct page_decoder **dec, struct err *e)
{
    struct page_decoder *n = calloc(1, sizeof(*n));

    if (n) {
        n->rules = *rules;
        n->body = aligned_alloc(PAGE_BYTES, FRONT_ROOM_BYTES + PAGES_MAX_ENTRIES * PAGE_BYTES);
        n->scratch = aligned_alloc(PAGE_BYTES, PAGES_MAX_ENTRIES * PAGE_BYTES);
    }
    if (!n || !n->body || !n->scratch) {
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
    free(dec->body);
    free(dec->scratch);
    free(dec);
}

void *page_decoder_body(struct page_decoder *dec)
{
    return dec->body;
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
    if (pfn / WIRE_EXTENT_FRAMES % r->lane_count != r->lane)
        return "a frame of another lane";
    return NULL;
}

static bool all_zero(const uint8_t *bytes, size_t len_bytes)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len_bytes; i++)
        any |= bytes[i];
    return any == 0;
}

/* A record whose arithmetic is right: where its parts are, and nothing about the blocks' content.
 */
struct layout {
    uint32_t count;
    uint32_t blocks;
    uint32_t byte_pages, zero_pages;
    const uint64_t *entries;
    const uint32_t *table;
    const uint8_t *payload;
};

static uint32_t block_pages(const struct layout *l, uint32_t block)
{
    const uint32_t left = l->byte_pages - block * PAGES_BLOCK_PAGES;

    return left < PAGES_BLOCK_PAGES ? left : PAGES_BLOCK_PAGES;
}

static int check_entries(const struct page_decoder *dec, struct layout *l, struct err *e)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const uint64_t entry = l->entries[i];
        const char *wrong = judge_entry(&dec->rules, entry);

        if (!wrong && i && v3_entry_pfn(entry) <= v3_entry_pfn(l->entries[i - 1]))
            wrong = "not in ascending order";
        if (wrong)
            return bad_pages(dec, e, "entry %" PRIu32 " (%#" PRIx64 "): %s", i, entry, wrong);
        if (entry & WIRE_ENTRY_ZERO)
            l->zero_pages++;
        else
            l->byte_pages += v3_type_has_data(v3_entry_type(entry));
    }
    return 0;
}

static int check_blocks(
    const struct page_decoder *dec, const struct layout *l, struct bytes_in *in, struct err *e)
{
    for (uint32_t b = 0; b < l->blocks; b++) {
        const uint32_t raw_bytes = block_pages(l, b) * PAGE_BYTES;
        const uint32_t stored_bytes = l->table[b] & ~BLOCK_RAW;
        const bool raw = l->table[b] & BLOCK_RAW;

        if (!raw && !dec->rules.compress)
            return bad_pages(dec, e, "block %" PRIu32 " is compressed, which was not agreed", b);
        if (raw ? stored_bytes != raw_bytes : stored_bytes == 0 || stored_bytes >= raw_bytes)
            return bad_pages(dec, e,
                "block %" PRIu32 " of %" PRIu32 " bytes is stored in %" PRIu32 "%s", b, raw_bytes,
                stored_bytes, raw ? " raw" : "");

        const uint8_t *stored = bytes_in_take(in, padded_bytes(stored_bytes));

        if (!stored)
            return bad_pages(dec, e, "cut short in block %" PRIu32, b);
        if (!all_zero(stored + stored_bytes, padded_bytes(stored_bytes) - stored_bytes))
            return bad_pages(dec, e, "padding after block %" PRIu32 " is not zero", b);
    }
    if (!bytes_in_done(in))
        return bad_pages(dec, e, "%zu bytes after the last block", bytes_in_left(in));
    return 0;
}

static int check_layout(
    const struct page_decoder *dec, size_t len_bytes, struct layout *l, struct err *e)
{
    struct bytes_in in = bytes_in_init(dec->body, len_bytes);
    l->count = bytes_in_u32(&in);

    const uint32_t reserved = bytes_in_u32(&in);

    if (in.underflow)
        return bad_pages(dec, e, "it has %zu bytes", len_bytes);
    if (reserved)
        return bad_pages(dec, e, "reserved bits are set");
    if (l->count < 1 || l->count > PAGES_MAX_ENTRIES)
        return bad_pages(dec, e, "it counts %" PRIu32 " pages", l->count);
    l->entries = bytes_in_take(&in, l->count * sizeof(*l->entries));
    if (!l->entries)
        return bad_pages(dec, e, "cut short in its entries");

    const int rc = check_entries(dec, l, e);

    if (rc)
        return rc;
    l->blocks = count_blocks(l->byte_pages);
    l->table = bytes_in_take(&in, l->blocks * sizeof(*l->table));
    if (l->blocks % 2 && bytes_in_u32(&in) != 0)
        return bad_pages(dec, e, "padding after the block table is not zero");
    if (in.underflow)
        return bad_pages(dec, e, "cut short in its block table");
    l->payload = dec->body + in.pos_bytes;
    return check_blocks(dec, l, &in, e);
}

/* Fill at[] with where each page with bytes is, in order. */
static int decode_blocks(
    struct page_decoder *dec, const struct layout *l, const uint8_t **at, struct err *e)
{
    const uint8_t *stored = l->payload;
    uint8_t *scratch = dec->scratch;

    for (uint32_t b = 0; b < l->blocks; b++) {
        const uint32_t pages = block_pages(l, b);
        const uint32_t stored_bytes = l->table[b] & ~BLOCK_RAW;
        const uint8_t *content = stored;

        if (!(l->table[b] & BLOCK_RAW)) {
            const int raw_bytes = (int)(pages * PAGE_BYTES);
            const int got_bytes = LZ4_decompress_safe(
                (const char *)stored, (char *)scratch, (int)stored_bytes, raw_bytes);

            if (got_bytes != raw_bytes)
                return bad_pages(
                    dec, e, "block %" PRIu32 " does not decode to %d bytes", b, raw_bytes);
            content = scratch;
            scratch += raw_bytes;
        }
        for (uint32_t p = 0; p < pages; p++)
            *at++ = content + (size_t)p * PAGE_BYTES;
        stored += padded_bytes(stored_bytes);
    }
    return 0;
}

int page_decode(struct page_decoder *dec, size_t len_bytes, struct page_batch *batch, struct err *e)
{
    const uint8_t *at[PAGES_MAX_ENTRIES];
    struct layout l = {0};
    int rc = check_layout(dec, len_bytes, &l, e);

    if (!rc)
        rc = decode_blocks(dec, &l, at, e);
    if (rc)
        return rc;

    const uint8_t **next = at;

    for (uint32_t i = 0; i < l.count; i++) {
        if (l.entries[i] & WIRE_ENTRY_ZERO)
            dec->pages[i] = zero_page;
        else
            dec->pages[i] = v3_type_has_data(v3_entry_type(l.entries[i])) ? *next++ : NULL;
    }
    *batch = (struct page_batch){
        .count = l.count,
        .entries = l.entries,
        .pages = dec->pages,
        .data_pages = l.byte_pages,
        .zero_pages = l.zero_pages,
    };
    return 0;
}
