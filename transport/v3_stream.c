/* SPDX-License-Identifier: MIT */
#include "transport/v3_stream.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/io.h"
#include "base/limits.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define IMAGE_MARKER 0xffffffffffffffffull
#define IMAGE_ID     0x58454e46u /* "XENF" */

enum {
    IMAGE_OPTION_BIG_ENDIAN = 1 << 0,
    PAGE_SHIFT = 12,
    RECORD_ALIGN = 8,
    /* A record moves in pieces, each of which may take stall_ns. */
    PIECE_BYTES = 1 << 20,
    PIECE_PARTS = 256,
    FIRST_BODY_BYTES = 64 << 10,
};

void v3_stream_init(
    struct v3_stream *s, int fd, const struct cancel *cancel, int64_t stall_ns, const char *name)
{
    *s = (struct v3_stream){.fd = fd, .cancel = cancel, .stall_ns = stall_ns, .name = name};
}

void v3_stream_destroy(struct v3_stream *s)
{
    free(s->body);
    s->body = NULL;
    s->cap_bytes = 0;
}

static int io_failed(const struct v3_stream *s, const char *what, int rc, struct err *e)
{
    return err_set(e, rc == -ECANCELED ? ERR_CANCELLED : ERR_PEER, -rc, "%s: %s: %s", s->name, what,
        io_strerror(rc));
}

/* The next piece of what is left in the list, which moves on. Returns its bytes. */
static size_t take_piece(
    struct iovec **iov, int *count, struct iovec piece[static PIECE_PARTS], int *taken)
{
    size_t bytes = 0;

    for (*taken = 0; *count > 0 && *taken < PIECE_PARTS && bytes < PIECE_BYTES;) {
        const size_t room = PIECE_BYTES - bytes;
        const size_t n = (*iov)->iov_len < room ? (*iov)->iov_len : room;

        piece[(*taken)++] = (struct iovec){(*iov)->iov_base, n};
        bytes += n;
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
        if ((*iov)->iov_len == 0) {
            ++*iov;
            --*count;
        }
    }
    return bytes;
}

/* Writes all of iov[0..count), which is used up. */
static int write_parts(struct v3_stream *s, struct iovec *iov, int count, struct err *e)
{
    while (count > 0) {
        struct iovec piece[PIECE_PARTS];
        int taken;
        const size_t bytes = take_piece(&iov, &count, piece, &taken);
        const int rc = io_writev_full(s->fd, piece, taken, s->cancel, deadline_in(s->stall_ns));

        if (rc)
            return io_failed(s, "write", rc, e);
        s->moved_bytes += bytes;
    }
    return 0;
}

int v3_write_headers(struct v3_stream *s, const struct v3_headers *h, struct err *e)
{
    struct {
        uint8_t image[V3_IMAGE_HEADER_BYTES];
        uint8_t domain[V3_DOMAIN_HEADER_BYTES];
    } b = {0};

    put_le64(b.image, htobe64(IMAGE_MARKER));
    put_le32(b.image + 8, htobe32(IMAGE_ID));
    put_le32(b.image + 12, htobe32(3));
    put_le32(b.domain, h->guest_type);
    put_le16(b.domain + 4, PAGE_SHIFT);
    put_le32(b.domain + 8, h->xen_major);
    put_le32(b.domain + 12, h->xen_minor);
    return write_parts(s, &(struct iovec){&b, sizeof(b)}, 1, e);
}

static size_t padding_bytes(uint64_t len_bytes)
{
    return (size_t)(-len_bytes % RECORD_ALIGN);
}

int v3_write_record(
    struct v3_stream *s, uint32_t type, const struct iovec *parts, int count, struct err *e)
{
    static const uint8_t zeros[RECORD_ALIGN];
    struct iovec iov[1 + V3_MAX_PARTS + 1];
    uint8_t header[V3_RECORD_HEADER_BYTES];
    uint64_t len_bytes = 0;

