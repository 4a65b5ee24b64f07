/* SPDX-License-Identifier: MIT */
/* Notes of a guest's kernel: found in ELF files and in memory, whatever stands around them, and
 * carried in a record. Lengths lie. */
#include "base/bytes.h"
#include "transport/kernel_notes.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <xen/elfnote.h>

#include <cmocka.h>

enum { ROOM = 8192 };

struct bytes {
    uint8_t at[ROOM];
    size_t len;
};

static void put_note(
    struct bytes *b, const char *name, uint32_t type, const void *desc, uint32_t desc_bytes)
{
    const uint32_t name_bytes = (uint32_t)strlen(name) + 1;
    uint8_t *at = b->at + b->len;

    put_le32(at, name_bytes);
    put_le32(at + 4, desc_bytes);
    put_le32(at + 8, type);
    memcpy(at + 12, name, name_bytes);
    memcpy(at + 12 + (name_bytes + 3) / 4 * 4, desc, desc_bytes);
    b->len += 12 + (name_bytes + 3) / 4 * 4 + (desc_bytes + 3) / 4 * 4;
}

static void put_text(struct bytes *b, uint32_t type, const char *text)
{
    put_note(b, "Xen", type, text, (uint32_t)strlen(text) + 1);
}

/* As Linux has them, with others before, between and behind. */
static void put_linux(struct bytes *b, uint32_t cancel)
{
    static const uint64_t marks[] = {1, 1, 0x401, 0x400};
    static const uint32_t salt = 7;

    put_note(b, "Linux", 0x100, &salt, sizeof(salt));
    put_text(b, XEN_ELFNOTE_GUEST_OS, "linux");
    put_text(b, XEN_ELFNOTE_GUEST_VERSION, "2.6");
    put_text(b, XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    put_note(b, "GNU", 3, marks, 20);
    put_text(b, XEN_ELFNOTE_LOADER, "generic");
    put_note(b, "Xen", XEN_ELFNOTE_L1_MFN_VALID, marks, sizeof(marks));
    put_note(b, "Xen", XEN_ELFNOTE_SUSPEND_CANCEL, &cancel, sizeof(cancel));
    put_note(b, "Xen", 0x1000001, marks, sizeof(marks));
}

static void assert_linux(const struct kernel_notes *n, bool cancel)
{
    assert_string_equal(n->os, "linux");
    assert_string_equal(n->version, "2.6");
    assert_string_equal(n->loader, "generic");
    assert_int_equal(n->suspend_cancel, cancel);
    assert_int_equal(n->marks.count, 1);
    assert_int_equal(n->marks.of[0].mask, 0x401);
    assert_int_equal(n->marks.of[0].value, 0x400);
    assert_false(kernel_notes_are_a_loaders(n));
}

static void those_of_a_segment_are_taken(void **state)
{
    struct bytes b = {.len = 0};
    struct kernel_notes n;

    (void)state;
    put_linux(&b, 1);
    assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    assert_int_equal(n.origin, NOTES_FILE);
    assert_linux(&n, true);
    b.len = 0;
    put_linux(&b, 0);
    assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    assert_linux(&n, false);
    assert_false(kernel_notes_take(b.at, 0, NOTES_FILE, &n));
    assert_int_equal(n.origin, NOTES_NONE);
}

static void marks_of_empty_and_present_entries_are_none(void **state)
{
    static const uint64_t marks[] = {
        0, 0, 6, 0, 2, 6, 1, 1, 3, 3, 8, 8, 10, 10, 12, 8, 14, 14, 16, 16};
    struct bytes b = {.len = 0};
    struct kernel_notes n;

    (void)state;
    put_note(&b, "Xen", XEN_ELFNOTE_L1_MFN_VALID, marks, sizeof(marks));
    assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    assert_int_equal(n.marks.count, KERNEL_NOTES_MARKS);
    assert_int_equal(n.marks.of[0].value, 8);
    assert_int_equal(n.marks.of[3].value, 14);
}

/* 4 GiB of name, of description; and every cut. */
static void lengths_that_lie_end_the_notes(void **state)
{
    struct bytes b = {.len = 0};
    struct kernel_notes n;

    (void)state;
    put_text(&b, XEN_ELFNOTE_GUEST_OS, "linux");

    const size_t second = b.len;

    for (unsigned field = 0; field < 2; field++) {
        b.len = second;
        put_text(&b, XEN_ELFNOTE_GUEST_VERSION, "2.6");
        put_le32(b.at + second + 4 * (size_t)field, UINT32_MAX);
        assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
        assert_string_equal(n.os, "linux");
        assert_string_equal(n.version, "");
        put_le32(b.at + second + 4 * (size_t)field, UINT32_MAX - 3);
        assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    }
    b.len = 0;
    put_linux(&b, 1);
    for (size_t cut = 0; cut < b.len; cut++) {
        uint8_t exact[ROOM];

        memcpy(exact, b.at, cut);
        kernel_notes_take(exact, cut, NOTES_FILE, &n);
        assert_true(n.len_bytes <= cut);
    }
    assert_false(kernel_notes_take(b.at, KERNEL_NOTES_MAX_BYTES + 1, NOTES_FILE, &n));
}

static void what_finds_no_room_is_left_out(void **state)
{
    static const char long_text[200] = "x";
    struct bytes b = {.len = 0};
    struct kernel_notes n;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        put_note(&b, "Xen", XEN_ELFNOTE_FEATURES, long_text, sizeof(long_text));
    put_text(&b, XEN_ELFNOTE_GUEST_OS, "linux");
    assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    assert_true(n.len_bytes <= KERNEL_NOTES_BYTES);
    assert_string_equal(n.os, "");
}

/* ---- ELF ---- */

static void make_elf(struct bytes *b, bool wide, bool segment, uint64_t notes_bytes)
{
    const size_t at = 512;

    memset(b->at, 0, at);
    memcpy(b->at, ELFMAG, SELFMAG);
    b->at[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
    b->at[EI_DATA] = ELFDATA2LSB;
    if (wide) {
        Elf64_Ehdr h = {.e_phoff = 128,
            .e_phentsize = sizeof(Elf64_Phdr),
            .e_phnum = segment,
            .e_shoff = 256,
            .e_shentsize = sizeof(Elf64_Shdr),
            .e_shnum = !segment};
        const Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = notes_bytes};
        const Elf64_Shdr s = {.sh_type = SHT_NOTE, .sh_offset = at, .sh_size = notes_bytes};

        memcpy(h.e_ident, b->at, EI_NIDENT);
        memcpy(b->at, &h, sizeof(h));
        memcpy(b->at + 128, &p, sizeof(p));
        memcpy(b->at + 256, &s, sizeof(s));
    } else {
        Elf32_Ehdr h = {.e_phoff = 128,
            .e_phentsize = sizeof(Elf32_Phdr),
            .e_phnum = segment,
            .e_shoff = 256,
            .e_shentsize = sizeof(Elf32_Shdr),
            .e_shnum = !segment};
        const Elf32_Phdr p = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = (uint32_t)notes_bytes};
        const Elf32_Shdr s = {
            .sh_type = SHT_NOTE, .sh_offset = at, .sh_size = (uint32_t)notes_bytes};

        memcpy(h.e_ident, b->at, EI_NIDENT);
        memcpy(b->at, &h, sizeof(h));
        memcpy(b->at + 128, &p, sizeof(p));
        memcpy(b->at + 256, &s, sizeof(s));
    }
    b->len = at;
}

