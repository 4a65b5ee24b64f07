/* SPDX-License-Identifier: MIT */
/* A saved guest's file, looked at: whole ones of each type, and every way to be cut or damaged that
 * the format can tell. */
#include "cmd/xmigrate/image/scan.h"
#include "tests/unit/saved_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct saved_file file;

/* *image stays the caller's to clear. */
static int scan_bytes(const void *bytes, size_t len_bytes, struct image *image, struct err *e)
{
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("saved", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, len_bytes, 0), (ssize_t)len_bytes);
    assert_int_equal(ftruncate(fd, (off_t)len_bytes), 0);
    return image_scan(fd, "F", image, e);
}

static int scan(size_t len_bytes, struct err *e)
{
    struct image image;
    const int rc = scan_bytes(file.bytes, len_bytes, &image, e);

    *e = rc ? *e : (struct err)ERR_INIT;
    if (rc) {
        assert_int_equal(e->class, ERR_REFUSED);
        assert_true(image.damage_at <= len_bytes);
        assert_memory_equal(e->text, "F: at byte ", 11);
    }
    image_clear(&image);
    return rc;
}

static void whole_files_are_whole(void **arg)
{
    const struct image_note note = {IMAGE_CHECKPOINT, "xmigrate 7", "2026-11-27T08:29:31Z"};
    struct err e = ERR_INIT;
    struct image image;

    (void)arg;
    for (enum saved_type type = 0; type < SAVED_TYPES; type++) {
        saved_file_make(&file, type, NULL);
        assert_int_equal(scan_bytes(file.bytes, file.len_bytes, &image, &e), 0);
        assert_int_equal(image.note.kind, IMAGE_SAVE);
        assert_string_equal(image.note.program, "");
        assert_int_equal(image.data_pages, 1);
        assert_int_equal(image.max_pfn, 0x1f);
        assert_int_equal(image.xen_minor, 17);
        assert_int_equal(image.vcpus, type == SAVED_PV);
        assert_int_equal(image.emulator_bytes, type == SAVED_HVM ? 16 : 0);
        assert_string_equal(image.kernel.os, type == SAVED_PV ? "linux" : "");
        assert_string_equal(image.config, "{\"c_info\":{\"name\":\"g\"}}");
        image_clear(&image);
    }
    saved_file_make(&file, SAVED_PV, &note);
    assert_int_equal(scan_bytes(file.bytes, file.len_bytes, &image, &e), 0);
    assert_int_equal(image.note.kind, IMAGE_CHECKPOINT);
    assert_string_equal(image.note.program, note.program);
    assert_string_equal(image.note.made, note.made);
    assert_int_equal(image.stream_bytes, file.borders[1]);
    image_clear(&image);
}

/* At every byte, so at every record's border, and inside. */
static void what_is_cut_short_is_refused(void **arg)
{
    (void)arg;
    for (enum saved_type type = 0; type < SAVED_TYPES; type++) {
        saved_file_make(&file, type, NULL);
        for (size_t n = 0; n < file.len_bytes; n += n < 600 || n + 300 > file.len_bytes ? 1 : 37) {
            struct err e = ERR_INIT;

            assert_int_not_equal(scan(n, &e), 0);
        }
        for (unsigned i = 0; i < file.border_count; i++) {
            struct err e = ERR_INIT;

            assert_int_not_equal(scan(file.borders[i], &e), 0);
        }
    }
}

static void what_is_longer_is_refused(void **arg)
{
    struct err e = ERR_INIT;

    (void)arg;
    saved_file_make(&file, SAVED_PVH, NULL);
    file.bytes[file.len_bytes] = 0;
    assert_int_not_equal(scan(file.len_bytes + 1, &e), 0);
    assert_non_null(strstr(e.text, "1 bytes follow its end"));
}

/* Fields that may have other values (version 2 too), and those that nobody has to know. */
static bool may_differ(size_t at)
{
    const size_t xen = file.borders[3] + 32;

    return at == file.borders[3] + 15 || (at >= 40 && at < 44) ||
           (at >= 48 + 4 && at < file.borders[1]) ||
           (at >= file.borders[1] + 12 && at < file.borders[2]) ||
           (at >= file.borders[3] + 16 && at < file.borders[3] + 24) ||
           (at >= xen - 2 && at < xen + 8);
}

/* Each bit of each header: refused, or a field that may have other values. */
static void a_header_with_a_bit_wrong_is_refused(void **arg)
{
    (void)arg;
    for (enum saved_type type = 0; type < SAVED_TYPES; type++) {
        saved_file_make(&file, type, NULL);
        const size_t headers = file.borders[4];

        for (size_t at = 0; at < headers; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                struct err e = ERR_INIT;

                file.bytes[at] ^= (uint8_t)(1u << bit);
                if (!scan(file.len_bytes, &e) && !may_differ(at))
                    fail_msg("byte %zu, bit %u: nobody noticed", at, bit);
                file.bytes[at] ^= (uint8_t)(1u << bit);
            }
    }
}

