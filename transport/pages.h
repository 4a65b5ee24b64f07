/*
 * Page records (docs/wire.md, "Page records"): from entries and mapped pages to bytes, and back.
 * An encoder and a decoder belong to one lane each, own all their memory and never allocate after
 * creation.
 *
 * An entry is libxc's: type in bits 63-60, PFN in bits 51-0 (transport/v3.h has V3_ENTRY_...);
 * both streams take the same arrays.
 */
#ifndef TRANSPORT_PAGES_H
#define TRANSPORT_PAGES_H

#include "transport/record.h"

enum {
    PAGE_BYTES = 4096,
    PAGES_MAX_ENTRIES = 512,
    PAGES_BLOCK_PAGES = 16,
    PAGES_BLOCK_BYTES = PAGES_BLOCK_PAGES * PAGE_BYTES,
    PAGES_MAX_BLOCKS = PAGES_MAX_ENTRIES / PAGES_BLOCK_PAGES,
    PAGES_MAX_FRONT_BYTES = 8 + PAGES_MAX_ENTRIES * 8 + PAGES_MAX_BLOCKS * 4,
    PAGES_MAX_BODY_BYTES = PAGES_MAX_FRONT_BYTES + PAGES_MAX_ENTRIES * PAGE_BYTES,
};

/* Is every byte of the page zero? Any alignment of 8; stops at the first that is not. */
bool page_is_zero(const void *page);

/* ---- sending ---- */

struct page_encoder;

int page_encoder_create(bool compress, struct page_encoder **enc, struct err *e);
void page_encoder_destroy(struct page_encoder *enc);

struct page_body {
    struct iovec iov; /* the record's body, for record_send(); the encoder's */
    uint32_t data_pages, zero_pages;
};

/*
 * Encode count (1..PAGES_MAX_ENTRIES) entries in strictly ascending order of PFN, all of one lane.
 * pages[i] is the content of entry i, and is not looked at where the type has none. Pages may be
 * mapped guest memory that changes meanwhile: the record decodes all the same, and a page that does
 * not change arrives as it is. When this returns nothing refers to them. The body is valid until the next call. Fails only on a caller's mistake (ERR_INTERNAL).
 */
int page_encode(struct page_encoder *enc, const uint64_t *entries, const void *const *pages,
    unsigned count, struct page_body *body, struct err *e);

/* ---- receiving ---- */

/* What a lane's entries must obey. */
struct page_rules {
    uint64_t frame_count;
    unsigned lane, lane_count; /* extents e with e mod lane_count == lane */
    bool compress;             /* LZ4 blocks are allowed */
};

struct page_decoder;

int page_decoder_create(const struct page_rules *rules, struct page_decoder **dec, struct err *e);
void page_decoder_destroy(struct page_decoder *dec);

/* Where to receive a record's body: PAGES_MAX_BODY_BYTES (also room for LANE_END). */
void *page_decoder_body(struct page_decoder *dec);

struct page_batch {
    unsigned count;
    const uint64_t *entries; /* ascending PFNs; the ZERO bit is still set where it was */
    /* pages[i]: content of entry i, 8-byte aligned and private; NULL when it has none. A ZERO
     * entry's is a page of zeros that all of them share. */
    const void *const *pages;
    uint32_t data_pages, zero_pages;
};

/*
 * Check and decode the record whose len_bytes are in page_decoder_body(). Nothing is in *batch
 * unless everything was right. The batch is the decoder's and is valid until the next record is
 * received into the body. ERR_PEER, -EPROTO with what and where otherwise.
 */
int page_decode(
    struct page_decoder *dec, size_t len_bytes, struct page_batch *batch, struct err *e);

#endif