static void elf_files_of_both_widths_are_read(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct bytes b = {.len = 512};
        struct kernel_notes n;

        put_linux(&b, 1);

        const size_t len = b.len;

        make_elf(&b, kind & 1, kind & 2, len - 512);
        assert_true(kernel_notes_from_elf(b.at, len, &n));
        assert_int_equal(n.origin, NOTES_FILE);
        assert_linux(&n, true);
        for (size_t cut = 0; cut < len; cut += 3)
            kernel_notes_from_elf(b.at, cut, &n);
    }
}

static void elf_files_that_lie_have_none(void **state)
{
    static const uint64_t sizes[] = {1ull << 32, (1ull << 32) - 1, UINT64_MAX, ROOM};
    struct kernel_notes n;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct bytes b = {.len = 512};

        put_linux(&b, 1);

        const size_t len = b.len;

        make_elf(&b, true, true, sizes[i]);
        assert_false(kernel_notes_from_elf(b.at, len, &n));
        make_elf(&b, true, true, len - 512);
        memset(b.at + offsetof(Elf64_Ehdr, e_phoff), 0xff, 8);
        assert_false(kernel_notes_from_elf(b.at, len, &n));
        make_elf(&b, true, true, len - 512);
        memset(b.at + offsetof(Elf64_Ehdr, e_phnum), 0xff, 2);
        assert_false(kernel_notes_from_elf(b.at, len, &n));
    }
    assert_false(kernel_notes_from_elf("not one", 7, &n));
}

