/* SPDX-License-Identifier: MIT */
/* Files of a Xen before 4.6: the numbers that are two things at once, runs of a compressed page,
 * and every way to cut and damage the generator's files. */
#include "base/bytes.h"
#include "base/limits.h"
#include "cmd/xmigrate/image/legacy_export.h"
#include "cmd/xmigrate/image/legacy_read.h"
#include "cmd/xmigrate/image/legacy_toolstack.h"
#include "cmd/xmigrate/image/scan.h"
#include "tests/unit/legacy_files.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct legacy_file seeds[LEGACY_FILES];

static int make_seeds(void **arg)
{
    (void)arg;
    return legacy_files_make("", seeds);
}

static int fill(int *fd, const void *bytes, size_t len_bytes)
{
    if (*fd < 0)
        *fd = memfd_create("old", MFD_CLOEXEC);
    assert_int_equal(pwrite(*fd, bytes, len_bytes, 0), (ssize_t)len_bytes);
    assert_int_equal(ftruncate(*fd, (off_t)len_bytes), 0);
    return *fd;
}

/* 0, or refused with an offset within. */
static int scan(const void *bytes, size_t len_bytes, struct legacy *l, struct err *e)
{
    static int fd = -1;
    const int rc = legacy_scan(fill(&fd, bytes, len_bytes), "F", l, e);

    legacy_clear(l);
    if (rc) {
        assert_int_equal(e->class, ERR_REFUSED);
        assert_true(l->damage_at <= len_bytes);
        assert_memory_equal(e->text, "F: at byte ", 11);
        assert_null(strchr(e->text, '\n'));
    }
    return rc;
}

/* ---- the first word ---- */

static int first_word(uint32_t word, uint32_t next, unsigned *width, uint64_t *frames)
{
    struct err e = ERR_INIT;

    return legacy_first_word(word, next, width, frames, &e);
}

static void a_first_word_tells_the_tools_width(void **arg)
{
    unsigned width;
    uint64_t frames;

    (void)arg;
    /* 64 bits: the upper half is zero. */
    assert_int_equal(first_word(5, 0, &width, &frames), 0);
    assert_int_equal(width, 8);
    assert_int_equal(frames, 5);
    /* 32 bits: an HVM guest's first marker, positive or negative, or a PV guest's word of ones. */
    for (int32_t marker = LEGACY_LOWEST; marker <= LEGACY_MAX_BATCH; marker++) {
        if (!marker)
            continue;
        assert_int_equal(first_word(0x40000, (uint32_t)marker, &width, &frames), 0);
        assert_int_equal(width, 4);
        assert_int_equal(frames, 0x40000);
    }
    assert_int_not_equal(first_word(5, LEGACY_MAX_BATCH + 1, &width, &frames), 0);
    assert_int_not_equal(first_word(5, (uint32_t)(LEGACY_LOWEST - 1), &width, &frames), 0);
    assert_int_not_equal(first_word(5, 1u << 31, &width, &frames), 0);
    assert_int_not_equal(first_word(0, 0, &width, &frames), 0);
}

/* 2^32 frames are 16 TiB: a length of 64 bits, of which 28 can be named; or half a length and a 1.
 */
static void sixteen_tib_are_a_length_or_a_marker(void **arg)
{
    struct err e = ERR_INIT;
    unsigned width;
    uint64_t frames;

    (void)arg;
    assert_int_not_equal(legacy_first_word(0, 1, &width, &frames, &e), 0);
    assert_int_equal(width, 8);
    assert_int_equal(frames, 1ull << 32);
    assert_non_null(strstr(e.text, "0x100000000 frames (16384 GiB)"));
    assert_int_equal(first_word(0x10000, 1, &width, &frames), 0);
    assert_int_equal(width, 4);
    assert_int_equal(frames, 0x10000);
    /* More than that, and as a negative number. */
    assert_int_not_equal(first_word(0, 0xffffffff, &width, &frames), 0);
    assert_int_equal(frames, 0xffffffffull << 32);
}

