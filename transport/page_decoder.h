/* SPDX-License-Identifier: MIT */
/*
 * Page records from bytes to entries and pages: the other end of pages.h. A decoder belongs to one
 * lane, owns all its memory and never allocates after creation. Pages are received where they
 * belong; a difference is applied to what is there.
 */
#ifndef TRANSPORT_PAGE_DECODER_H
#define TRANSPORT_PAGE_DECODER_H

#include "transport/pages_limits.h"
#include "transport/record.h"

/* What entries and blocks must obey. */
struct page_rules {
    uint64_t frame_count;
    unsigned lane;   /* for messages */
    uint32_t codecs; /* that blocks may be stored with */
    bool deltas;     /* pages may come as differences */
    /* Where `into` points for pages that nobody wants, or NULL: differences to them are dropped. */
    const uint8_t *dropped;
    size_t dropped_bytes;
};

struct page_decoder;

int page_decoder_create(const struct page_rules *rules, struct page_decoder **dec, struct err *e);
void page_decoder_destroy(struct page_decoder *dec);

/* What a PAGES record says before its pages' contents. */
struct page_front {
    unsigned count;
    /* Ascending PFNs; ZERO is set where there are no bytes, DELTA where they are a difference. */
    const uint64_t *entries;
    uint32_t data_pages, zero_pages;
    uint32_t delta_pages; /* of data_pages */
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
 * ignored if the type has no content. Of a DELTA entry it has the version before, and -EPROTO if
 * that was another than the sender's. When it fails, what was in the pages is lost.
 */
int page_recv_contents(
    struct page_decoder *dec, struct channel *ch, void *const *into, struct err *e);

#endif
