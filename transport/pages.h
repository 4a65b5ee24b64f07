/* SPDX-License-Identifier: MIT */
/*
 * Page records (docs/wire.md, "Page records"): from entries and mapped pages to bytes, and back.
 * An encoder and a decoder belong to one lane each, own all their memory and never allocate after
 * creation. Raw pages do not pass through that memory: they are sent from where they are mapped and
 * received where they belong.
 *
 * An entry is libxc's: type in bits 63-60, PFN in bits 51-0 (transport/v3.h has V3_ENTRY_...);
 * both streams take the same arrays.
 */
#ifndef TRANSPORT_PAGES_H
#define TRANSPORT_PAGES_H

#include "base/codec.h"
#include "transport/pages_limits.h"
#include "transport/record.h"

#include <sys/uio.h>

/* ---- sending ---- */

struct page_encoder;

/* codecs: those that page_encode() may be asked for. */
int page_encoder_create(uint32_t codecs, struct page_encoder **enc, struct err *e);
void page_encoder_destroy(struct page_encoder *enc);

struct page_body {
    struct iovec
        *iov; /* the record's body, for record_send(): the encoder's memory and the pages */
    int iov_count;
    uint32_t data_pages, zero_pages;
    int64_t zero_scan_cpu_ns, encode_cpu_ns; /* what this took */
};

/*
 * Encode, with blocks stored by that codec where it makes them smaller, count
 * (1..PAGES_MAX_ENTRIES) entries in strictly ascending order of PFN. pages[i] is the content of
 * entry i, ignored if the type has none. Pages may be mapped guest memory that changes meanwhile:
 * the record decodes all the same, and a page that does not change arrives as it is. The body
 * refers to them and is valid until they are unmapped or the next call. Fails only on a caller's
 * mistake (ERR_INTERNAL).
 */
int page_encode(struct page_encoder *enc, enum codec codec, const uint64_t *entries,
    const void *const *pages, unsigned count, struct page_body *body, struct err *e);

/* ---- receiving ---- */

/* What entries and blocks must obey. */
struct page_rules {
    uint64_t frame_count;
    unsigned lane;   /* for messages */
    uint32_t codecs; /* that blocks may be stored with */
};

struct page_decoder;

int page_decoder_create(const struct page_rules *rules, struct page_decoder **dec, struct err *e);
void page_decoder_destroy(struct page_decoder *dec);

/* What a PAGES record says before its pages' contents. */
struct page_front {
    unsigned count;
    const uint64_t *entries; /* ascending PFNs; the ZERO bit is set where there are no bytes */
    uint32_t data_pages, zero_pages;
};

/*
 * Receive the front of a PAGES record whose header said len_bytes, and check it whole: every
 * entry, and that the lengths of all blocks fit. *front is the decoder's, valid until the next
 * call, and written only if all is well. ERR_PEER, -EPROTO with what and where otherwise.
 */
int page_recv_front(struct page_decoder *dec, struct channel *ch, size_t len_bytes,
    struct page_front *front, struct err *e);

/*
 * The rest of that record: into[i] is where PAGE_BYTES of entry i go (zeros, too), aligned to 16;
 * ignored if the type has no content. When it fails, what was in the pages is lost.
 */
int page_recv_contents(
    struct page_decoder *dec, struct channel *ch, void *const *into, struct err *e);

#endif