    if (count > V3_MAX_PARTS)
        return err_set(e, ERR_INTERNAL, EINVAL, "%s record in %d parts", v3_name(type), count);
    for (int i = 0; i < count; i++) {
        iov[1 + i] = parts[i];
        len_bytes += parts[i].iov_len;
    }
    if ((int64_t)len_bytes > v3_limit_bytes(type))
        return err_set(e, ERR_INTERNAL, EMSGSIZE, "%s record of %" PRIu64 " bytes is too long",
            v3_name(type), len_bytes);
    put_le32(header, type);
    put_le32(header + 4, (uint32_t)len_bytes);
    iov[0] = (struct iovec){header, sizeof(header)};
    iov[1 + count] = (struct iovec){(void *)zeros, padding_bytes(len_bytes)};
    return write_parts(s, iov, count + 2, e);
}

int v3_write_bytes(struct v3_stream *s, const void *bytes, size_t len_bytes, struct err *e)
{
    return write_parts(s, &(struct iovec){(void *)bytes, len_bytes}, len_bytes ? 1 : 0, e);
}

void v3_encode_page_front(
    unsigned count, uint64_t data_pages, uint8_t out[static V3_PAGE_FRONT_BYTES])
{
    put_le32(out, V3_PAGE_DATA);
    put_le32(out + 4, (uint32_t)(8 + count * 8ull + data_pages * PAGE_BYTES));
    put_le32(out + 8, count);
    put_le32(out + 12, 0);
}

int v3_gather_pages(const uint64_t *entries, const void *const *pages, unsigned count,
    struct v3_page_parts *p, struct err *e)
{
    struct iovec *const iov = p->parts;
    uint64_t data_pages = 0;
    int n = 2;

    if (count < 1 || count > V3_MAX_BATCH_PAGES)
        return err_set(e, ERR_INTERNAL, EINVAL, "%u pages in one PAGE_DATA record", count);
    for (unsigned i = 0; i < count; i++) {
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        data_pages++;
        /* Pages that follow each other in memory go as one. */
        if (n > 2 && (const char *)iov[n - 1].iov_base + iov[n - 1].iov_len == pages[i])
            iov[n - 1].iov_len += PAGE_BYTES;
        else
            iov[n++] = (struct iovec){(void *)pages[i], PAGE_BYTES};
    }
    v3_encode_page_front(count, data_pages, p->front);
    iov[0] = (struct iovec){p->front, sizeof(p->front)};
    iov[1] = (struct iovec){(void *)entries, count * 8ull};
    p->count = n;
    p->len_bytes = sizeof(p->front) + count * 8ull + data_pages * PAGE_BYTES;
    return 0;
}

int v3_write_pages(struct v3_stream *s, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    struct v3_page_parts p;
    const int rc = v3_gather_pages(entries, pages, count, &p, e);

    return rc ? rc : write_parts(s, p.parts, p.count, e);
}

/* Bytes in the middle of something: each piece may take stall_ns. */
static int read_more(
    struct v3_stream *s, void *buf, size_t len_bytes, const char *what, struct err *e)
{
    for (size_t done = 0; done < len_bytes;) {
        const size_t left = len_bytes - done;
        const size_t piece = left < PIECE_BYTES ? left : PIECE_BYTES;
        int rc = io_read_full(
            s->fd, (char *)buf + done, piece, s->cancel, deadline_in(s->stall_ns));

        if (rc == -ENODATA)
            rc = -EBADMSG;
        if (rc)
            return io_failed(s, what, rc, e);
        done += piece;
        s->moved_bytes += piece;
    }
    return 0;
}

static int read_head(struct v3_stream *s, void *buf, size_t len_bytes, const char *what,
    int64_t deadline_ns, struct err *e)
{
    const int rc = io_read_full(s->fd, buf, len_bytes, s->cancel, deadline_ns);

    if (rc)
        return io_failed(s, what, rc, e);
    s->moved_bytes += len_bytes;
    return 0;
}