/* And each bit of each record's type and length, but for what makes it one that is skipped. */
static void a_record_with_a_bit_wrong_is_refused(void **arg)
{
    (void)arg;
    for (enum saved_type type = 0; type < SAVED_TYPES; type++) {
        saved_file_make(&file, type, NULL);
        for (unsigned i = 4; i < file.border_count; i++)
            for (unsigned bit = 0; bit < 64; bit++) {
                uint8_t *const byte = file.bytes + file.borders[i] + bit / 8;
                const bool optional = file.bytes[file.borders[i] + 3] & 0x80;
                struct err e = ERR_INIT;

                if (bit == 31 || (optional && bit < 32))
                    continue;
                *byte ^= (uint8_t)(1u << bit % 8);
                if (!scan(file.len_bytes, &e) && bit / 32 == 1 && !optional)
                    fail_msg("type %d, record %u, bit %u: nobody noticed", type, i, bit);
                *byte ^= (uint8_t)(1u << bit % 8);
            }
    }
}

static void refused_with(const char *words)
{
    struct err e = ERR_INIT;

    assert_int_not_equal(scan(file.len_bytes, &e), 0);
    if (!strstr(e.text, words))
        fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void other_formats_are_named(void **arg)
{
    (void)arg;
    saved_file_make(&file, SAVED_PV, NULL);
    memcpy(file.bytes + 32, "\1\2\3\4", 4);
    refused_with("other byte order");
    saved_file_make(&file, SAVED_PV, NULL);
    file.bytes[36] = 1;
    refused_with("before 4.6");
    saved_file_make(&file, SAVED_PV, NULL);
    file.bytes[36] = 7;
    refused_with("a newer reader");
    saved_file_make(&file, SAVED_PV, NULL);
    file.bytes[file.borders[3] + 15] = 4;
    refused_with("version 4");
    saved_file_make(&file, SAVED_PV, NULL);
    file.bytes[file.borders[3] + 24] = 3;
    refused_with("a type that x86 does not have");
    saved_file_make(&file, SAVED_PV, NULL);
    file.bytes[file.borders[4]] = V3_CHECKPOINT;
    file.bytes[file.borders[4] + 4] = 0;
    refused_with("Remus");
}

/* Counts and lengths as large as they can be. */
static void huge_numbers_are_refused(void **arg)
{
    (void)arg;
    for (enum saved_type type = 0; type < SAVED_TYPES; type++)
        for (unsigned i = 2; i < 40; i++) {
            struct err e = ERR_INIT;

            saved_file_make(&file, type, NULL);
            if (i >= file.border_count || i == 3)
                continue;
            memset(file.bytes + file.borders[i] + 4, 0xff, 4);
            assert_int_not_equal(scan(file.len_bytes, &e), 0);
        }
    saved_file_make(&file, SAVED_PVH, NULL);
    memset(file.bytes + 44, 0xff, 4);
    refused_with("its configuration would have 4294967295 bytes");
    saved_file_make(&file, SAVED_PVH, NULL);
    memset(file.bytes + 48, 0xff, 4);
    refused_with("no text of the length");
    saved_file_make(&file, SAVED_PVH, NULL);
    memset(file.bytes + file.borders[5] + 8, 0xff, 4);
    refused_with("says that it has 4294967295 frames");
    saved_file_make(&file, SAVED_PVH, NULL);
    memset(file.bytes + file.borders[5] + 16, 0xff, 8);
    refused_with("is no frame with a type");
}

/* Ours and the kernel's. */
static void huge_notes_are_refused(void **arg)
{
    static const uint32_t lengths[] = {UINT32_MAX, UINT32_MAX - 7, 1u << 31, 4097};
    const struct image_note note = {IMAGE_CHECKPOINT, "xmigrate 7", "2026-11-27T08:29:31Z"};

    (void)arg;
    for (unsigned i = 0; i < 4; i++) {
        struct err e = ERR_INIT;

        saved_file_make(&file, SAVED_PV, &note);

        uint8_t *at = memmem(file.bytes, file.borders[1], "XMIGRATE", 8);

        assert_non_null(at);
        memcpy(at + 8, &lengths[i], 4);
        assert_int_not_equal(scan(file.len_bytes, &e), 0);
        /* As long as the header's count of what is optional, too. */
        memcpy(file.bytes + 44, &lengths[i], 4);
        e = (struct err)ERR_INIT;
        assert_int_not_equal(scan(file.len_bytes, &e), 0);

        saved_file_make(&file, SAVED_PV, NULL);
        at = memmem(file.bytes, file.len_bytes, "\1\x6d\x78\x80", 4);
        assert_non_null(at);
        memcpy(at + 4, &lengths[i], 4);
        e = (struct err)ERR_INIT;
        assert_int_not_equal(scan(file.len_bytes, &e), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_are_whole),
        cmocka_unit_test(what_is_cut_short_is_refused),
        cmocka_unit_test(what_is_longer_is_refused),
        cmocka_unit_test(a_header_with_a_bit_wrong_is_refused),
        cmocka_unit_test(a_record_with_a_bit_wrong_is_refused),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(huge_numbers_are_refused),
        cmocka_unit_test(huge_notes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
