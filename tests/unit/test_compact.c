/* SPDX-License-Identifier: MIT */
/* Compact files: written and read, in chains, damaged in every way. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "cmd/xmigrate/compact_save.h"
#include "cmd/xmigrate/image/stock.h"
#include "transport/compact/check.h"
#include "transport/compact/file_io.h"
#include "transport/compact/ends.h"
#include "tests/unit/compact_file.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct tiny_guest guest_of(uint32_t seed)
{
    struct tiny_guest g;

    for (unsigned i = 0; i < TINY_FRAMES; i++) {
        const uint32_t r = (i + 1) * 2654435761u ^ seed * 40503u;

        g.type[i] = r % 16 == 3   ? V3_PAGE_XTAB
                    : r % 16 == 4 ? V3_PAGE_XALLOC
                    : r % 16 == 5 ? V3_PAGE_L1TAB
                                  : V3_PAGE_NOTAB;
        g.value[i] = r % 5 ? r >> 8 : 0;
    }
    return g;
}

/* A few pages change: contents, type, memory. */
static void change(struct tiny_guest *g, uint32_t seed)
{
    for (unsigned n = 0; n < 20; n++) {
        const unsigned i = (n * 977 + seed * 131) % TINY_FRAMES;

        switch ((n + seed) % 4) {
        case 0:
            g->value[i] = seed * 1000 + n;
            g->type[i] = V3_PAGE_NOTAB;
            break;
        case 1:
            g->value[i] = 0;
            break;
        case 2:
            g->type[i] = V3_PAGE_XTAB;
            break;
        default:
            g->type[i] = V3_PAGE_L1TAB;
        }
    }
}

static int add(struct compact_chain *c, int fd, const char *secret_text, struct err *e)
{
    struct file_secret secret;

    tiny_secret(secret_text, &secret);
    return compact_chain_add(c, fd, "a file", &secret, NULL, e);
}

static off_t size_of(int fd)
{
    struct stat st;

    fstat(fd, &st);
    return st.st_size;
}

static void comes_back_as_it_was(void **state)
{
    static const enum codec codecs[] = {CODEC_NONE, CODEC_LZ4, CODEC_ZSTD};
    static const char *const secrets[] = {NULL, "a secret"};
    const struct tiny_guest g = guest_of(1);

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const struct tiny_file f = {.secret = secrets[i % 2], .codec = codecs[i / 2]};
        const int fd = tiny_write(&f, &g);
        struct compact_chain c = {.count = 0};
        struct err e = ERR_INIT;
        uint64_t at;

        assert_int_equal(add(&c, fd, f.secret, &e), 0);
        assert_false(compact_chain_wants_parent(&c));
        assert_int_equal(compact_check_chunks(&c, 0, 2, NULL, &at, &e), 0);
        assert_int_equal(compact_check_pages(&c, 3, NULL, &e), 0);
        assert_int_equal(tiny_compare(&c, &g, &e), 0);
        for (int type = 1; type <= COMPACT_SECTIONS; type++) {
            struct iovec plain;

            assert_int_equal(compact_file_section(&c.files[0], type, &plain, &e), 0);
            if (type != COMPACT_INDEX) {
                assert_int_equal(plain.iov_len, strlen(tiny_sections[type]));
                assert_memory_equal(plain.iov_base, tiny_sections[type], plain.iov_len);
            }
            free(plain.iov_base);
        }
        compact_chain_close(&c);
        close(fd);
    }
}

static void compresses(void **state)
{
    const struct tiny_guest g = guest_of(1);
    off_t bytes[CODECS];

    (void)state;
    for (enum codec codec = CODEC_NONE; codec < CODECS; codec++) {
        const struct tiny_file f = {.codec = codec};
        const int fd = tiny_write(&f, &g);

        bytes[codec] = size_of(fd);
        close(fd);
    }
    assert_true(bytes[CODEC_ZSTD] < bytes[CODEC_NONE] * 6 / 10);
    assert_true(bytes[CODEC_LZ4] < bytes[CODEC_NONE] * 7 / 10);
}

enum { CHAIN = 10 };