int v3_read_headers(struct v3_stream *s, struct v3_headers *h, int64_t deadline_ns, struct err *e)
{
    uint8_t image[V3_IMAGE_HEADER_BYTES], domain[V3_DOMAIN_HEADER_BYTES];
    int rc = read_head(s, image, sizeof(image), "the image header", deadline_ns, e);

    if (rc)
        return rc;
    h->version = be32toh(get_le32(image + 12));
    if (get_le64(image) != IMAGE_MARKER)
        return err_set(e, ERR_PEER, EPROTO,
            "%s: not a migration stream of Xen 4.6 or later (convert it with "
            "convert-legacy-stream)",
            s->name);
    if (be32toh(get_le32(image + 8)) != IMAGE_ID)
        return err_set(e, ERR_PEER, EPROTO, "%s: not a Xen migration stream", s->name);
    if (h->version < 2 || h->version > 3)
        return err_set(e, ERR_PEER, EPROTO, "%s: version %" PRIu32 ", 2 and 3 can be read", s->name,
            h->version);
    if (be16toh(get_le16(image + 16)) & IMAGE_OPTION_BIG_ENDIAN)
        return err_set(e, ERR_PEER, EPROTO, "%s: from a big-endian host", s->name);

    rc = read_more(s, domain, sizeof(domain), "the domain header", e);
    if (rc)
        return rc;
    h->guest_type = get_le32(domain);
    h->xen_major = get_le32(domain + 8);
    h->xen_minor = get_le32(domain + 12);
    if (h->guest_type != V3_GUEST_PV && h->guest_type != V3_GUEST_HVM)
        return err_set(
            e, ERR_PEER, EPROTO, "%s: guest type %" PRIu32 " is not known", s->name, h->guest_type);
    if (get_le16(domain + 4) != PAGE_SHIFT)
        return err_set(
            e, ERR_PEER, EPROTO, "%s: pages of 2^%u bytes", s->name, get_le16(domain + 4));
    return 0;
}

static int grow_body(struct v3_stream *s, size_t need_bytes, struct err *e)
{
    if (need_bytes <= s->cap_bytes)
        return 0;

    const size_t cap_bytes = need_bytes > FIRST_BODY_BYTES ? need_bytes : FIRST_BODY_BYTES;
    uint8_t *body = realloc(s->body, cap_bytes);

    if (!body)
        return err_set(
            e, ERR_LOCAL, ENOMEM, "%s: no memory for a record of %zu bytes", s->name, need_bytes);
    s->body = body;
    s->cap_bytes = cap_bytes;
    return 0;
}

/* Piece by piece, so that memory grows only with bytes that really arrive. */
static int read_body(
    struct v3_stream *s, size_t done, size_t len_bytes, const char *what, struct err *e)
{
    while (done < len_bytes) {
        const size_t left = len_bytes - done;
        const size_t piece = left < 4 * PIECE_BYTES ? left : 4 * PIECE_BYTES;
        int rc = grow_body(s, done + piece, e);

        if (!rc)
            rc = read_more(s, s->body + done, piece, what, e);
        if (rc)
            return rc;
        done += piece;
    }
    return grow_body(s, 1, e);
}

static int skip_body(struct v3_stream *s, size_t len_bytes, const char *what, struct err *e)
{
    uint8_t scratch[4096];

    while (len_bytes > 0) {
        const size_t piece = len_bytes < sizeof(scratch) ? len_bytes : sizeof(scratch);
        const int rc = read_more(s, scratch, piece, what, e);

        if (rc)
            return rc;
        len_bytes -= piece;
    }
    return 0;
}

