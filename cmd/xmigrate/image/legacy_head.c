/* SPDX-License-Identifier: MIT */
/* An old file's front, and the head of its stream: length, type of guest, p2m frames. */
#include "cmd/xmigrate/image/legacy_read.h"

#include "base/bytes.h"

#include <inttypes.h>

enum {
    WORDS_AT_ONCE = 1024,
    MAX_EXTENDED_BYTES = 64 << 10,
    BLOCK_HEADER_BYTES = 8, /* of the extended info */
    MAX_XSAVE_BYTES = LEGACY_XSAVE_HEADER_BYTES + (1 << 20),
    GIB = 1 << 30,
};

/* ---- numbers ---- */

int legacy_take_u32(struct legacy_reader *r, uint32_t *value, struct err *e)
{
    return file_take(&r->file, value, sizeof(*value), e);
}

int legacy_take_u64(struct legacy_reader *r, uint64_t *value, struct err *e)
{
    return file_take(&r->file, value, sizeof(*value), e);
}

int legacy_take_words(struct legacy_reader *r, uint64_t *words, unsigned count, struct err *e)
{
    const unsigned width = r->l->tools_width;
    const int rc = file_take(&r->file, words, (size_t)count * width, e);

    if (rc || width == sizeof(words[0]))
        return rc;
    for (unsigned i = count; i-- > 0;)
        words[i] = get_le32((const uint8_t *)words + i * sizeof(uint32_t));
    return 0;
}

/* A list of PFNs, which stays where it is. */
int legacy_skip_pfns(struct legacy_reader *r, uint64_t count, struct legacy_piece *piece,
    const char *what, struct err *e)
{
    uint64_t words[WORDS_AT_ONCE];
    int rc = 0;

    *piece = (struct legacy_piece){r->file.at, count * r->l->tools_width};
    while (count && !rc) {
        const unsigned n = count < WORDS_AT_ONCE ? (unsigned)count : WORDS_AT_ONCE;

        rc = legacy_take_words(r, words, n, e);
        for (unsigned i = 0; i < n && !rc; i++)
            if (words[i] >= r->l->frame_count)
                rc = err_damaged(
                    e, "%s has frame 0x%" PRIx64 ", which the guest does not", what, words[i]);
        count -= n;
    }
    return rc;
}

/* ---- xl's front ---- */

int legacy_read_front(struct legacy_reader *r, struct err *e)
{
    uint8_t header[XL_FILE_HEADER_BYTES];
    struct xl_front front;
    struct image_note ignored;
    int rc = file_take(&r->file, header, sizeof(header), e);

    if (!rc)
        rc = xl_file_read_header(header, &front, e);
    if (!rc && front.stream_v2)
        rc = err_damaged(e, "it is of Xen 4.6 or later");
    if (rc)
        return rc;
    r->file.item_at = r->file.at;
    rc = file_take_body(&r->file, front.optional_bytes, e);
    if (!rc)
        rc = xl_file_keep_config(r->file.body, &front, &r->l->config, &ignored, e);
    r->l->config_is_text = !front.json;
    r->l->stream_bytes = r->file.at;
    return rc;
}

/* ---- the head ---- */

int legacy_first_word(
    uint32_t word, uint32_t next, unsigned *width, uint64_t *frame_count, struct err *e)
{
    const int32_t marker = (int32_t)next;

    /* Tools of 32 bits write no guest without frames, and no stream that ends after its head. */
    *width = word && next ? 4 : 8;
    *frame_count = *width == 4 ? word : (uint64_t)next << 32 | word;
    if (!*frame_count)
        return err_damaged(e, "it says that the guest has no frames");
    if (*width == 4 && (marker < LEGACY_LOWEST || marker > LEGACY_MAX_BATCH))
        return err_damaged(
            e, "it begins with 0x%08x 0x%08x: no length, and no length and a marker", word, next);
    if (*frame_count <= LEGACY_MAX_FRAMES)
        return 0;
    return err_damaged(e,
        "it says that the guest has 0x%" PRIx64 " frames (%" PRIu64 " GiB), and with 28 bits it "
        "names no more than 1 TiB",
        *frame_count, *frame_count / (GIB / PAGE_BYTES));
}

static int read_first_word(struct legacy_reader *r, struct err *e)
{
    uint32_t words[2];
    struct legacy *l = r->l;
    int rc = file_take(&r->file, words, sizeof(words), e);

    if (!rc)
        rc = legacy_first_word(words[0], words[1], &l->tools_width, &l->frame_count, e);
    if (!rc)
        r->file.at -= sizeof(words) - l->tools_width;
    return rc;
}

