/* SPDX-License-Identifier: MIT */
#include "transport/trunk.h"

#include "base/bytes.h"
#include "base/codec.h"
#include "base/deadline.h"
#include "transport/v3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    HEAD_BYTES = 40,
    HEAD_FLAG_LZ4 = 1 << 0,
    HEAD_FLAG_ZSTD = 1 << 1,
    HEAD_FLAG_DELTA = 1 << 2,
    STATE_HEADER_BYTES = 8,
    STATE_PART_BYTES = 1 << 20,
    STATE_FLAG_MORE = 1 << 0,
    ROUND_BYTES = 24,
    ROUND_FLAG_LAST = 1 << 0,
    RESULT_HEADER_BYTES = 32,
    /* Enough for most records; a longer one makes the reader's buffer grow. */
    READER_FIRST_BYTES = 4096,
};

/* Error classes on the wire; docs/wire.md has the table. */
static const enum err_class wire_classes[] = {
    ERR_NONE, ERR_USAGE, ERR_REFUSED, ERR_PEER, ERR_LOCAL, ERR_GUEST, ERR_INTERNAL, ERR_CANCELLED};
static const enum err_side wire_sides[] = {SIDE_UNKNOWN, SIDE_SOURCE, SIDE_DESTINATION};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- sending ---- */

static int send_one(
    struct channel *ch, enum record_type type, const struct bytes_out *out, struct err *e)
{
    return record_send(ch, type, &(struct iovec){out->buf, out->len_bytes}, 1, e);
}

int trunk_send_head(struct channel *ch, const struct trunk_head *head, struct err *e)
{
    uint8_t body[HEAD_BYTES];
    struct bytes_out out = bytes_out_init(body, sizeof(body));

    bytes_out_u32(&out, head->guest_type);
    bytes_out_u32(&out, (head->codecs & CODEC_BIT(CODEC_LZ4) ? HEAD_FLAG_LZ4 : 0) |
                            (head->codecs & CODEC_BIT(CODEC_ZSTD) ? HEAD_FLAG_ZSTD : 0) |
                            (head->deltas ? HEAD_FLAG_DELTA : 0));
    bytes_out_u32(&out, head->xen_major);
    bytes_out_u32(&out, head->xen_minor);
    bytes_out_u32(&out, head->lane_count);
    bytes_out_u32(&out, 0);
    bytes_out_u64(&out, head->frame_count);
    bytes_out_u64(&out, head->page_count);
    return send_one(ch, RECORD_HEAD, &out, e);
}

/* Move up to max_bytes from the front of parts to piece; returns how many iovecs that takes. */
static int take_piece(struct iovec *parts, int count, struct iovec *piece, size_t max_bytes)
{
    int taken = 0;

    for (int i = 0; i < count && max_bytes > 0; i++) {
        const size_t n = parts[i].iov_len < max_bytes ? parts[i].iov_len : max_bytes;

        if (n == 0)
            continue;
        piece[taken++] = (struct iovec){parts[i].iov_base, n};
        parts[i].iov_base = (char *)parts[i].iov_base + n;
        parts[i].iov_len -= n;
        max_bytes -= n;
    }
    return taken;
}

int trunk_send_state(
    struct channel *ch, uint32_t v3_type, const struct iovec *parts, int count, struct err *e)
{
    struct iovec left[RECORD_MAX_PARTS - 1];
    uint64_t left_bytes = 0;

    if (count > RECORD_MAX_PARTS - 1)
        return err_set(e, ERR_INTERNAL, EINVAL, "%s in %d parts", v3_name(v3_type), count);
    for (int i = 0; i < count; i++) {
        left[i] = parts[i];
        left_bytes += parts[i].iov_len;
    }
    if (!v3_is_state(v3_type) || (int64_t)left_bytes > v3_limit_bytes(v3_type))
        return err_set(e, ERR_INTERNAL, EMSGSIZE, "%s of %" PRIu64 " bytes cannot be sent",
            v3_name(v3_type), left_bytes);