/* The next part of what was begun, with the padding behind the last one. */
static int read_part(struct v3_stream *s, struct v3_record *record, struct err *e)
{
    const char *what = v3_name(s->part_type);
    const size_t part = s->left_bytes < PIECE_BYTES ? s->left_bytes : PIECE_BYTES;
    uint8_t padding[RECORD_ALIGN];
    int rc = read_body(s, 0, part, what, e);

    if (!rc && part == s->left_bytes)
        rc = read_more(s, padding, padding_bytes(part), what, e);
    s->left_bytes -= part;
    *record = (struct v3_record){s->part_type, s->body, part, s->left_bytes > 0};
    return rc;
}

/* Of PAGE_DATA what stands before the contents. */
static int read_entries(
    struct v3_stream *s, size_t len_bytes, struct v3_record *record, struct err *e)
{
    const size_t front_bytes = len_bytes < 8 ? len_bytes : 8;
    int rc = read_body(s, 0, front_bytes, "PAGE_DATA", e);

    if (rc)
        return rc;

    const size_t entries_bytes = v3_page_entries_bytes(s->body, len_bytes);

    rc = read_body(s, front_bytes, entries_bytes, "PAGE_DATA", e);
    if (rc)
        return rc;
    s->contents_bytes = len_bytes - entries_bytes;
    *record = (struct v3_record){V3_PAGE_DATA, s->body, entries_bytes, false};
    return 0;
}

int v3_read_contents(struct v3_stream *s, struct iovec *parts, int count, struct err *e)
{
    while (count > 0) {
        struct iovec piece[PIECE_PARTS];
        int taken;
        const size_t bytes = take_piece(&parts, &count, piece, &taken);

        if (bytes > s->contents_bytes)
            return err_set(
                e, ERR_INTERNAL, EMSGSIZE, "%s: more pages are read than it has", s->name);

        const int rc = io_readv_full(s->fd, piece, taken, s->cancel, deadline_in(s->stall_ns));

        if (rc)
            return io_failed(s, "PAGE_DATA", rc == -ENODATA ? -EBADMSG : rc, e);
        s->contents_bytes -= bytes;
        s->moved_bytes += bytes;
    }
    return 0;
}

int v3_read_record(
    struct v3_stream *s, struct v3_record *record, int64_t deadline_ns, struct err *e)
{
    if (s->contents_bytes)
        return err_set(e, ERR_INTERNAL, EBUSY, "%s: pages were left in it", s->name);
    if (s->left_bytes)
        return read_part(s, record, e);
    for (;;) {
        uint8_t header[V3_RECORD_HEADER_BYTES], padding[RECORD_ALIGN];
        int rc = read_head(s, header, sizeof(header), "the next record", deadline_ns, e);

        if (rc)
            return rc;

        const uint32_t type = get_le32(header);
        const size_t len_bytes = get_le32(header + 4);
        const int64_t limit_bytes = v3_limit_bytes(type);

        if (limit_bytes < 0)
            return err_set(e, ERR_PEER, EPROTO,
                "%s: a record of type %#" PRIx32 ", which is not known here and not optional",
                s->name, type);
        if ((int64_t)len_bytes > limit_bytes)
            return err_set(e, ERR_PEER, EPROTO,
                "%s: %s record of %zu bytes, at most %" PRId64 " are allowed", s->name,
                v3_name(type), len_bytes, limit_bytes);

        if (s->in_parts && type == V3_X86_PV_P2M_FRAMES && len_bytes) {
            s->part_type = type;
            s->left_bytes = len_bytes;
            return read_part(s, record, e);
        }

        if (s->pages_apart && type == V3_PAGE_DATA)
            return read_entries(s, len_bytes, record, e);

        const bool skip = v3_is_skipped(type);

        rc = skip ? skip_body(s, len_bytes, v3_name(type), e)
                  : read_body(s, 0, len_bytes, v3_name(type), e);
        if (!rc)
            rc = read_more(s, padding, padding_bytes(len_bytes), v3_name(type), e);
        if (rc)
            return rc;
        if (skip)
            continue;
        *record = (struct v3_record){.type = type, .body = s->body, .len_bytes = len_bytes};
        return 0;
    }
}