static void chains_hold_what_changed(void **state)
{
    static const char *const secrets[] = {NULL, "a secret", NULL};
    static const enum codec codecs[] = {CODEC_ZSTD, CODEC_ZSTD, CODEC_NONE};

    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        struct compact_chain chain = {.count = 0};
        struct tiny_guest g = guest_of(7);
        struct err e = ERR_INIT;
        int fds[CHAIN];
        off_t whole_bytes = 0;

        for (unsigned n = 0; n < CHAIN; n++) {
            const struct tiny_file f = {secrets[s], n ? &chain : NULL, "parent", codecs[s]};

            if (n)
                change(&g, n);
            fds[n] = tiny_write(&f, &g);
            if (!n)
                whole_bytes = size_of(fds[0]);
            else
                assert_true(size_of(fds[n]) < whole_bytes / 10);
            compact_chain_close(&chain);
            for (unsigned i = n + 1; i-- > 0;)
                assert_int_equal(add(&chain, fds[i], secrets[s], &e), 0);
            assert_false(compact_chain_wants_parent(&chain));
            assert_int_equal(tiny_compare(&chain, &g, &e), 0);
        }
        compact_chain_close(&chain);
        for (unsigned n = 0; n < CHAIN; n++)
            close(fds[n]);
    }
}

/* Each child has a page of its own; what would be one more is refused before anything is written.
 */
static void a_chain_has_32_files_at_most(void **state)
{
    static const struct file_secret none = {.len_bytes = 0};
    struct compact_chain chain = {.count = 0};
    struct tiny_guest g = guest_of(7);
    const struct compact_plan plan = {&none, &chain, "parent"};
    int fds[COMPACT_MAX_FILES];
    struct err e = ERR_INIT;
    struct file_keys keys;

    (void)state;
    for (unsigned n = 0; n < COMPACT_MAX_FILES; n++) {
        const struct tiny_file f = {NULL, n ? &chain : NULL, "parent", CODEC_ZSTD};

        g.value[n] = 1000 + n;
        fds[n] = tiny_write(&f, &g);
        compact_chain_close(&chain);
        for (unsigned i = n + 1; i-- > 0;)
            assert_int_equal(add(&chain, fds[i], NULL, &e), 0);
    }
    assert_int_equal(chain.count, 32);
    assert_int_equal(tiny_compare(&chain, &g, &e), 0);
    assert_int_equal(compact_create(-1, &plan, &keys, &e), -E2BIG);
    assert_non_null(strstr(e.text, "32 files at most: --flatten"));
    compact_chain_close(&chain);
    for (unsigned n = 0; n < COMPACT_MAX_FILES; n++)
        close(fds[n]);
}

/* Nothing has changed: no chunk, no entry. */
static void a_child_without_changes_is_empty(void **state)
{
    struct compact_chain chain = {.count = 0};
    const struct tiny_guest g = guest_of(7);
    struct err e = ERR_INIT;
    const struct tiny_file whole = {.codec = CODEC_ZSTD};
    const int fd = tiny_write(&whole, &g);

    (void)state;
    assert_int_equal(add(&chain, fd, NULL, &e), 0);

    const struct tiny_file f = {NULL, &chain, "parent", CODEC_ZSTD};
    const int child = tiny_write(&f, &g);
    struct compact_chain c = {.count = 0};

    assert_int_equal(add(&c, child, NULL, &e), 0);
    assert_int_equal(c.files[0].index.chunk_count, 0);
    assert_int_equal(c.files[0].index.entry_count, 0);
    compact_chain_close(&c);
    compact_chain_close(&chain);
    close(child);
    close(fd);
}

static void another_key_is_told_from_damage(void **state)
{
    const struct tiny_guest g = guest_of(3);
    const struct tiny_file f = {.secret = "a secret", .codec = CODEC_ZSTD};
    const int fd = tiny_write(&f, &g);
    struct compact_chain c = {.count = 0};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(add(&c, fd, "another secret", &e), -EKEYREJECTED);
    e = (struct err)ERR_INIT;
    assert_int_equal(add(&c, fd, NULL, &e), -ENOKEY);
    close(fd);

    const struct tiny_file open_file = {.codec = CODEC_ZSTD};
    const int plain = tiny_write(&open_file, &g);

    e = (struct err)ERR_INIT;
    assert_int_equal(add(&c, plain, "a secret", &e), -EINVAL);
    close(plain);
}

/* ---- damage ---- */

struct bytes {
    uint8_t *at;
    size_t len_bytes;
};