/* ---- memory ---- */

static void they_are_found_in_memory(void **state)
{
    static struct bytes b;
    struct kernel_notes n;

    (void)state;
    for (size_t at = 64; at < 4000; at += 492) {
        memset(b.at, 0x41, sizeof(b.at));
        b.len = at;
        put_linux(&b, 1);

        const size_t found = kernel_notes_find(b.at, sizeof(b.at), 0);

        assert_true(found > at && found < at + 200);
        assert_true(kernel_notes_take_around(b.at, sizeof(b.at), found, &n));
        assert_int_equal(n.origin, NOTES_MEMORY);
        assert_linux(&n, true);
        assert_int_equal(kernel_notes_find(b.at, sizeof(b.at), found + 4), sizeof(b.at));
    }
    b.len = 66;
    memset(b.at, 0, sizeof(b.at));
    put_linux(&b, 1);
    assert_int_equal(kernel_notes_find(b.at, sizeof(b.at), 0), sizeof(b.at));
}

static void a_loaders_are_known(void **state)
{
    struct bytes b = {.len = 0};
    struct kernel_notes n;

    (void)state;
    put_text(&b, XEN_ELFNOTE_GUEST_OS, "GRUB");
    assert_true(kernel_notes_take(b.at, b.len, NOTES_FILE, &n));
    assert_true(kernel_notes_are_a_loaders(&n));
}

/* ---- the record ---- */

static void the_record_brings_them_over(void **state)
{
    uint8_t body[KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES];
    struct bytes b = {.len = 0};
    struct kernel_notes n, got;
    struct err e = ERR_INIT;

    (void)state;
    put_linux(&b, 1);
    assert_true(kernel_notes_take(b.at, b.len, NOTES_MEMORY, &n));
    kernel_notes_encode(&n, body);
    memcpy(body + KERNEL_NOTES_HEAD_BYTES, n.bytes, n.len_bytes);

    const size_t len = KERNEL_NOTES_HEAD_BYTES + n.len_bytes;

    assert_int_equal(kernel_notes_decode(body, len, &got, &e), 0);
    assert_linux(&got, true);
    assert_int_equal(got.origin, NOTES_MEMORY);
    for (size_t cut = 0; cut < len; cut++) {
        struct err bad = ERR_INIT;

        /* At the end of a note it is a whole record of fewer. */
        if (kernel_notes_decode(body, cut, &got, &bad))
            assert_int_equal(bad.class, ERR_PEER);
    }
    assert_int_equal(kernel_notes_decode(body, len - 1, &got, &e), -EPROTO);
    for (unsigned at = 0; at < KERNEL_NOTES_HEAD_BYTES + 8; at++) {
        struct err bad = ERR_INIT;

        body[at] ^= 0x80;
        assert_int_equal(kernel_notes_decode(body, len, &got, &bad), -EPROTO);
        body[at] ^= 0x80;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_of_a_segment_are_taken),
        cmocka_unit_test(marks_of_empty_and_present_entries_are_none),
        cmocka_unit_test(lengths_that_lie_end_the_notes),
        cmocka_unit_test(what_finds_no_room_is_left_out),
        cmocka_unit_test(elf_files_of_both_widths_are_read),
        cmocka_unit_test(elf_files_that_lie_have_none),
        cmocka_unit_test(they_are_found_in_memory),
        cmocka_unit_test(a_loaders_are_known),
        cmocka_unit_test(the_record_brings_them_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
