/* SPDX-License-Identifier: MIT */
#include "transport/record.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "transport/aux_limits.h"
#include "transport/pages_limits.h"

#include <errno.h>
#include <inttypes.h>

enum {
    /* A body is received in pieces, each of which may take stall_ns. */
    PIECE_BYTES = 1 << 20,
    RECORD_SUM_BYTES = 4,
};

static const struct {
    uint32_t type;
    const char *name;
    uint32_t limit_bytes;
} records[] = {
    {RECORD_HEAD, "HEAD", 40},
    {RECORD_STATE, "STATE", 8 + (1 << 20)},
    {RECORD_ROUND, "ROUND", 24},
    {RECORD_LANES_DONE, "LANES_DONE", 8 + MAX_LANES *LANE_TOTALS_BYTES},
    {RECORD_END, "END", 0},
    {RECORD_RESULT, "RESULT", 32 + ERR_TEXT_BYTES - 1},
    {RECORD_PREPARE, "PREPARE", 0},
    {RECORD_AUX_SOURCE, "AUX_SOURCE", AUX_SOURCE_BYTES + AUX_MAX_HEAD_BYTES},
    {RECORD_AUX_DONE, "AUX_DONE", AUX_DONE_BYTES},
    {RECORD_PAGES, "PAGES", PAGES_MAX_BODY_BYTES},
    {RECORD_LANE_END, "LANE_END", LANE_TOTALS_BYTES},
    {RECORD_FILLER, "FILLER", RECORD_MAX_FILLER_BYTES},
    {RECORD_FILLER_END, "FILLER_END", 0},
    {RECORD_FILLED, "FILLED", LANE_FILLED_BYTES},
    {RECORD_BORDER, "BORDER", LANE_BORDER_BYTES},
    {RECORD_AUX, "AUX", AUX_MAX_BODY_BYTES},
};

const char *record_name(uint32_t type)
{
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        if (records[i].type == type)
            return records[i].name;
    return type & RECORD_OPTIONAL ? "optional" : "unknown";
}

/* The longest body of that type; -1 for a type that is not known. */
static int64_t limit_bytes_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        if (records[i].type == type)
            return records[i].limit_bytes;
    return type & RECORD_OPTIONAL ? RECORD_MAX_OPTIONAL_BYTES : -1;
}

static int send_sum(struct channel *ch, struct err *e)
{
    uint8_t sum[RECORD_SUM_BYTES];

    put_le32(sum, ch->sent_sum);
    return channel_send(ch, &(struct iovec){sum, sizeof(sum)}, 1, e);
}

int record_send(
    struct channel *ch, enum record_type type, const struct iovec *parts, int count, struct err *e)
{
    struct iovec iov[1 + RECORD_MAX_PARTS];
    uint8_t header[RECORD_HEADER_BYTES];
    uint64_t len_bytes = 0;

    if (count > RECORD_MAX_PARTS)
        return err_set(e, ERR_INTERNAL, EINVAL, "%s record in %d parts", record_name(type), count);
    for (int i = 0; i < count; i++) {
        iov[1 + i] = parts[i];
        len_bytes += parts[i].iov_len;
    }
    if ((int64_t)len_bytes > limit_bytes_of(type))
        return err_set(e, ERR_INTERNAL, EMSGSIZE, "%s record of %" PRIu64 " bytes is too long",
            record_name(type), len_bytes);

    put_le32(header, type);
    put_le32(header + 4, (uint32_t)len_bytes);
    iov[0] = (struct iovec){header, sizeof(header)};

    const int rc = channel_send(ch, iov, 1 + count, e);

    return rc || !ch->summed ? rc : send_sum(ch, e);
}

/* A clean end is fine elsewhere, not here. */
static int ended_inside(const struct channel *ch, uint32_t type, int rc, struct err *e)
{
    if (rc == -ENODATA)
        return err_set(
            e, ERR_PEER, EBADMSG, "%s: ended inside a %s record", ch->name, record_name(type));
    return rc;
}

int record_recv_body(struct channel *ch, uint32_t type, void *into, size_t len_bytes, struct err *e)
{
    uint8_t *const body = into;

    for (size_t done = 0; done < len_bytes;) {
        const size_t left = len_bytes - done;
        const size_t piece = left < PIECE_BYTES ? left : PIECE_BYTES;
        const int rc = channel_recv(ch, body + done, piece, deadline_in(ch->stall_ns), e);

        if (rc)
            return ended_inside(ch, type, rc, e);
        done += piece;
    }
    return 0;
}

int record_recv_parts(
    struct channel *ch, uint32_t type, struct iovec *iov, int count, struct err *e)
{
    return ended_inside(
        ch, type, channel_recv_parts(ch, iov, count, deadline_in(ch->stall_ns), e), e);
}

int record_recv_end(struct channel *ch, uint32_t type, struct err *e)
{
    const uint32_t expected = ch->received_sum;
    uint8_t sum[RECORD_SUM_BYTES];

    if (!ch->summed)
        return 0;

    const int rc = record_recv_body(ch, type, sum, sizeof(sum), e);

    if (rc || get_le32(sum) == expected)
        return rc;
    return err_set(e, ERR_PEER, EBADMSG,
        "%s: a %s record was changed on its way (its checksum is another)", ch->name,
        record_name(type));
}

static int skip_body(struct channel *ch, uint32_t type, size_t len_bytes, struct err *e)
{
    uint8_t scratch[4096];

    while (len_bytes > 0) {
        const size_t piece = len_bytes < sizeof(scratch) ? len_bytes : sizeof(scratch);
        const int rc = record_recv_body(ch, type, scratch, piece, e);

        if (rc)
            return rc;
        len_bytes -= piece;
    }
    return record_recv_end(ch, type, e);
}