static struct bytes read_all(int fd)
{
    struct bytes b = {.len_bytes = (size_t)size_of(fd)};
    struct err e = ERR_INIT;

    b.at = malloc(b.len_bytes);
    assert_int_equal(file_io_read(fd, b.at, b.len_bytes, 0, &e), 0);
    return b;
}

/* Everything that is looked at before a restore. */
static int look(int fd, const char *secret, struct err *e)
{
    struct compact_chain c = {.count = 0};
    uint64_t at;
    int rc = add(&c, fd, secret, e);

    for (int type = 1; type <= COMPACT_SECTIONS && !rc; type++) {
        struct iovec plain;

        rc = compact_file_section(&c.files[0], type, &plain, e);
        if (!rc)
            free(plain.iov_base);
    }
    if (!rc)
        rc = compact_check_chunks(&c, 0, 1, NULL, &at, e);
    compact_chain_close(&c);
    return rc;
}

static int small_file(const char *secret)
{
    const struct tiny_file f = {.secret = secret, .codec = CODEC_ZSTD};
    struct tiny_guest g;

    for (unsigned i = 0; i < TINY_FRAMES; i++) {
        g.type[i] = i < 3 || i == 600 ? V3_PAGE_NOTAB : V3_PAGE_XTAB;
        g.value[i] = i == 2 ? 0 : i * 2 + 1;
    }
    return tiny_write(&f, &g);
}

static void every_flipped_byte_is_found(void **state)
{
    static const char *const secrets[] = {NULL, "a secret"};

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        const int fd = small_file(secrets[s]);
        const struct bytes b = read_all(fd);
        struct err e = ERR_INIT;

        assert_int_equal(look(fd, secrets[s], &e), 0);
        for (size_t i = 0; i < b.len_bytes; i++) {
            const uint8_t flipped = b.at[i] ^ (uint8_t)(1 << i % 8);

            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
            e = (struct err)ERR_INIT;
            if (!look(fd, secrets[s], &e))
                fail_msg("byte %zu of %zu", i, b.len_bytes);
            assert_true(e.class == ERR_REFUSED && e.text[0]);
            assert_int_equal(pwrite(fd, &b.at[i], 1, (off_t)i), 1);
        }
        free(b.at);
        close(fd);
    }
}

static void every_shorter_file_is_refused(void **state)
{
    const int fd = small_file(NULL);
    struct err e = ERR_INIT;

    (void)state;
    for (off_t len = size_of(fd) - 1; len >= 0; len--) {
        assert_int_equal(ftruncate(fd, len), 0);
        e = (struct err)ERR_INIT;
        assert_int_not_equal(look(fd, NULL, &e), 0);
    }
    close(fd);
}

static void a_longer_file_is_refused(void **state)
{
    const int fd = small_file(NULL);
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(pwrite(fd, "", 1, size_of(fd)), 1);
    assert_int_not_equal(look(fd, NULL, &e), 0);
    close(fd);
}

/* ---- numbers that nobody would write, with checksums that are right ---- */

static struct file_keys keys_of(int fd)
{
    uint8_t header[COMPACT_HEADER_BYTES];
    struct file_secret none = {.len_bytes = 0};
    struct compact_header h;
    struct file_keys keys;
    struct err e = ERR_INIT;

    assert_int_equal(file_io_read(fd, header, sizeof(header), 0, &e), 0);
    assert_int_equal(compact_decode_header(header, &h, &e), 0);
    assert_int_equal(file_keys_derive(&none, h.salt, h.uuid, &keys, &e), 0);
    return keys;
}

static void seal_ends(int fd)
{
    const struct bytes b = read_all(fd);
    uint8_t *footer = b.at + b.len_bytes - COMPACT_FOOTER_BYTES;
    const struct file_keys keys = keys_of(fd);
    struct err e = ERR_INIT;

    assert_int_equal(compact_mac(&keys, b.at, footer, footer + COMPACT_FOOTER_FRONT_BYTES, &e), 0);
    assert_int_equal(file_io_write(fd, b.at, b.len_bytes, 0, &e), 0);
    free(b.at);
}

static void refuse_footer_u64(size_t at, uint64_t value)
{
    const int fd = small_file(NULL);
    struct err e = ERR_INIT;

    assert_int_equal(pwrite(fd, &value, 8, size_of(fd) - COMPACT_FOOTER_BYTES + (off_t)at), 8);
    seal_ends(fd);
    if (!look(fd, NULL, &e))
        fail_msg("footer, byte %zu: %#llx", at, (unsigned long long)value);
    close(fd);
}