    do {
        const bool more = left_bytes > STATE_PART_BYTES;
        uint8_t header[STATE_HEADER_BYTES];
        struct iovec iov[RECORD_MAX_PARTS] = {{header, sizeof(header)}};
        const int taken = take_piece(left, count, iov + 1, STATE_PART_BYTES);

        put_le32(header, v3_type);
        put_le32(header + 4, more ? STATE_FLAG_MORE : 0);

        const int rc = record_send(ch, RECORD_STATE, iov, 1 + taken, e);

        if (rc)
            return rc;
        left_bytes -= more ? STATE_PART_BYTES : left_bytes;
    } while (left_bytes > 0);
    return 0;
}

int trunk_send_round(struct channel *ch, const struct trunk_round *round, struct err *e)
{
    uint8_t body[ROUND_BYTES];
    struct bytes_out out = bytes_out_init(body, sizeof(body));

    bytes_out_u64(&out, round->round);
    bytes_out_u64(&out, round->page_count);
    bytes_out_u32(&out, round->last ? ROUND_FLAG_LAST : 0);
    bytes_out_u32(&out, 0);
    return send_one(ch, RECORD_ROUND, &out, e);
}

int trunk_send_lanes_done(struct channel *ch, const struct trunk_lanes_done *done, struct err *e)
{
    uint8_t body[8 + MAX_LANES * LANE_TOTALS_BYTES];
    struct bytes_out out = bytes_out_init(body, sizeof(body));

    if (done->lane_count > MAX_LANES)
        return err_set(e, ERR_INTERNAL, EINVAL, "totals of %" PRIu32 " lanes", done->lane_count);
    bytes_out_u32(&out, done->lane_count);
    bytes_out_u32(&out, 0);
    for (uint32_t i = 0; i < done->lane_count; i++)
        lane_encode_totals(&done->lanes[i], bytes_out_reserve(&out, LANE_TOTALS_BYTES));
    return send_one(ch, RECORD_LANES_DONE, &out, e);
}

int trunk_send_prepare(struct channel *ch, struct err *e)
{
    return record_send(ch, RECORD_PREPARE, NULL, 0, e);
}

int trunk_send_end(struct channel *ch, struct err *e)
{
    return record_send(ch, RECORD_END, NULL, 0, e);
}

int trunk_send_result(struct channel *ch, const struct trunk_result *result, struct err *e)
{
    const struct err *f = &result->failure;
    const bool failed = err_is_set(f);
    uint8_t body[RESULT_HEADER_BYTES + ERR_TEXT_BYTES - 1];
    struct bytes_out out = bytes_out_init(body, sizeof(body));

    bytes_out_u32(&out, (uint32_t)f->class);
    bytes_out_u32(&out, failed ? (uint32_t)f->side : 0);
    bytes_out_u32(&out, failed ? (uint32_t)f->code : 0);
    bytes_out_u32(&out, 0);
    bytes_out_u64(&out, (uint64_t)result->finish_ns);
    bytes_out_u64(&out, result->populated_pages);
    if (failed)
        bytes_out_copy(&out, f->text, strnlen(f->text, ERR_TEXT_BYTES - 1));
    return send_one(ch, RECORD_RESULT, &out, e);
}

/* ---- receiving ---- */

int trunk_reader_init(struct trunk_reader *r, struct channel *ch, struct err *e)
{
    *r = (struct trunk_reader){.ch = ch, .cap_bytes = READER_FIRST_BYTES};
    r->body = malloc(r->cap_bytes);
    if (!r->body)
        return err_set(e, ERR_LOCAL, ENOMEM, "%s: no memory for a record", ch->name);
    return 0;
}

void trunk_reader_destroy(struct trunk_reader *r)
{
    free(r->body);
    r->body = NULL;
}

static int bad_message(
    const struct trunk_reader *r, enum record_type type, const char *what, struct err *e)
{
    return err_set(
        e, ERR_PEER, EPROTO, "%s: bad %s record: %s", r->ch->name, record_name(type), what);
}

/* Each of these returns what is wrong with the body, or NULL. */

