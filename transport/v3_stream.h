/* SPDX-License-Identifier: MIT */
/*
 * The plain libxc stream on a descriptor, read and written record by record. Reads take exactly the
 * bytes of the stream: what follows it on the descriptor (libxl's records) stays there.
 */
#ifndef TRANSPORT_V3_STREAM_H
#define TRANSPORT_V3_STREAM_H

#include "base/cancel.h"
#include "base/err.h"
#include "transport/v3.h"

#include <sys/uio.h>

enum {
    V3_IMAGE_HEADER_BYTES = 24,
    V3_DOMAIN_HEADER_BYTES = 16,
    V3_RECORD_HEADER_BYTES = 8,
    V3_MAX_BATCH_PAGES = 1024, /* that we write in one PAGE_DATA, as libxc */
};

/* One thread owns it. It owns neither fd (non-blocking) nor cancel. */
struct v3_stream {
    int fd;
    const struct cancel *cancel;
    int64_t stall_ns; /* within a record: no progress for this long is an error */
    const char *name; /* for messages: "the stream on descriptor 7" */
    uint64_t moved_bytes;
    /* Reading: X86_PV_P2M_FRAMES, of which a small guest may have much, comes in parts. Set before
     * the first record. */
    bool in_parts;
    /* Reading: of PAGE_DATA the entries come alone, and then v3_read_contents() has to take the
     * rest. Set before the first record. */
    bool pages_apart;
    size_t contents_bytes; /* that it has to take still */
    uint32_t part_type; /* of the record whose next part is due; left_bytes of it have not come */
    size_t left_bytes;
    /* The body; grows as its bytes arrive, kept from record to record. */
    uint8_t *body;
    size_t cap_bytes;
};

void v3_stream_init(
    struct v3_stream *s, int fd, const struct cancel *cancel, int64_t stall_ns, const char *name);
void v3_stream_destroy(struct v3_stream *s);

struct v3_headers {
    uint32_t version; /* 2 or 3 */
    uint32_t guest_type;
    uint32_t xen_major, xen_minor;
};

/* Writes version 3. */
int v3_write_headers(struct v3_stream *s, const struct v3_headers *h, struct err *e);
/* Header, parts and padding; count <= V3_MAX_PARTS. */
enum { V3_MAX_PARTS = 7 };
int v3_write_record(
    struct v3_stream *s, uint32_t type, const struct iovec *parts, int count, struct err *e);
/* What stands before and behind the stream on its descriptor. */
int v3_write_bytes(struct v3_stream *s, const void *bytes, size_t len_bytes, struct err *e);

/* Of a PAGE_DATA of count entries, of which so many have contents: all before the entries. */
enum { V3_PAGE_FRONT_BYTES = V3_RECORD_HEADER_BYTES + 8 };
void v3_encode_page_front(
    unsigned count, uint64_t data_pages, uint8_t out[static V3_PAGE_FRONT_BYTES]);
/* One PAGE_DATA straight from the pages (they may change meanwhile). Arrays as page_encode();
 * count is 1..V3_MAX_BATCH_PAGES. It needs no padding. */
struct v3_page_parts {
    uint8_t front[V3_PAGE_FRONT_BYTES];
    struct iovec parts[2 + V3_MAX_BATCH_PAGES]; /* front, entries, contents */
    int count;
    uint64_t len_bytes; /* of all */
};
int v3_gather_pages(const uint64_t *entries, const void *const *pages, unsigned count,
    struct v3_page_parts *p, struct err *e);
int v3_write_pages(struct v3_stream *s, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e);

int v3_read_headers(struct v3_stream *s, struct v3_headers *h, int64_t deadline_ns, struct err *e);

struct v3_record {
    uint32_t type;
    const void *body; /* 8-byte aligned, the stream's: valid until the next read */
    size_t len_bytes;
    bool more; /* the next one is its continuation */
};
/* The next record with its padding; never a byte after it. Unknown optional records are skipped.
 * The header may take until deadline_ns, the rest may pause for stall_ns. The end of the
 * descriptor is an error here: a stream ends with V3_END. */
int v3_read_record(
    struct v3_stream *s, struct v3_record *record, int64_t deadline_ns, struct err *e);

/* The next of a PAGE_DATA's contents, to where the parts say; they are used up. */
int v3_read_contents(struct v3_stream *s, struct iovec *parts, int count, struct err *e);

#endif