static const uint64_t odd[] = {
    UINT64_MAX, UINT64_MAX - 511, UINT64_MAX / 2 + 1, 1ull << 32, 511, 0};

static void sections_out_of_place_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        refuse_footer_u64(8, odd[i]);
        for (size_t s = 0; s < COMPACT_SECTIONS; s++)
            for (size_t field = 0; field < 3; field++)
                refuse_footer_u64(32 + s * 64 + 8 + field * 8, odd[i]);
    }
}

/* INDEX with other bytes, and a checksum that fits. */
static void rewrite_index(int fd, size_t at, const void *bytes, size_t len_bytes)
{
    const struct bytes b = read_all(fd);
    uint8_t *footer = b.at + b.len_bytes - COMPACT_FOOTER_BYTES;
    uint8_t *section = footer + 32 + (COMPACT_INDEX - 1) * 64;
    uint8_t *index = b.at + get_le64(section + 8);
    struct err e = ERR_INIT;

    memcpy(index + at, bytes, len_bytes);
    assert_int_equal(file_hash(index, get_le64(section + 16), section + 32, &e), 0);
    assert_int_equal(file_io_write(fd, b.at, b.len_bytes, 0, &e), 0);
    free(b.at);
    seal_ends(fd);
}

static int with_index(size_t at, const void *bytes, size_t len_bytes)
{
    const int fd = small_file(NULL);

    rewrite_index(fd, at, bytes, len_bytes);
    return fd;
}

static void refuse_index(size_t at, const void *bytes, size_t len_bytes)
{
    const int fd = with_index(at, bytes, len_bytes);
    struct err e = ERR_INIT;

    if (!look(fd, NULL, &e))
        fail_msg("INDEX, byte %zu, %zu bytes", at, len_bytes);
    close(fd);
}

static void odd_counts_in_the_index_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        if (odd[i] != 1ull << 32)         /* which is allowed */
            refuse_index(16, &odd[i], 8); /* frames */
        refuse_index(24, &odd[i], 4);     /* chunks */
        refuse_index(28, &odd[i], 4);     /* groups */
        refuse_index(32, &odd[i], 8);     /* entries */
        refuse_index(64, &odd[i], 4);     /* bytes of a chunk */
    }
    /* Pages, extent, raw pages and codec of a chunk. */
    refuse_index(64 + 12, &(uint16_t){0}, 2);
    refuse_index(64 + 12, &(uint16_t){513}, 2);
    refuse_index(64 + 12, &(uint16_t){UINT16_MAX}, 2);
    refuse_index(64 + 8, &(uint32_t){3}, 4);
    refuse_index(64 + 8, &(uint32_t){1}, 4);
    refuse_index(64 + 14, &(uint16_t){513}, 2);
    refuse_index(64 + 16, &(uint8_t){3}, 1);
    refuse_index(64 + 17, &(uint8_t){1}, 1);
}

static void odd_groups_are_refused(void **state)
{
    const size_t group = 64 + 2 * 20; /* two chunks */

    (void)state;
    /* Of extent 0: three entries, two with contents. */
    refuse_index(group, &(uint32_t){1}, 4);
    refuse_index(group, &(uint32_t){3}, 4);
    refuse_index(group + 4, &(uint16_t){0}, 2);
    refuse_index(group + 4, &(uint16_t){513}, 2);
    refuse_index(group + 6, &(uint16_t){3}, 2);
    refuse_index(group + 6, &(uint16_t){1}, 2);
    refuse_index(group + 8, &(uint16_t){1}, 2);       /* frame 1 twice */
    refuse_index(group + 8, &(uint16_t){1 << 14}, 2); /* bits */
    refuse_index(group + 8, &(uint16_t){5 << 9}, 2);  /* a type that is not known */
    refuse_index(group + 8, &(uint16_t){1 << 13}, 2); /* a zero page, with a place left over */
    refuse_index(group + 14, &(uint32_t){1}, 4);      /* a chunk of another extent */
    refuse_index(group + 14, &(uint32_t){2}, 4);
    refuse_index(group + 14, &(uint32_t){UINT32_MAX}, 4);
    refuse_index(group + 22, &(uint16_t){2}, 2); /* a slot that it has not */
    refuse_index(group + 22, &(uint16_t){UINT16_MAX}, 2);
}