int record_recv_header(struct channel *ch, size_t cap_bytes, uint32_t *type, size_t *len_bytes,
    int64_t deadline_ns, struct err *e)
{
    for (;;) {
        uint8_t header[RECORD_HEADER_BYTES];
        int rc = channel_recv(ch, header, sizeof(header), deadline_ns, e);

        if (rc)
            return rc;

        const uint32_t got_type = get_le32(header);
        const uint32_t got_bytes = get_le32(header + 4);
        const int64_t limit_bytes = limit_bytes_of(got_type);

        if (limit_bytes < 0)
            return record_unexpected(ch, got_type, e);
        if (got_bytes > limit_bytes)
            return err_set(e, ERR_PEER, EPROTO,
                "%s: %s record of %" PRIu32 " bytes, at most %" PRId64 " are allowed", ch->name,
                record_name(got_type), got_bytes, limit_bytes);
        if (got_type & RECORD_OPTIONAL) {
            rc = skip_body(ch, got_type, got_bytes, e);
            if (rc)
                return rc;
            continue;
        }
        if (got_bytes > cap_bytes) /* a record of the other kind of connection */
            return record_unexpected(ch, got_type, e);
        *type = got_type;
        *len_bytes = got_bytes;
        return 0;
    }
}

int record_recv(struct channel *ch, void *body, size_t cap_bytes, uint32_t *type, size_t *len_bytes,
    int64_t deadline_ns, struct err *e)
{
    uint32_t got_type;
    size_t got_bytes;
    int rc = record_recv_header(ch, cap_bytes, &got_type, &got_bytes, deadline_ns, e);

    if (!rc)
        rc = record_recv_body(ch, got_type, body, got_bytes, e);
    if (!rc)
        rc = record_recv_end(ch, got_type, e);
    if (rc)
        return rc;
    *type = got_type;
    *len_bytes = got_bytes;
    return 0;
}

int record_unexpected(const struct channel *ch, uint32_t type, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "%s: a record of type %#" PRIx32 " (%s) has no place here",
        ch->name, type, record_name(type));
}

int lane_send_border(struct channel *ch, uint64_t number, struct err *e)
{
    uint8_t body[LANE_BORDER_BYTES];

    put_le64(body, number);
    return record_send(ch, RECORD_BORDER, &(struct iovec){body, sizeof(body)}, 1, e);
}

int lane_decode_border(
    const struct channel *ch, const void *body, size_t len_bytes, uint64_t *number, struct err *e)
{
    if (len_bytes != LANE_BORDER_BYTES)
        return err_set(e, ERR_PEER, EPROTO, "%s: BORDER record of %zu bytes", ch->name, len_bytes);
    *number = get_le64(body);
    return 0;
}

int lane_send_end(struct channel *ch, const struct lane_totals *totals, struct err *e)
{
    uint8_t body[LANE_TOTALS_BYTES];

    lane_encode_totals(totals, body);
    return record_send(ch, RECORD_LANE_END, &(struct iovec){body, sizeof(body)}, 1, e);
}

void lane_encode_totals(const struct lane_totals *totals, uint8_t out[static LANE_TOTALS_BYTES])
{
    put_le64(out, totals->records);
    put_le64(out + 8, totals->entries);
    put_le64(out + 16, totals->data_pages);
    put_le64(out + 24, totals->zero_pages);
}

void lane_decode_totals(const uint8_t in[static LANE_TOTALS_BYTES], struct lane_totals *totals)
{
    totals->records = get_le64(in);
    totals->entries = get_le64(in + 8);
    totals->data_pages = get_le64(in + 16);
    totals->zero_pages = get_le64(in + 24);
}

int lane_decode_end(const struct channel *ch, const void *body, size_t len_bytes,
    struct lane_totals *totals, struct err *e)
{
    if (len_bytes != LANE_TOTALS_BYTES)
        return err_set(
            e, ERR_PEER, EPROTO, "%s: LANE_END record of %zu bytes", ch->name, len_bytes);
    lane_decode_totals(body, totals);
    return 0;
}

int lane_send_filled(struct channel *ch, const struct lane_filled *filled, struct err *e)
{
    uint8_t body[LANE_FILLED_BYTES];

    put_le64(body, filled->bytes);
    put_le64(body + 8, (uint64_t)filled->ns);
    return record_send(ch, RECORD_FILLED, &(struct iovec){body, sizeof(body)}, 1, e);
}

int lane_decode_filled(const struct channel *ch, const void *body, size_t len_bytes,
    struct lane_filled *filled, struct err *e)
{
    const uint8_t *in = body;

    if (len_bytes != LANE_FILLED_BYTES || get_le64(in + 8) > INT64_MAX)
        return err_set(e, ERR_PEER, EPROTO, "%s: a FILLED record that makes no sense", ch->name);
    filled->bytes = get_le64(in);
    filled->ns = (int64_t)get_le64(in + 8);
    return 0;
}

int lane_compare_totals(unsigned lane, const struct lane_totals *sent,
    const struct lane_totals *received, struct err *e)
{
    const struct {
        const char *what;
        uint64_t sent, received;
    } pairs[] = {
        {"records", sent->records, received->records},
        {"entries", sent->entries, received->entries},
        {"pages with bytes", sent->data_pages, received->data_pages},
        {"zero pages", sent->zero_pages, received->zero_pages},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].sent != pairs[i].received)
            return err_set(e, ERR_PEER, EPROTO,
                "lane %u: the source counts %" PRIu64 " %s, %" PRIu64 " arrived", lane,
                pairs[i].sent, pairs[i].what, pairs[i].received);
    return 0;
}
