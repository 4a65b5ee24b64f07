/* SPDX-License-Identifier: MIT */
#include "transport/compact/format.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char compact_word[COMPACT_WORD_BYTES] = "xmigrate compact";

enum { VERSION = 1, FLAG_ENCRYPTED = 1, FLAG_INCREMENTAL = 2 };

/* Where the header's name ends, and its checksum begins. */
enum { ZEROS_AT = 400, CRC_AT = COMPACT_HEADER_BYTES - 4 };

static const char footer_word[8] = "XMC end\n";
enum { SECTIONS_AT = 32, SECTION_BYTES = 64 };

static bool is_zero(const uint8_t *p, size_t len_bytes)
{
    while (len_bytes && !*p) {
        p++;
        len_bytes--;
    }
    return !len_bytes;
}

/* ---- header ---- */

void compact_encode_header(const struct compact_header *h, uint8_t out[static COMPACT_HEADER_BYTES])
{
    struct bytes_out o = bytes_out_init(out, COMPACT_HEADER_BYTES);
    const uint32_t flags = (h->encrypted ? FLAG_ENCRYPTED : 0) |
                           (h->depth ? (uint32_t)FLAG_INCREMENTAL : 0);

    memset(out, 0, COMPACT_HEADER_BYTES);
    bytes_out_copy(&o, compact_word, sizeof(compact_word));
    bytes_out_u32(&o, VERSION);
    bytes_out_u32(&o, flags);
    bytes_out_u32(&o, h->depth);
    bytes_out_u32(&o, 0);
    bytes_out_copy(&o, h->uuid, sizeof(h->uuid));
    bytes_out_copy(&o, h->parent_uuid, sizeof(h->parent_uuid));
    bytes_out_copy(&o, h->parent_index, sizeof(h->parent_index));
    bytes_out_copy(&o, h->salt, sizeof(h->salt));
    bytes_out_copy(&o, h->check, sizeof(h->check));
    bytes_out_copy(&o, h->parent_name, strnlen(h->parent_name, COMPACT_NAME_BYTES - 1));
    put_le32(out + CRC_AT, crc32c(0, out, CRC_AT));
}

static bool has_control(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return true;
    return false;
}

/* One name, in the directory of the file that has it. */
static bool is_file_name(const char name[static COMPACT_NAME_BYTES])
{
    const size_t len = strnlen(name, COMPACT_NAME_BYTES);

    return len && len < COMPACT_NAME_BYTES && strcmp(name, ".") && strcmp(name, "..") &&
           !memchr(name, '/', len) && !has_control(name, len) &&
           is_zero((const uint8_t *)name + len, COMPACT_NAME_BYTES - len);
}

static int check_parent(const struct compact_header *h, uint32_t flags, struct err *e)
{
    const bool incremental = flags & FLAG_INCREMENTAL;

    if (incremental != (h->depth != 0) || h->depth >= COMPACT_MAX_FILES)
        return err_damaged(e, "its header says that it stands on %u files", h->depth);
    if (incremental ? !is_file_name(h->parent_name)
                    : !is_zero((const uint8_t *)h->parent_name, sizeof(h->parent_name)) ||
                          !is_zero(h->parent_uuid, sizeof(h->parent_uuid)) ||
                          !is_zero(h->parent_index, sizeof(h->parent_index)))
        return err_damaged(e, "what its header says of a parent makes no sense");
    if (!memcmp(h->uuid, h->parent_uuid, sizeof(h->uuid)))
        return err_damaged(e, "its header says that it is its own parent");
    return 0;
}

int compact_decode_header(
    const uint8_t in[static COMPACT_HEADER_BYTES], struct compact_header *h, struct err *e)
{
    struct bytes_in i = bytes_in_init(in, COMPACT_HEADER_BYTES);
    const char *word = bytes_in_take(&i, sizeof(compact_word));
    const uint32_t version = bytes_in_u32(&i), flags = bytes_in_u32(&i);

    *h = (struct compact_header){.encrypted = flags & FLAG_ENCRYPTED};
    if (memcmp(word, compact_word, sizeof(compact_word)))
        return err_damaged(e, "it does not begin as a compact file does");
    if (version != VERSION || flags & ~(uint32_t)(FLAG_ENCRYPTED | FLAG_INCREMENTAL))
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "it needs a newer reader (version %u, flags 0x%x)", version, flags);
    if (get_le32(in + CRC_AT) != crc32c(0, in, CRC_AT))
        return err_damaged(e, "its header's checksum is not right");
    h->depth = bytes_in_u32(&i);

    const uint32_t zero = bytes_in_u32(&i);

    memcpy(h->uuid, bytes_in_take(&i, sizeof(h->uuid)), sizeof(h->uuid));
    memcpy(h->parent_uuid, bytes_in_take(&i, sizeof(h->parent_uuid)), sizeof(h->parent_uuid));
    memcpy(h->parent_index, bytes_in_take(&i, sizeof(h->parent_index)), sizeof(h->parent_index));
    memcpy(h->salt, bytes_in_take(&i, sizeof(h->salt)), sizeof(h->salt));
    memcpy(h->check, bytes_in_take(&i, sizeof(h->check)), sizeof(h->check));
    memcpy(h->parent_name, bytes_in_take(&i, sizeof(h->parent_name)), sizeof(h->parent_name));
    if (zero || !is_zero(in + ZEROS_AT, CRC_AT - ZEROS_AT) ||
        (!h->encrypted && !is_zero(h->check, sizeof(h->check))))
        return err_damaged(e, "its header has bytes that should be zero");
    return check_parent(h, flags, e);
}

/* ---- footer ---- */