/* A file with a hole has a long INDEX for nothing. */
static void an_index_of_zeros_is_refused(void **state)
{
    enum { MORE_BYTES = 1 << 20 };
    const int fd = small_file(NULL);
    const struct bytes b = read_all(fd);
    uint8_t *footer = b.at + b.len_bytes - COMPACT_FOOTER_BYTES;
    uint8_t *section = footer + 32 + (COMPACT_INDEX - 1) * 64;
    const uint64_t end = get_le64(section + 8) + get_le64(section + 16);
    struct err e = ERR_INIT;

    (void)state;
    put_le64(footer + 8, b.len_bytes + MORE_BYTES);
    put_le64(section + 16, get_le64(section + 16) + MORE_BYTES);
    put_le64(section + 24, get_le64(section + 24) + MORE_BYTES);
    for (unsigned i = 1; i < 4; i++)
        put_le64(section + i * 64 + 8, get_le64(section + i * 64 + 8) + MORE_BYTES);
    assert_int_equal(file_io_write(fd, b.at + end, b.len_bytes - end, end + MORE_BYTES, &e), 0);
    free(b.at);
    seal_ends(fd);
    assert_int_equal(look(fd, NULL, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "section INDEX is zeros from its byte 65536 on"));
    close(fd);
}

/* An entry of a few bytes makes a group of kilobytes. */
static void more_groups_than_memory_are_refused(void **state)
{
    const struct file_secret none = {.len_bytes = 0};
    const int fd = small_file(NULL); /* it has two */
    struct compact_table t;
    struct compact_file f;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(compact_file_open(&f, fd, "a file", &e), 0);
    assert_int_equal(compact_file_unlock(&f, &none, NULL, &e), 0);
    assert_int_equal(compact_file_load(&f, COMPACT_SECTIONS, &e), 0);
    for (unsigned most = 1; most < 3; most++) {
        assert_int_equal(compact_table_init(&t, TINY_FRAMES, &e), 0);
        assert_true(t.max_entered_groups > 2);
        t.max_entered_groups = most;
        assert_int_equal(compact_index_enter(&f.index, 0, &t, &e), most < 2 ? -ENOMEM : 0);
        compact_table_destroy(&t);
        e = (struct err)ERR_INIT;
    }
    compact_file_close(&f);
    close(fd);
}

/* ---- parents ---- */

static void wrong_parents_are_refused(void **state)
{
    const struct tiny_guest g = guest_of(3);
    const struct tiny_file whole = {.codec = CODEC_ZSTD};
    const int a = tiny_write(&whole, &g), b = tiny_write(&whole, &g);
    struct compact_chain chain = {.count = 0}, c = {.count = 0};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(add(&chain, a, NULL, &e), 0);

    const struct tiny_file f = {NULL, &chain, "a", CODEC_ZSTD};
    const int child = tiny_write(&f, &g);

    assert_int_equal(add(&c, child, NULL, &e), 0);
    assert_true(compact_chain_wants_parent(&c));
    /* Another of the same guest, and itself. */
    assert_int_not_equal(add(&c, b, NULL, &e), 0);
    assert_non_null(strstr(e.text, "its UUID is another"));
    e = (struct err)ERR_INIT;
    assert_int_not_equal(add(&c, child, NULL, &e), 0);
    assert_non_null(strstr(e.text, "its UUID is another"));
    /* The parent, with another index under its UUID. */
    rewrite_index(a, 64 + 4, "crc", 3);
    e = (struct err)ERR_INIT;
    assert_int_not_equal(add(&c, a, NULL, &e), 0);
    assert_non_null(strstr(e.text, "its index is another"));
    compact_chain_close(&c);
    compact_chain_close(&chain);
    close(a);
    close(b);
    close(child);
}