static void no_more_frames_than_28_bits_name(void **arg)
{
    unsigned width;
    uint64_t frames;

    (void)arg;
    assert_int_equal(first_word(1u << 28, 0, &width, &frames), 0);
    assert_int_equal(first_word(1u << 28, (uint32_t)-7, &width, &frames), 0);
    assert_int_not_equal(first_word((1u << 28) + 1, 0, &width, &frames), 0);
    assert_int_not_equal(first_word((1u << 28) + 1, (uint32_t)-7, &width, &frames), 0);
    /* As an int it would be negative. */
    assert_int_not_equal(first_word(0x80000001, 0, &width, &frames), 0);
    assert_int_not_equal(first_word(0x80000001, (uint32_t)-7, &width, &frames), 0);
}

/* ---- compressed pages ---- */

static int unpack(const void *bytes, size_t len_bytes, uint8_t *page, bool *done)
{
    struct bytes_in in = bytes_in_init(bytes, len_bytes);
    struct legacy_unpack u = {0};
    struct err e = ERR_INIT;
    const int rc = legacy_unpack(&u, &in, page, done, &e);

    return rc ? rc : (int)(len_bytes - bytes_in_left(&in));
}

static void runs_copy_and_keep(void **arg)
{
    static uint8_t page[PAGE_BYTES], want[PAGE_BYTES], packed[64];
    size_t n = 0;
    bool done;

    (void)arg;
    memset(page, 7, sizeof(page));
    memcpy(want, page, sizeof(want));
    memcpy(want + 127 * 4, "abcdefgh", 8);
    packed[n++] = 0x80 | 127;
    packed[n++] = 2;
    memcpy(packed + n, "abcdefgh", 8);
    n += 8;
    for (unsigned words = 1024 - 127 - 2; words;) {
        const unsigned run = words < 127 ? words : 127;

        packed[n++] = (uint8_t)(0x80 | run);
        words -= run;
    }
    assert_int_equal(unpack(packed, sizeof(packed), page, &done), n);
    assert_true(done);
    assert_memory_equal(page, want, PAGE_BYTES);
    /* A page as it was, and as a whole. */
    assert_int_equal(unpack("\0", 1, page, &done), 1);
    assert_true(done);
    assert_memory_equal(page, want, PAGE_BYTES);

    static uint8_t full[1 + PAGE_BYTES] = {0x80, 1, 2, 3};

    assert_int_equal(unpack(full, sizeof(full), page, &done), sizeof(full));
    assert_true(done);
    assert_memory_equal(page, full + 1, PAGE_BYTES);
    /* Not whole. */
    assert_int_equal(unpack(full, sizeof(full) - 1, page, &done), sizeof(full) - 1);
    assert_false(done);
}

static void runs_stay_within_their_page(void **arg)
{
    static uint8_t page[PAGE_BYTES];
    uint8_t packed[16];
    bool done;

    (void)arg;
    memset(packed, 0xff, sizeof(packed)); /* 9 x 127 words are more than 1,024 */
    assert_int_equal(unpack(packed, sizeof(packed), page, &done), -EBADMSG);
    packed[1] = 0x80;
    assert_int_equal(unpack(packed, sizeof(packed), page, &done), -EBADMSG);
    packed[1] = 0;
    assert_int_equal(unpack(packed, sizeof(packed), page, &done), -EBADMSG);
}

/* ---- libxl's part ---- */

static void a_physmap_becomes_keys(void **arg)
{
    static const char want[] = "physmap/f0000000/start_addr\0a0000\0physmap/f0000000/size\0"
                               "800000\0physmap/f0000000/name\0v";
    uint8_t body[64], keys[256];
    struct bytes_out out = bytes_out_init(body, sizeof(body));
    struct bytes_out result = bytes_out_init(keys, sizeof(keys));
    struct err e = ERR_INIT;

    (void)arg;
    bytes_out_u32(&out, 1);
    bytes_out_u32(&out, 1);
    bytes_out_u64(&out, 0xf0000000);
    bytes_out_u64(&out, 0xa0000);
    bytes_out_u64(&out, 0x800000);
    bytes_out_u32(&out, 2);
    bytes_out_copy(&out, "v", 2);
    assert_int_equal(legacy_read_toolstack(body, out.len_bytes, 4, &result, &e), 0);
    assert_int_equal(result.len_bytes, sizeof(want));
    assert_memory_equal(keys, want, sizeof(want));
    assert_int_not_equal(legacy_read_toolstack(body, out.len_bytes, 8, NULL, &e), 0);
    for (size_t n = 0; n < out.len_bytes; n++)
        assert_int_not_equal(legacy_read_toolstack(body, n, 4, NULL, &e), 0);
    body[out.len_bytes - 1] = 'w';
    assert_int_not_equal(legacy_read_toolstack(body, out.len_bytes, 4, NULL, &e), 0);
}