static bool is_block(const char id[static 4])
{
    return !memcmp(id, "vcpu", 4) || !memcmp(id, "extv", 4) || !memcmp(id, "xcnt", 4);
}

/* An unsigned long of ones is the extended info's, or, as an int, a marker of an HVM guest's. */
static int find_type(struct legacy_reader *r, uint32_t *extended_bytes, struct err *e)
{
    const uint64_t ones = r->l->tools_width == 4 ? UINT32_MAX : UINT64_MAX, at = r->file.at;
    struct {
        uint32_t len_bytes;
        char id[4];
    } front = {0};
    uint64_t word;
    int rc = legacy_take_words(r, &word, 1, e);

    if (!rc && word == ones)
        rc = file_take(&r->file, &front, sizeof(front), e);
    if (rc)
        return rc;
    *extended_bytes = front.len_bytes;
    r->l->guest_type = is_block(front.id) ? V3_GUEST_PV : V3_GUEST_HVM;
    r->file.at = r->l->guest_type == V3_GUEST_PV ? r->file.at - sizeof(front.id) : at;
    return 0;
}

static int read_block(struct legacy_reader *r, const char *id, uint32_t len_bytes, struct err *e)
{
    struct legacy *l = r->l;

    if (!memcmp(id, "vcpu", 4)) {
        if (len_bytes != V3_VCPU_BASIC_64_BYTES && len_bytes != V3_VCPU_BASIC_32_BYTES)
            return err_damaged(e, "the extended info's vCPU has %u bytes", len_bytes);
        l->guest_width = len_bytes == V3_VCPU_BASIC_64_BYTES ? 8 : 4;
    } else if (!memcmp(id, "extv", 4)) {
        l->extended = true;
    } else if (!memcmp(id, "xcnt", 4) && len_bytes == sizeof(l->xsave_bytes)) {
        const int rc = legacy_take_u32(r, &l->xsave_bytes, e);

        if (!rc && (l->xsave_bytes < LEGACY_XSAVE_HEADER_BYTES || l->xsave_bytes > MAX_XSAVE_BYTES))
            return err_damaged(
                e, "the extended info's vCPUs have %u bytes of state", l->xsave_bytes);
        return rc;
    }
    return file_skip(&r->file, len_bytes, e);
}

/* Others than those three are left out, as Xen does. */
static int read_extended(struct legacy_reader *r, uint32_t len_bytes, struct err *e)
{
    struct {
        char id[4];
        uint32_t len_bytes;
    } block;
    int rc = 0;

    if (len_bytes > MAX_EXTENDED_BYTES)
        return err_damaged(e, "its extended info would have %u bytes", len_bytes);
    while (len_bytes && !rc) {
        rc = len_bytes < BLOCK_HEADER_BYTES ? err_damaged(e, "its extended info is cut off")
                                            : file_take(&r->file, &block, sizeof(block), e);
        len_bytes -= rc ? 0 : BLOCK_HEADER_BYTES;
        if (!rc && block.len_bytes > len_bytes)
            rc = err_damaged(e, "a block of its extended info has %u bytes", block.len_bytes);
        if (!rc)
            rc = read_block(r, block.id, block.len_bytes, e);
        len_bytes -= rc ? 0 : block.len_bytes;
    }
    return rc || r->l->guest_width ? rc : err_damaged(e, "its extended info has no vCPU");
}

static int read_p2m(struct legacy_reader *r, struct err *e)
{
    const struct legacy *l = r->l;

    r->file.item_at = r->file.at;
    return legacy_skip_pfns(r,
        v3_p2m_frame_count(0, (uint32_t)(l->frame_count - 1), l->guest_width), &r->l->p2m,
        "the list of p2m frames", e);
}

int legacy_read_head(struct legacy_reader *r, struct err *e)
{
    uint32_t extended_bytes;
    int rc;

    r->file.item_at = r->file.at;
    rc = read_first_word(r, e);
    if (rc)
        return rc;
    r->file.item_at = r->file.at;
    rc = find_type(r, &extended_bytes, e);
    if (rc || r->l->guest_type == V3_GUEST_HVM)
        return rc;
    rc = read_extended(r, extended_bytes, e);
    return rc ? rc : read_p2m(r, e);
}