/* Each says that the other is its parent. */
static void cyclic_parents_are_refused(void **state)
{
    const struct tiny_guest g = guest_of(3);
    const struct tiny_file whole = {.codec = CODEC_ZSTD};
    const int a = tiny_write(&whole, &g);
    struct compact_chain chain = {.count = 0}, c = {.count = 0};
    struct compact_header h;
    uint8_t header[COMPACT_HEADER_BYTES];
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(add(&chain, a, NULL, &e), 0);

    const struct tiny_file f = {NULL, &chain, "a", CODEC_ZSTD};
    const int child = tiny_write(&f, &g);

    assert_int_equal(add(&c, child, NULL, &e), 0);
    for (unsigned depth = 1; depth < 3; depth++) {
        h = chain.files[0].header;
        h.depth = depth;
        memcpy(h.parent_uuid, c.files[0].header.uuid, sizeof(h.parent_uuid));
        memcpy(h.parent_index, c.files[0].index_hash, sizeof(h.parent_index));
        snprintf(h.parent_name, sizeof(h.parent_name), "child");
        compact_encode_header(&h, header);
        assert_int_equal(file_io_write(a, header, sizeof(header), 0, &e), 0);
        seal_ends(a);
        assert_int_not_equal(add(&c, a, NULL, &e), 0);
        assert_non_null(strstr(e.text, "cannot be of one chain"));
        e = (struct err)ERR_INIT;
    }
    compact_chain_close(&c);
    compact_chain_close(&chain);
    close(a);
    close(child);
}

/* A hash that is not the page's is found by who looks at pages. */
static void pages_are_compared_with_their_hashes(void **state)
{
    const size_t hash = 64 + 2 * 20 + 8 + 3 * 2 + 2 * 6;
    const int fd = with_index(hash, "another hash", 12);
    struct compact_chain c = {.count = 0};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(add(&c, fd, NULL, &e), 0);
    assert_int_equal(compact_check_pages(&c, 2, NULL, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "frame 0x0 is not what the index says"));
    compact_chain_close(&c);
    close(fd);
}

static void a_footer_of_three_sections_has_no_more(void **state)
{
    struct compact_footer f = {.file_bytes = 1024, .section_count = 3}, back;
    uint8_t footer[COMPACT_FOOTER_FRONT_BYTES];
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        f.sections[i].offset = 512;
    compact_encode_footer(&f, footer);
    assert_int_equal(compact_decode_footer(footer, 1024, false, &back, &e), 0);
    assert_int_equal(back.section_count, 3);
    for (size_t at = 32 + 3 * 64; at < COMPACT_FOOTER_FRONT_BYTES; at++) {
        footer[at] = 1;
        assert_int_not_equal(compact_decode_footer(footer, 1024, false, &back, &e), 0);
        footer[at] = 0;
    }
}

static void a_configuration_with_a_nul_is_refused(void **state)
{
    const struct file_secret none = {.len_bytes = 0};
    const int fd = small_file(NULL);
    const struct bytes b = read_all(fd);
    uint8_t *section = b.at + b.len_bytes - COMPACT_FOOTER_BYTES + 32 + (COMPACT_CONFIG - 1) * 64;
    uint8_t *config = b.at + get_le64(section + 8);
    struct compact_chain c = {.count = 0};
    struct err e = ERR_INIT;
    char *text;

    (void)state;
    config[get_le64(section + 16) - 1] = 0;
    assert_int_equal(file_hash(config, get_le64(section + 16), section + 32, &e), 0);
    assert_int_equal(file_io_write(fd, b.at, b.len_bytes, 0, &e), 0);
    free(b.at);
    seal_ends(fd);
    assert_int_equal(compact_chain_add(&c, fd, "a file", &none, NULL, &e), 0);
    assert_int_equal(compact_file_text(&c.files[0], COMPACT_NOTE, &text, &e), 0);
    free(text);
    assert_int_equal(compact_file_text(&c.files[0], COMPACT_CONFIG, &text, &e), -EBADMSG);
    compact_chain_close(&c);
    close(fd);
}

/* It says of whom the file is, which does not depend on how much memory that one has. */
static void a_front_is_read_without_the_index(void **state)
{
    const int fd = small_file(NULL);
    const struct bytes b = read_all(fd);
    const uint8_t *section = b.at + b.len_bytes - COMPACT_FOOTER_BYTES + 32 +
                             (COMPACT_INDEX - 1) * 64;
    struct image image;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(pwrite(fd, "damage", 6, (off_t)get_le64(section + 8)), 6);
    assert_int_not_equal(look(fd, NULL, &e), 0);
    e = (struct err)ERR_INIT;
    assert_int_equal(chain_files_read_front(fd, "a file", NULL, &image, &e), 0);
    assert_string_equal(image.config, tiny_sections[COMPACT_CONFIG]);
    image_clear(&image);
    free(b.at);
    close(fd);
}