static const char *decode_head(const void *body, size_t len_bytes, struct trunk_head *h)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    h->guest_type = bytes_in_u32(&in);
    const uint32_t flags = bytes_in_u32(&in);
    h->codecs = CODEC_BIT(CODEC_NONE) | (flags & HEAD_FLAG_LZ4 ? CODEC_BIT(CODEC_LZ4) : 0) |
                (flags & HEAD_FLAG_ZSTD ? CODEC_BIT(CODEC_ZSTD) : 0);
    h->deltas = flags & HEAD_FLAG_DELTA;
    h->xen_major = bytes_in_u32(&in);
    h->xen_minor = bytes_in_u32(&in);
    h->lane_count = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);
    h->frame_count = bytes_in_u64(&in);
    h->page_count = bytes_in_u64(&in);
    if (!bytes_in_done(&in))
        return "its length";
    if (h->guest_type != V3_GUEST_PV && h->guest_type != V3_GUEST_HVM)
        return "the type of guest is not known here";
    if ((flags & ~(uint32_t)(HEAD_FLAG_LZ4 | HEAD_FLAG_ZSTD | HEAD_FLAG_DELTA)) || reserved)
        return "reserved bits are set";
    if (h->lane_count < 1 || h->lane_count > MAX_LANES)
        return "the number of lanes";
    if (h->frame_count < 1 ||
        h->frame_count > (h->guest_type == V3_GUEST_PV ? WIRE_MAX_PV_FRAMES : WIRE_MAX_FRAMES))
        return "the number of frames";
    if (h->page_count > h->frame_count)
        return "more pages than frames";
    return NULL;
}

static const char *decode_round(const void *body, size_t len_bytes, struct trunk_round *r)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    r->round = bytes_in_u64(&in);
    r->page_count = bytes_in_u64(&in);
    const uint32_t flags = bytes_in_u32(&in);
    r->last = flags & ROUND_FLAG_LAST;
    const uint32_t reserved = bytes_in_u32(&in);
    if (!bytes_in_done(&in))
        return "its length";
    if ((flags & ~(uint32_t)ROUND_FLAG_LAST) || reserved)
        return "reserved bits are set";
    if (r->page_count > WIRE_MAX_FRAMES)
        return "the number of pages";
    return NULL;
}

static const char *decode_lanes_done(const void *body, size_t len_bytes, struct trunk_lanes_done *d)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    d->lane_count = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);
    if (in.underflow)
        return "its length";
    if (reserved)
        return "reserved bits are set";
    if (d->lane_count < 1 || d->lane_count > MAX_LANES)
        return "the number of lanes";
    for (uint32_t i = 0; i < d->lane_count; i++) {
        const uint8_t *totals = bytes_in_take(&in, LANE_TOTALS_BYTES);

        if (!totals)
            return "its length";
        lane_decode_totals(totals, &d->lanes[i]);
    }
    return bytes_in_done(&in) ? NULL : "its length";
}

static const char *decode_empty(size_t len_bytes)
{
    return len_bytes == 0 ? NULL : "its length";
}

/* The peer's words, meant for terminals and journals: err_set() makes them printable. */
static void take_failure(
    struct err *failure, enum err_class class, unsigned code, struct bytes_in *text)
{
    const size_t len_bytes = bytes_in_left(text);
    char words[ERR_TEXT_BYTES] = "the peer gave no reason";

    if (len_bytes) {
        memcpy(words, bytes_in_take(text, len_bytes), len_bytes);
        words[len_bytes] = '\0';
    }
    for (size_t i = 0; i < len_bytes; i++)
        if (!words[i])
            words[i] = '?';
    err_set(failure, class, (int)code, "%s", words);
}

