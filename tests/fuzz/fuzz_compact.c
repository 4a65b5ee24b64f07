/* SPDX-License-Identifier: MIT */
/* A compact file without parents, as --restore and --inspect read it: refused, or all of its pages
 * can be read. Checksums and MACs are made right first, or nothing would come past them. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "transport/compact/aux.h"
#include "transport/compact/check.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct file_secret none;

/* What the footer says of a section, if it lies within. */
static uint8_t *section_of(uint8_t *data, size_t size, unsigned type, size_t *len_bytes)
{
    uint8_t *s = data + size - COMPACT_FOOTER_BYTES + 32 + (type - 1) * 64;
    const uint64_t at = get_le64(s + 8), len = get_le64(s + 16);

    *len_bytes = len;
    return at <= size && len <= size - at ? data + at : NULL;
}

/* Of the chunks that INDEX has, as far as they lie within. */
static void fit_chunks(uint8_t *data, size_t size, uint8_t *index, size_t index_bytes)
{
    const uint32_t count = index_bytes >= 64 ? get_le32(index + 24) : 0;
    uint64_t at = COMPACT_HEADER_BYTES;

    for (uint32_t i = 0; i < count && 64 + (i + 1) * (size_t)20 <= index_bytes; i++) {
        uint8_t *c = index + 64 + i * (size_t)20;
        const uint32_t len = get_le32(c);

        if (at > size || len > size - at)
            return;
        put_le32(c + 4, crc32c(0, data + at, len));
        at += len;
    }
}

static void fit(uint8_t *data, size_t size)
{
    uint8_t *footer = data + size - COMPACT_FOOTER_BYTES, *index;
    struct compact_header h;
    struct file_keys keys;
    struct err e = ERR_INIT;
    size_t len_bytes;

    put_le32(data + 508, crc32c(0, data, 508));
    index = section_of(data, size, COMPACT_INDEX, &len_bytes);
    if (index)
        fit_chunks(data, size, index, len_bytes);
    for (unsigned type = 1; type <= COMPACT_SECTIONS; type++) {
        const uint8_t *bytes = section_of(data, size, type, &len_bytes);

        if (bytes)
            file_hash(bytes, len_bytes, footer + 32 + (type - 1) * 64 + 32, &e);
    }
    if (compact_decode_header(data, &h, &e))
        return;
    must(!file_keys_derive(&none, h.salt, h.uuid, &keys, &e));
    must(!compact_mac(&keys, data, footer, footer + COMPACT_FOOTER_FRONT_BYTES, &e));
}

static void read_aux(const struct iovec *head, uint64_t frame_count)
{
    static struct compact_aux aux;
    struct err e = ERR_INIT;
    const uint8_t *key;
    uint32_t bytes;

    if (compact_aux_read(&aux, head, frame_count, &e)) {
        must(e.class == ERR_REFUSED && !aux.count);
        return;
    }
    must(aux.states_bytes <= head->iov_len);
    for (unsigned i = 0; i < aux.count; i++) {
        const struct compact_aux_part *p = &aux.parts[i];
        uint64_t found = 0;

        must(p->first_frame + p->source.most_entries <= frame_count);
        for (uint64_t n = 0; n < p->source.most_entries && n < 4096; n++)
            found += compact_aux_find(&aux, p->first_frame + n, &key, &bytes) == p;
        must(found <= p->key_count);
    }
    compact_aux_destroy(&aux);
}

static void read_sections(struct compact_chain *c)
{
    for (int type = 1; type <= COMPACT_SECTIONS; type++) {
        struct err e = ERR_INIT;
        struct iovec plain;

        if (compact_file_section(&c->files[0], type, &plain, &e)) {
            must(err_is_set(&e));
            continue;
        }
        if (type == COMPACT_HEAD)
            read_aux(&plain, c->table.frame_count);
        free(plain.iov_base);
    }
}

static void look_at(struct compact_chain *c)
{
    struct err e = ERR_INIT;
    uint64_t at;

    must(c->count == 1 && c->table.frame_count && c->table.frame_count <= COMPACT_MAX_FRAMES);
    read_sections(c);
    if (compact_check_chunks(c, 0, 1, NULL, &at, &e) || compact_check_pages(c, 1, NULL, &e))
        must(e.class == ERR_REFUSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct compact_chain c;
    static int fd = -1;
    struct err e = ERR_INIT;
    uint8_t *copy = malloc(size ?: 1);

    memcpy(copy, data, size);
    if (size >= COMPACT_HEADER_BYTES + COMPACT_FOOTER_BYTES)
        fit(copy, size);
    if (fd < 0)
        fd = memfd_create("compact", MFD_CLOEXEC);
    must(pwrite(fd, copy, size, 0) == (ssize_t)size && !ftruncate(fd, (off_t)size));
    free(copy);
    if (!compact_chain_add(&c, fd, "the file", &none, NULL, &e))
        look_at(&c);
    else
        must(e.class == ERR_REFUSED && c.damage_at <= size);
    compact_chain_close(&c);
    return 0;
}