/* What a newer file replaces may be damaged in an older one. */
static void only_needed_chunks_are_checked(void **state)
{
    struct tiny_guest g = guest_of(3);
    const struct tiny_file whole = {.codec = CODEC_NONE};
    const int a = tiny_write(&whole, &g);
    struct compact_chain chain = {.count = 0}, c = {.count = 0};
    struct err e = ERR_INIT;
    uint64_t at;

    (void)state;
    assert_int_equal(add(&chain, a, NULL, &e), 0);
    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        g.value[i] = 0;

    const struct tiny_file f = {NULL, &chain, "a", CODEC_NONE};
    const int child = tiny_write(&f, &g);
    const uint64_t last_at =
        chain.files[0].index.chunks[chain.files[0].index.chunk_count - 1].offset;

    assert_int_equal(add(&c, child, NULL, &e), 0);
    assert_int_equal(add(&c, a, NULL, &e), 0);
    assert_int_equal(pwrite(a, "damage", 6, COMPACT_HEADER_BYTES), 6);
    assert_int_equal(compact_check_needed(&c, 2, NULL, &e), 0);
    assert_int_equal(compact_check_chunks(&c, 1, 2, NULL, &at, &e), -EBADMSG);
    e = (struct err)ERR_INIT;
    assert_int_equal(pwrite(a, "damage", 6, (off_t)last_at), 6);
    assert_int_equal(compact_check_needed(&c, 2, NULL, &e), -EBADMSG);
    compact_chain_close(&c);
    compact_chain_close(&chain);
    close(child);
    close(a);
}

/* What is not known is not demanded. */
static void room_is_asked_for_where_it_is_known(void **state)
{
    struct options o = {.compress = CODEC_NONE};
    struct compact_save c;

    (void)state;
    compact_save_init(&c, &o);
    c.parent.chain.count = 0;
    assert_int_equal(compact_save_room_bytes(&c, 1 << 20), 1 << 20);
    c.parent.chain.count = 1;
    assert_int_equal(compact_save_room_bytes(&c, 1 << 20), 0);
    c.parent.chain.count = 0;
    o.compress = CODEC_AUTO;
    assert_int_equal(compact_save_room_bytes(&c, 1 << 20), 0);
}

/* In the middle of whatever takes long. */
static void a_signal_ends_a_look(void **state)
{
    const struct file_secret none = {.len_bytes = 0};
    const int fd = small_file(NULL), out = memfd_create("stock", MFD_CLOEXEC);
    struct compact_chain c = {.count = 0};
    struct image image = {0};
    struct cancel cancel;
    struct err e[4] = {ERR_INIT, ERR_INIT, ERR_INIT, ERR_INIT};
    uint64_t at;

    (void)state;
    assert_int_equal(cancel_init(&cancel, &e[0]), 0);
    assert_int_equal(compact_chain_add(&c, fd, "a file", &none, NULL, &e[0]), 0);
    cancel_fire(&cancel);
    assert_int_equal(compact_check_chunks(&c, 0, 2, &cancel, &at, &e[0]), -ECANCELED);
    assert_int_equal(compact_check_pages(&c, 2, &cancel, &e[1]), -ECANCELED);
    assert_int_equal(stock_write(&c, out, &cancel, &e[2]), -ECANCELED);
    assert_int_equal(stock_scan(&c, "a file", &cancel, &image, &e[3]), -ECANCELED);
    image_clear(&image);
    cancel_destroy(&cancel);
    compact_chain_close(&c);
    close(out);
    close(fd);
}

/* ---- headers ---- */

static void refuse_header(size_t at, const void *bytes, size_t len_bytes)
{
    const int fd = small_file(NULL);
    uint8_t header[COMPACT_HEADER_BYTES];
    struct compact_header h;
    struct err e = ERR_INIT;

    assert_int_equal(file_io_read(fd, header, sizeof(header), 0, &e), 0);
    memcpy(header + at, bytes, len_bytes);
    put_le32(header + 508, crc32c(0, header, 508));
    assert_int_not_equal(compact_decode_header(header, &h, &e), 0);
    close(fd);
}

