/* SPDX-License-Identifier: MIT */
/*
 * Page records (docs/wire.md, "Page records"): from entries and mapped pages to bytes. Their other
 * end is page_decoder.h. An encoder belongs to one lane, owns all its memory and never allocates
 * after creation. Raw pages do not pass through that memory: they are sent from where they are
 * mapped.
 *
 * An entry is libxc's: type in bits 63-60, PFN in bits 51-0 (transport/v3.h has V3_ENTRY_...);
 * both streams take the same arrays.
 *
 *   zero pages ──▶ a mark
 *   plain pages that were sent before (sent_pages.h) ──▶ differences, if they are small
 *   all others ──▶ as they are, or compressed
 */
#ifndef TRANSPORT_PAGES_H
#define TRANSPORT_PAGES_H

#include "base/codec.h"
#include "transport/pages_limits.h"
#include "transport/record.h"
#include "transport/sent_pages.h"

#include <sys/uio.h>

struct page_encoder;

/* codecs: those that page_encode() may be asked for. sent: shared by all lanes and the caller's;
 * NULL: there are no differences. */
int page_encoder_create(
    uint32_t codecs, struct sent_pages *sent, struct page_encoder **enc, struct err *e);
void page_encoder_destroy(struct page_encoder *enc);

/* What page_encode() does about differences, from now on. */
struct page_deltas {
    bool sample; /* they are not worth it at the moment: try a few, to notice when they are */
    bool keep;   /* what is sent, for differences to it: */
    /* first of all frames of this bitmap, to which others store meanwhile; NULL: all alike */
    const uint64_t *hot;
    /* A page goes as it is when more of it has changed. */
    unsigned most_bytes;
};

void page_encoder_set_deltas(struct page_encoder *enc, const struct page_deltas *deltas);

/* What tries have shown so far. */
enum page_deltas_known { DELTAS_UNKNOWN, DELTAS_WORK, DELTAS_FAIL };

enum page_deltas_known page_encoder_deltas(const struct page_encoder *enc);
/* Of the pages that are kept and have changed, which share goes as differences, at most 1.
 * Negative: too few were tried. */
double page_encoder_delta_share(const struct page_encoder *enc);

/* While nothing is known: frames that were kept early, so many of them, to be looked at again some
 * time later. */
enum { PAGES_TRIAL = 128 };
unsigned page_encoder_trial(const struct page_encoder *enc, uint64_t pfns[PAGES_TRIAL]);

/* What is there of such a frame now: if it has changed, that counts as a try, and so the first
 * round tells what the second one will meet. */
void page_encoder_look_again(struct page_encoder *enc, uint64_t pfn, const void *page);

struct page_body {
    struct iovec
        *iov; /* the record's body, for record_send(): the encoder's memory and the pages */
    int iov_count;
    uint32_t data_pages, zero_pages;
    uint32_t delta_pages;                                  /* of data_pages */
    size_t delta_bytes;                                    /* that these take, in blocks */
    int64_t zero_scan_cpu_ns, delta_cpu_ns, encode_cpu_ns; /* what this took */
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

#endif
