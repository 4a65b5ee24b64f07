/* SPDX-License-Identifier: MIT */
/*
 * Records: the framing of trunk and lanes (docs/wire.md, "Records"). A record is
 * {u32 type, u32 body_length} and a body. Nothing here allocates; one thread sends and one
 * receives.
 */
#ifndef TRANSPORT_RECORD_H
#define TRANSPORT_RECORD_H

#include "base/limits.h"
#include "transport/channel.h"

enum record_type {
    RECORD_HEAD = 0x01,
    RECORD_STATE = 0x02,
    RECORD_ROUND = 0x03,
    RECORD_LANES_DONE = 0x04,
    RECORD_END = 0x05,
    RECORD_RESULT = 0x06,
    RECORD_PREPARE = 0x07,
    RECORD_AUX_SOURCE = 0x08,
    RECORD_AUX_DONE = 0x09,
    RECORD_PAGES = 0x10,
    RECORD_LANE_END = 0x11,
    RECORD_FILLER = 0x12,
    RECORD_FILLER_END = 0x13,
    RECORD_FILLED = 0x14,
    RECORD_BORDER = 0x15,
    RECORD_AUX = 0x16,
};

#define RECORD_OPTIONAL 0x80000000u

enum {
    RECORD_HEADER_BYTES = 8,
    RECORD_MAX_PARTS = 1 + 1024, /* iovecs of one record_send(): a front, and each page */
    RECORD_MAX_OPTIONAL_BYTES = 1 << 16,
    RECORD_MAX_FILLER_BYTES = 256 << 10,
};

/* What was sent, or received, on one lane. */
struct lane_totals {
    uint64_t records;    /* PAGES records */
    uint64_t entries;    /* all entries in them */
    uint64_t data_pages; /* entries whose bytes are in the record (ZERO ones are not) */
    uint64_t zero_pages; /* entries marked ZERO */
};

enum { LANE_TOTALS_BYTES = 32, LANE_BORDER_BYTES = 8 };
void lane_encode_totals(const struct lane_totals *totals, uint8_t out[static LANE_TOTALS_BYTES]);
void lane_decode_totals(const uint8_t in[static LANE_TOTALS_BYTES], struct lane_totals *totals);

/* "PAGES", "HEAD", ...; "optional" or "unknown" for others. */
const char *record_name(uint32_t type);

/* Send one record; its body is parts[0..count), count <= RECORD_MAX_PARTS. */
int record_send(
    struct channel *ch, enum record_type type, const struct iovec *parts, int count, struct err *e);

/*
 * Receive one record. The header's length is checked against the type's limit and cap before the
 * body is read. Optional records that are not known are skipped. The header may take until
 * deadline_ns (usually never: the peer sends when it has something; its death is noticed
 * elsewhere); a body may pause for the channel's stall_ns.
 * -ENODATA, without text: the peer ended cleanly between two records.
 */
int record_recv(struct channel *ch, void *body, size_t cap_bytes, uint32_t *type, size_t *len_bytes,
    int64_t deadline_ns, struct err *e);

/* The two halves of record_recv(), for callers that choose where a body goes: a header, checked as
 * above against limit and cap, and then its len_bytes in any number of pieces. */
int record_recv_header(struct channel *ch, size_t cap_bytes, uint32_t *type, size_t *len_bytes,
    int64_t deadline_ns, struct err *e);
int record_recv_body(
    struct channel *ch, uint32_t type, void *into, size_t len_bytes, struct err *e);
/* Behind the body, however it was received: on a channel that is summed the record's checksum.
 * -EBADMSG when it is another. */
int record_recv_end(struct channel *ch, uint32_t type, struct err *e);
/* The next piece of it, which may take stall_ns, into several places. */
int record_recv_parts(
    struct channel *ch, uint32_t type, struct iovec *iov, int count, struct err *e);

/* An unexpected record: ERR_PEER, -EPROTO, naming channel and record. */
int record_unexpected(const struct channel *ch, uint32_t type, struct err *e);

/* BORDER, both ways: how many rounds this lane has finished. */
int lane_send_border(struct channel *ch, uint64_t number, struct err *e);
int lane_decode_border(
    const struct channel *ch, const void *body, size_t len_bytes, uint64_t *number, struct err *e);

/* LANE_END, both ways. Receiving lanes decode what record_recv() gave them. */
int lane_send_end(struct channel *ch, const struct lane_totals *totals, struct err *e);
int lane_decode_end(const struct channel *ch, const void *body, size_t len_bytes,
    struct lane_totals *totals, struct err *e);

/* FILLED: what arrived on a lane being measured, and how long it took. */
struct lane_filled {
    uint64_t bytes;
    int64_t ns;
};

enum { LANE_FILLED_BYTES = 16 };
int lane_send_filled(struct channel *ch, const struct lane_filled *filled, struct err *e);
int lane_decode_filled(const struct channel *ch, const void *body, size_t len_bytes,
    struct lane_filled *filled, struct err *e);

/* ERR_PEER unless both are the same; names the lane and what is missing. */
int lane_compare_totals(unsigned lane, const struct lane_totals *sent,
    const struct lane_totals *received, struct err *e);

#endif