static const char *decode_result(const void *body, size_t len_bytes, struct trunk_result *r)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);
    const uint32_t class = bytes_in_u32(&in);
    const uint32_t side = bytes_in_u32(&in);
    const uint32_t code = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);
    const uint64_t finish_ns = bytes_in_u64(&in);

    r->populated_pages = bytes_in_u64(&in);

    const size_t text_bytes = bytes_in_left(&in);

    if (in.underflow || text_bytes > ERR_TEXT_BYTES - 1)
        return "its length";
    if (reserved)
        return "reserved bits are set";
    if (class >= COUNT(wire_classes) || side >= COUNT(wire_sides) || code > INT32_MAX)
        return "its class of error";
    if (finish_ns > INT64_MAX)
        return "its time";
    if (class == 0 && (side || code || text_bytes))
        return "success and failure at once";
    r->finish_ns = (int64_t)finish_ns;
    r->failure = (struct err){.side = wire_sides[side]};
    if (class != 0)
        take_failure(&r->failure, wire_classes[class], code, &in);
    return NULL;
}

static int grow(struct trunk_reader *r, size_t need_bytes, struct err *e)
{
    if (need_bytes <= r->cap_bytes)
        return 0;

    uint8_t *body = realloc(r->body, need_bytes);

    if (!body)
        return err_set(
            e, ERR_LOCAL, ENOMEM, "%s: no memory for %zu bytes of state", r->ch->name, need_bytes);
    r->body = body;
    r->cap_bytes = need_bytes;
    return 0;
}

/* The next record, its body at at_bytes of r->body, which grows to what the header says. */
static int recv_at(struct trunk_reader *r, size_t at_bytes, uint32_t *type, size_t *len_bytes,
    int64_t deadline_ns, struct err *e)
{
    int rc = record_recv_header(
        r->ch, STATE_HEADER_BYTES + STATE_PART_BYTES, type, len_bytes, deadline_ns, e);

    if (!rc)
        rc = grow(r, at_bytes + *len_bytes, e);
    if (!rc)
        rc = record_recv_body(r->ch, *type, r->body + at_bytes, *len_bytes, e);
    return rc ? rc : record_recv_end(r->ch, *type, e);
}

/*
 * A STATE's first part of len_bytes is in r->body. Fetch the others behind it. Each is received
 * over the last eight bytes that are there, which are put back afterwards: its header lands on
 * them and its content where it belongs.
 */
static int collect_state(
    struct trunk_reader *r, size_t len_bytes, struct trunk_message *m, struct err *e)
{
    if (len_bytes < STATE_HEADER_BYTES)
        return bad_message(r, RECORD_STATE, "its length", e);

    const uint32_t v3_type = get_le32(r->body);
    uint32_t flags = get_le32(r->body + 4);
    size_t have_bytes = len_bytes; /* with the first part's header */

    if (!v3_is_state(v3_type))
        return bad_message(r, RECORD_STATE, "not a state that may be sent", e);

    const size_t max_bytes = STATE_HEADER_BYTES + (size_t)v3_limit_bytes(v3_type);

    for (size_t part_bytes = len_bytes;;) {
        if (flags & ~(uint32_t)STATE_FLAG_MORE)
            return bad_message(r, RECORD_STATE, "reserved bits are set", e);
        if (have_bytes > max_bytes)
            return err_set(e, ERR_PEER, EPROTO,
                "%s: bad STATE record: %s is too long, at most %zu"
                " bytes are allowed",
                r->ch->name, v3_name(v3_type), max_bytes - STATE_HEADER_BYTES);
        if (!(flags & STATE_FLAG_MORE))
            break;
        if (part_bytes == STATE_HEADER_BYTES)
            return bad_message(r, RECORD_STATE, "an empty part", e);

        const size_t at_bytes = have_bytes - STATE_HEADER_BYTES;
        uint8_t saved[STATE_HEADER_BYTES];
        uint32_t type;

        memcpy(saved, r->body + at_bytes, sizeof(saved));

        const int rc = recv_at(r, at_bytes, &type, &part_bytes, deadline_in(r->ch->stall_ns), e);
        uint8_t *const at = r->body + at_bytes;

        if (rc == -ENODATA)
            return bad_message(r, RECORD_STATE, "the connection ended inside a state", e);
        if (rc)
            return rc;
        if (type != RECORD_STATE || part_bytes < STATE_HEADER_BYTES || get_le32(at) != v3_type)
            return bad_message(r, RECORD_STATE, "not continued", e);
        flags = get_le32(at + 4);
        memcpy(at, saved, sizeof(saved));
        have_bytes += part_bytes - STATE_HEADER_BYTES;
    }