static void odd_headers_are_refused(void **state)
{
    (void)state;
    refuse_header(0, "X", 1);
    refuse_header(16, &(uint32_t){2}, 4); /* version */
    refuse_header(20, &(uint32_t){4}, 4); /* flags */
    refuse_header(20, &(uint32_t){2}, 4); /* incremental, on nothing */
    refuse_header(24, &(uint32_t){1}, 4); /* on a file, and not incremental */
    refuse_header(28, &(uint32_t){1}, 4);
    refuse_header(48, "parent", 6);
    refuse_header(64, "index", 5);
    refuse_header(128, "check", 5);
    refuse_header(144, "name", 4);
    refuse_header(400, "more", 4);
}

static void odd_parents_in_headers_are_refused(void **state)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/a"};
    struct compact_header h = {.depth = 1, .uuid = {1}, .parent_uuid = {2}}, back;
    uint8_t header[COMPACT_HEADER_BYTES];
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        snprintf(h.parent_name, sizeof(h.parent_name), "%s", names[i]);
        compact_encode_header(&h, header);
        assert_int_not_equal(compact_decode_header(header, &back, &e), 0);
    }
    snprintf(h.parent_name, sizeof(h.parent_name), "a");
    compact_encode_header(&h, header);
    assert_int_equal(compact_decode_header(header, &back, &e), 0);
    h.depth = COMPACT_MAX_FILES;
    compact_encode_header(&h, header);
    assert_int_not_equal(compact_decode_header(header, &back, &e), 0);
    h.depth = 1;
    h.parent_uuid[0] = 1; /* itself */
    compact_encode_header(&h, header);
    assert_int_not_equal(compact_decode_header(header, &back, &e), 0);
}

/* Another header stood there when it was read than the one that the footer authenticates. */
static void a_header_that_changes_is_refused(void **state)
{
    const struct file_secret none = {.len_bytes = 0};
    const int fd = small_file(NULL);
    uint8_t was[COMPACT_HEADER_BYTES], header[COMPACT_HEADER_BYTES];
    struct compact_header h;
    struct compact_file f;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(file_io_read(fd, was, sizeof(was), 0, &e), 0);
    assert_int_equal(compact_decode_header(was, &h, &e), 0);
    h.depth = 1;
    h.parent_uuid[0]++;
    snprintf(h.parent_name, sizeof(h.parent_name), "one that is fed to us");
    compact_encode_header(&h, header);
    assert_int_equal(file_io_write(fd, header, sizeof(header), 0, &e), 0);
    assert_int_equal(compact_file_open(&f, fd, "a file", &e), 0);
    assert_int_equal(file_io_write(fd, was, sizeof(was), 0, &e), 0);
    assert_int_equal(compact_file_unlock(&f, &none, NULL, &e), 0);
    assert_int_equal(compact_file_load(&f, COMPACT_SECTIONS, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "its footer does not authenticate it"));
    compact_file_close(&f);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(compresses),
        cmocka_unit_test(chains_hold_what_changed),
        cmocka_unit_test(a_chain_has_32_files_at_most),
        cmocka_unit_test(a_child_without_changes_is_empty),
        cmocka_unit_test(wrong_parents_are_refused),
        cmocka_unit_test(cyclic_parents_are_refused),
        cmocka_unit_test(another_key_is_told_from_damage),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(every_shorter_file_is_refused),
        cmocka_unit_test(a_longer_file_is_refused),
        cmocka_unit_test(sections_out_of_place_are_refused),
        cmocka_unit_test(odd_counts_in_the_index_are_refused),
        cmocka_unit_test(odd_groups_are_refused),
        cmocka_unit_test(an_index_of_zeros_is_refused),
        cmocka_unit_test(more_groups_than_memory_are_refused),
        cmocka_unit_test(pages_are_compared_with_their_hashes),
        cmocka_unit_test(a_footer_of_three_sections_has_no_more),
        cmocka_unit_test(a_configuration_with_a_nul_is_refused),
        cmocka_unit_test(a_front_is_read_without_the_index),
        cmocka_unit_test(only_needed_chunks_are_checked),
        cmocka_unit_test(room_is_asked_for_where_it_is_known),
        cmocka_unit_test(a_signal_ends_a_look),
        cmocka_unit_test(odd_headers_are_refused),
        cmocka_unit_test(a_header_that_changes_is_refused),
        cmocka_unit_test(odd_parents_in_headers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