/* ---- whole files ---- */

/* A Remus stream that ends behind a tail is whole. */
static void what_is_cut_short_is_refused(void **arg)
{
    (void)arg;
    for (unsigned i = 0; i < LEGACY_FILES; i++) {
        const size_t len = seeds[i].len_bytes;
        unsigned whole = 0;
        struct legacy l;
        struct err e = ERR_INIT;

        assert_int_equal(scan(seeds[i].bytes, len, &l, &e), 0);

        const bool remus = l.checkpoints > 1;

        for (size_t n = 0; n < len; n += n % 512 < 64 ? 1 : 17) {
            e = (struct err)ERR_INIT;
            whole += !scan(seeds[i].bytes, n, &l, &e);
        }
        assert_true(whole <= (remus ? 2 : 0));
    }
}

static void what_is_longer_is_refused(void **arg)
{
    (void)arg;
    for (unsigned i = 0; i < LEGACY_FILES; i++) {
        struct legacy l;
        struct err e = ERR_INIT;

        memset(seeds[i].bytes + seeds[i].len_bytes, 0, 1);
        assert_int_not_equal(scan(seeds[i].bytes, seeds[i].len_bytes + 1, &l, &e), 0);
    }
}

/* What is let through can be exported, and that is whole, as it is. */
static void check_export(const void *bytes, size_t len_bytes)
{
    static int from = -1;
    const int to = memfd_create("new", MFD_CLOEXEC);
    uint64_t data_pages;
    struct legacy l;
    struct image image;
    struct err e = ERR_INIT;

    assert_int_equal(legacy_scan(fill(&from, bytes, len_bytes), "F", &l, &e), 0);
    if (!legacy_check_fits(&l, "F", &e)) {
        if (legacy_export(&l, from, "F", to, NULL, &data_pages, &e))
            fail_msg("%s", e.text);
        assert_true(data_pages <= l.data_pages);
        if (image_scan(to, "G", &image, &e) && (data_pages || !strstr(e.text, "without a page")))
            fail_msg("%s", e.text);
        assert_int_equal(image.data_pages, data_pages);
        image_clear(&image);
    }
    legacy_clear(&l);
    close(to);
}

static void a_bit_wrong_is_refused_or_exported(void **arg)
{
    static uint8_t bytes[LEGACY_FILE_BYTES];
    unsigned refused = 0;

    (void)arg;
    for (unsigned i = 0; i < LEGACY_FILES; i++)
        for (size_t at = 0; at < seeds[i].len_bytes; at += at % 256 < 60 ? 1 : 13) {
            struct legacy l;
            struct err e = ERR_INIT;

            memcpy(bytes, seeds[i].bytes, seeds[i].len_bytes);
            bytes[at] ^= (uint8_t)(1u << at % 8);
            if (scan(bytes, seeds[i].len_bytes, &l, &e))
                refused++;
            else if (at % 7 == 0 && l.frame_count < 1 << 20)
                check_export(bytes, seeds[i].len_bytes);
        }
    assert_true(refused > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_word_tells_the_tools_width),
        cmocka_unit_test(sixteen_tib_are_a_length_or_a_marker),
        cmocka_unit_test(no_more_frames_than_28_bits_name),
        cmocka_unit_test(runs_copy_and_keep),
        cmocka_unit_test(runs_stay_within_their_page),
        cmocka_unit_test(a_physmap_becomes_keys),
        cmocka_unit_test(what_is_cut_short_is_refused),
        cmocka_unit_test(what_is_longer_is_refused),
        cmocka_unit_test(a_bit_wrong_is_refused_or_exported),
    };

    return cmocka_run_group_tests(tests, make_seeds, NULL);
}