    m->state.v3_type = v3_type;
    m->state.body = r->body + STATE_HEADER_BYTES;
    m->state.len_bytes = have_bytes - STATE_HEADER_BYTES;
    return 0;
}

static bool is_taken_in_parts(const struct trunk_reader *r, size_t len_bytes)
{
    return r->in_parts && len_bytes >= STATE_HEADER_BYTES &&
           get_le32(r->body) == V3_X86_PV_P2M_FRAMES;
}

/* One STATE record of such a state, as it came. */
static int take_part(
    struct trunk_reader *r, size_t len_bytes, struct trunk_message *m, struct err *e)
{
    const uint32_t flags = get_le32(r->body + 4);
    const bool more = flags & STATE_FLAG_MORE;

    if (flags & ~(uint32_t)STATE_FLAG_MORE)
        return bad_message(r, RECORD_STATE, "reserved bits are set", e);
    if (more && (len_bytes == STATE_HEADER_BYTES || len_bytes % 8))
        return bad_message(r, RECORD_STATE, "a part that is empty, or not of whole words", e);
    r->part_bytes += len_bytes - STATE_HEADER_BYTES;
    if ((int64_t)r->part_bytes > v3_limit_bytes(V3_X86_PV_P2M_FRAMES))
        return bad_message(r, RECORD_STATE, "X86_PV_P2M_FRAMES is too long", e);
    m->state.v3_type = V3_X86_PV_P2M_FRAMES;
    m->state.body = r->body + STATE_HEADER_BYTES;
    m->state.len_bytes = len_bytes - STATE_HEADER_BYTES;
    m->state.more = more;
    if (!more)
        r->part_bytes = 0;
    return 0;
}

static int take_state(
    struct trunk_reader *r, size_t len_bytes, struct trunk_message *m, struct err *e)
{
    m->state.more = false;
    return is_taken_in_parts(r, len_bytes) ? take_part(r, len_bytes, m, e)
                                           : collect_state(r, len_bytes, m, e);
}

int trunk_recv(struct trunk_reader *r, struct trunk_message *m, int64_t deadline_ns, struct err *e)
{
    const bool goes_on = r->part_bytes > 0;
    const char *wrong = NULL;
    uint32_t type;
    size_t len_bytes;
    const int rc = recv_at(
        r, 0, &type, &len_bytes, goes_on ? deadline_in(r->ch->stall_ns) : deadline_ns, e);

    if (rc == -ENODATA && goes_on)
        return bad_message(r, RECORD_STATE, "the connection ended inside a state", e);
    if (rc)
        return rc;
    if (goes_on && (type != RECORD_STATE || !is_taken_in_parts(r, len_bytes)))
        return bad_message(r, RECORD_STATE, "not continued", e);

    m->type = type;
    switch (type) {
    case RECORD_HEAD:
        wrong = decode_head(r->body, len_bytes, &m->head);
        break;
    case RECORD_STATE:
        return take_state(r, len_bytes, m, e);
    case RECORD_ROUND:
        wrong = decode_round(r->body, len_bytes, &m->round);
        break;
    case RECORD_LANES_DONE:
        wrong = decode_lanes_done(r->body, len_bytes, &m->lanes_done);
        break;
    case RECORD_AUX_SOURCE:
        wrong = aux_decode_source(r->body, len_bytes, &m->aux_source);
        break;
    case RECORD_AUX_DONE:
        wrong = aux_decode_done(r->body, len_bytes, &m->aux_done.source, &m->aux_done.totals);
        break;
    case RECORD_PREPARE:
    case RECORD_END:
        wrong = decode_empty(len_bytes);
        break;
    case RECORD_RESULT:
        wrong = decode_result(r->body, len_bytes, &m->result);
        break;
    default:
        return record_unexpected(r->ch, type, e);
    }
    return wrong ? bad_message(r, type, wrong, e) : 0;
}