static const struct section_rule {
    const char *name;
    uint64_t max_bytes; /* 0: what the file has */
} rules[COMPACT_SECTIONS + 1] = {
    [COMPACT_HEAD] = {"HEAD", 256u << 20},
    [COMPACT_TAIL] = {"TAIL", 256u << 20},
    [COMPACT_INDEX] = {"INDEX", 0},
    [COMPACT_LIBXL] = {"LIBXL", 1u << 30},
    [COMPACT_CONFIG] = {"CONFIG", 4u << 20},
    [COMPACT_NOTE] = {"NOTE", 4u << 10},
};

const char *compact_section_name(enum compact_section_type type)
{
    return rules[type].name;
}

void compact_encode_footer(
    const struct compact_footer *f, uint8_t out[static COMPACT_FOOTER_FRONT_BYTES])
{
    struct bytes_out o = bytes_out_init(out, COMPACT_FOOTER_FRONT_BYTES);

    memset(out, 0, COMPACT_FOOTER_FRONT_BYTES);
    bytes_out_copy(&o, footer_word, sizeof(footer_word));
    bytes_out_u64(&o, f->file_bytes);
    bytes_out_copy(&o, f->uuid, sizeof(f->uuid));
    for (unsigned i = 0; i < f->section_count; i++) {
        const struct compact_section *s = &f->sections[i];

        bytes_out_u32(&o, i + 1);
        bytes_out_u32(&o, 0);
        bytes_out_u64(&o, s->offset);
        bytes_out_u64(&o, s->stored_bytes);
        bytes_out_u64(&o, s->plain_bytes);
        bytes_out_copy(&o, s->hash, sizeof(s->hash));
    }
}

/* at: where it has to begin; 0: the first one, behind the chunks. end: of the last. */
static int check_section(const struct compact_section *s, enum compact_section_type type,
    uint64_t at, uint64_t end, bool encrypted, struct err *e)
{
    const struct section_rule *r = &rules[type];

    if (s->offset < COMPACT_HEADER_BYTES || (at && s->offset != at) || s->offset > end ||
        s->stored_bytes > end - s->offset)
        return err_damaged(e, "its section %s would be at byte %" PRIu64 ", %" PRIu64 " bytes long",
            r->name, s->offset, s->stored_bytes);
    if (s->plain_bytes > s->stored_bytes ||
        s->stored_bytes - s->plain_bytes != (encrypted ? FILE_TAG_BYTES : 0) ||
        (r->max_bytes && s->plain_bytes > r->max_bytes))
        return err_damaged(e, "its section %s would have %" PRIu64 " bytes, stored as %" PRIu64,
            r->name, s->plain_bytes, s->stored_bytes);
    return 0;
}

static int decode_sections(
    struct bytes_in *i, bool encrypted, struct compact_footer *f, struct err *e)
{
    const uint64_t end = f->file_bytes - COMPACT_FOOTER_BYTES;
    uint64_t at = 0;
    int rc = 0;

    for (unsigned n = 0; n < COMPACT_SECTIONS && !rc; n++) {
        struct compact_section *s = &f->sections[n];
        const uint8_t *front = bytes_in_take(i, 8);
        const uint32_t type = get_le32(front);

        s->offset = bytes_in_u64(i);
        s->stored_bytes = bytes_in_u64(i);
        s->plain_bytes = bytes_in_u64(i);
        memcpy(s->hash, bytes_in_take(i, sizeof(s->hash)), sizeof(s->hash));
        if (!type && n == COMPACT_ENGINE_SECTIONS)
            break;
        if (type != n + 1 || get_le32(front + 4))
            return err_damaged(
                e, "its footer has a section %u in the place of %s", type, rules[n + 1].name);
        rc = check_section(s, (enum compact_section_type)type, at, end, encrypted, e);
        at = s->offset + s->stored_bytes;
        f->section_count = n + 1;
    }
    if (!rc && at != end)
        rc = err_damaged(e, "its last section does not end where its footer begins");
    return rc;
}

int compact_decode_footer(const uint8_t in[static COMPACT_FOOTER_FRONT_BYTES], uint64_t file_bytes,
    bool encrypted, struct compact_footer *f, struct err *e)
{
    struct bytes_in i = bytes_in_init(in, COMPACT_FOOTER_FRONT_BYTES);
    const char *word = bytes_in_take(&i, sizeof(footer_word));

    *f = (struct compact_footer){.file_bytes = bytes_in_u64(&i)};
    if (memcmp(word, footer_word, sizeof(footer_word)))
        return err_damaged(e, "it does not end as a compact file does");
    if (f->file_bytes != file_bytes)
        return err_damaged(
            e, "it has %" PRIu64 " bytes, and its footer says %" PRIu64, file_bytes, f->file_bytes);
    memcpy(f->uuid, bytes_in_take(&i, sizeof(f->uuid)), sizeof(f->uuid));

    const int rc = decode_sections(&i, encrypted, f, e);
    const size_t zeros_at = SECTIONS_AT + f->section_count * (size_t)SECTION_BYTES;

    if (!rc && !is_zero(in + zeros_at, COMPACT_FOOTER_FRONT_BYTES - zeros_at))
        return err_damaged(e, "its footer has bytes that should be zero");
    return rc;
}

int compact_mac(const struct file_keys *keys, const uint8_t header[static COMPACT_HEADER_BYTES],
    const uint8_t footer[static COMPACT_FOOTER_FRONT_BYTES], uint8_t mac[static FILE_MAC_BYTES],
    struct err *e)
{
    const struct iovec parts[] = {
        {(void *)header, COMPACT_HEADER_BYTES}, {(void *)footer, COMPACT_FOOTER_FRONT_BYTES}};

    return file_mac(keys, parts, 2, mac, e);
}
