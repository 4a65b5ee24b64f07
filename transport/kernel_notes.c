/* SPDX-License-Identifier: MIT */
#include "transport/kernel_notes.h"

#include "base/bytes.h"

#include <elf.h>
#include <errno.h>
#include <xen/elfnote.h>

enum { HEAD_BYTES = 12, NAME_BYTES = 4, NAME_MAX_BYTES = 16, DESC_MAX_BYTES = 256 };
/* How far before the note that is searched for the first one may be. */
enum { BEFORE_BYTES = 1024 };
/* Types beyond are not Xen's own: crash notes, dumps. */
enum { TYPE_MOST = 0xff };
/* Of an entry of a page table. */
enum { PRESENT = 1 };

static const char xen_name[NAME_BYTES] = "Xen";
static const char xen_version[8] = "xen-3.0";

const char *notes_origin_name(enum notes_origin origin)
{
    static const char *const names[NOTES_ORIGINS] = {"none", "file", "memory"};

    return names[origin];
}

/* ---- one note ---- */

struct note {
    uint32_t name_bytes, desc_bytes, type;
    const uint8_t *name, *desc;
    size_t whole_bytes; /* with all padding */
};

static size_t padded(uint32_t bytes)
{
    return ((size_t)bytes + 3) & ~(size_t)3;
}

/* False: there is none, or not all of it. */
static bool read_note(const uint8_t *at, size_t left_bytes, struct note *n)
{
    if (left_bytes < HEAD_BYTES)
        return false;
    n->name_bytes = get_le32(at);
    n->desc_bytes = get_le32(at + 4);
    n->type = get_le32(at + 8);
    n->whole_bytes = HEAD_BYTES + padded(n->name_bytes) + padded(n->desc_bytes);
    n->name = at + HEAD_BYTES;
    n->desc = n->name + padded(n->name_bytes);
    /* The last one of a segment need not be padded. */
    if (HEAD_BYTES + padded(n->name_bytes) + (size_t)n->desc_bytes > left_bytes)
        return false;
    if (n->whole_bytes > left_bytes)
        n->whole_bytes = left_bytes;
    return true;
}

static bool is_xens(const struct note *n)
{
    return n->name_bytes == NAME_BYTES && !memcmp(n->name, xen_name, NAME_BYTES) &&
           n->type <= TYPE_MOST;
}

/* In memory, where anything may stand before it: would a linker have written that? */
static bool is_plausible(const struct note *n)
{
    if (!n->name_bytes || n->name_bytes > NAME_MAX_BYTES || n->desc_bytes > DESC_MAX_BYTES ||
        n->name[n->name_bytes - 1])
        return false;
    for (uint32_t i = 0; i + 1 < n->name_bytes; i++)
        if (n->name[i] < ' ' || n->name[i] > '~')
            return false;
    return true;
}

/* ---- what they say ---- */

static void take_text(char text[static KERNEL_NOTES_TEXT_BYTES], const struct note *n)
{
    const size_t room = KERNEL_NOTES_TEXT_BYTES - 1;
    size_t i;

    for (i = 0; i < n->desc_bytes && i < room && n->desc[i]; i++)
        text[i] = (char)(n->desc[i] < ' ' || n->desc[i] > '~' ? '?' : n->desc[i]);
    text[i] = '\0';
}

/* A number has 4 bytes, or 8. */
static uint64_t number(const struct note *n)
{
    return n->desc_bytes == 8 ? get_le64(n->desc) : n->desc_bytes == 4 ? get_le32(n->desc) : 0;
}

/* One that holds for an entry of zero is none, nor is one for entries that are present. */
static void take_marks(struct pte_marks *marks, const struct note *n)
{
    const uint32_t pairs = n->desc_bytes / 16;

    for (uint32_t i = 0; i < pairs && marks->count < KERNEL_NOTES_MARKS; i++) {
        const uint64_t mask = get_le64(n->desc + 16 * (size_t)i);
        const uint64_t value = get_le64(n->desc + 16 * (size_t)i + 8);

        if (!value || value & PRESENT || value & ~mask)
            continue;
        marks->of[marks->count].mask = mask;
        marks->of[marks->count++].value = value;
    }
}

static void take_meaning(struct kernel_notes *k, const struct note *n)
{
    switch (n->type) {
    case XEN_ELFNOTE_GUEST_OS:
        take_text(k->os, n);
        break;
    case XEN_ELFNOTE_GUEST_VERSION:
        take_text(k->version, n);
        break;
    case XEN_ELFNOTE_LOADER:
        take_text(k->loader, n);
        break;
    case XEN_ELFNOTE_L1_MFN_VALID:
        take_marks(&k->marks, n);
        break;
    case XEN_ELFNOTE_SUSPEND_CANCEL:
        k->suspend_cancel = number(n) == 1;
        break;
    default:
        break;
    }
}

static bool keep(struct kernel_notes *k, const struct note *n)
{
    const size_t whole = HEAD_BYTES + NAME_BYTES + padded(n->desc_bytes);
    uint8_t *to = k->bytes + k->len_bytes;

    if (n->desc_bytes > DESC_MAX_BYTES || whole > sizeof(k->bytes) - k->len_bytes)
        return false;
    memset(to, 0, whole);
    put_le32(to, NAME_BYTES);
    put_le32(to + 4, n->desc_bytes);
    put_le32(to + 8, n->type);
    memcpy(to + HEAD_BYTES, xen_name, NAME_BYTES);
    memcpy(to + HEAD_BYTES + NAME_BYTES, n->desc, n->desc_bytes);
    k->len_bytes += whole;
    take_meaning(k, n);
    return true;
}

static void take_segment(struct kernel_notes *k, const uint8_t *at, size_t len_bytes)
{
    struct note n;

    if (len_bytes > KERNEL_NOTES_MAX_BYTES)
        return;
    for (size_t done = 0; read_note(at + done, len_bytes - done, &n); done += n.whole_bytes)
        if (is_xens(&n) && !keep(k, &n))
            return;
}

bool kernel_notes_take(
    const void *segment, size_t len_bytes, enum notes_origin origin, struct kernel_notes *n)
{
    *n = (struct kernel_notes){.origin = origin};
    take_segment(n, segment, len_bytes);
    if (!n->len_bytes)
        n->origin = NOTES_NONE;
    return n->len_bytes;
}

/* ---- in an ELF file ---- */

struct elf {
    const uint8_t *bytes;
    size_t len_bytes;
    bool wide; /* 64 bits */
};

/* A table of the file: program headers, or section headers. */
struct elf_table {
    uint64_t at;
    unsigned count, each_bytes;
};

static size_t entry_bytes(const struct elf *f, bool is_section)
{
    if (is_section)
        return f->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    return f->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static bool has_table(const struct elf *f, const struct elf_table *t, size_t least_bytes)
{
    return t->each_bytes >= least_bytes && t->at <= f->len_bytes &&
           t->count <= (f->len_bytes - t->at) / t->each_bytes;
}

static void take_range(const struct elf *f, uint64_t at, uint64_t len_bytes, struct kernel_notes *n)
{
    if (at <= f->len_bytes && len_bytes <= f->len_bytes - at)
        take_segment(n, f->bytes + at, (size_t)len_bytes);
}

/* The notes that one entry of a table speaks of, if it does. */
static void take_entry(
    const struct elf *f, const uint8_t *entry, bool is_section, struct kernel_notes *n)
{
    union {
        Elf64_Phdr p64;
        Elf32_Phdr p32;
        Elf64_Shdr s64;
        Elf32_Shdr s32;
    } u;
    const uint32_t notes = is_section ? SHT_NOTE : PT_NOTE;

    memcpy(&u, entry, entry_bytes(f, is_section));
    if (!f->wide && !is_section && u.p32.p_type == notes)
        take_range(f, u.p32.p_offset, u.p32.p_filesz, n);
    else if (f->wide && !is_section && u.p64.p_type == notes)
        take_range(f, u.p64.p_offset, u.p64.p_filesz, n);
    else if (!f->wide && is_section && u.s32.sh_type == notes)
        take_range(f, u.s32.sh_offset, u.s32.sh_size, n);
    else if (f->wide && is_section && u.s64.sh_type == notes)
        take_range(f, u.s64.sh_offset, u.s64.sh_size, n);
}

static void take_table(
    const struct elf *f, const struct elf_table *t, bool is_section, struct kernel_notes *n)
{
    if (has_table(f, t, entry_bytes(f, is_section)))
        for (unsigned i = 0; i < t->count; i++)
            take_entry(f, f->bytes + t->at + (size_t)i * t->each_bytes, is_section, n);
}

/* Segments and sections are mostly the same bytes, so the second is for files without the first. */
static void take_elf(const struct elf *f, struct kernel_notes *n)
{
    struct elf_table segments, sections;

    if (f->wide) {
        Elf64_Ehdr h;

        memcpy(&h, f->bytes, sizeof(h));
        segments = (struct elf_table){h.e_phoff, h.e_phnum, h.e_phentsize};
        sections = (struct elf_table){h.e_shoff, h.e_shnum, h.e_shentsize};
    } else {
        Elf32_Ehdr h;

        memcpy(&h, f->bytes, sizeof(h));
        segments = (struct elf_table){h.e_phoff, h.e_phnum, h.e_phentsize};
        sections = (struct elf_table){h.e_shoff, h.e_shnum, h.e_shentsize};
    }
    take_table(f, &segments, false, n);
    if (!n->len_bytes)
        take_table(f, &sections, true, n);
}

bool kernel_notes_from_elf(const void *elf, size_t len_bytes, struct kernel_notes *n)
{
    struct elf f = {elf, len_bytes, false};

    *n = (struct kernel_notes){.origin = NOTES_NONE};
    if (len_bytes < sizeof(Elf32_Ehdr) || memcmp(f.bytes, ELFMAG, SELFMAG) ||
        f.bytes[EI_DATA] != ELFDATA2LSB)
        return false;
    f.wide = f.bytes[EI_CLASS] == ELFCLASS64;
    if (f.wide && len_bytes < sizeof(Elf64_Ehdr))
        return false;
    take_elf(&f, n);
    if (n->len_bytes)
        n->origin = NOTES_FILE;
    return n->len_bytes;
}

/* ---- in memory ---- */

size_t kernel_notes_find(const void *memory, size_t len_bytes, size_t from)
{
    uint8_t wanted[HEAD_BYTES + NAME_BYTES + sizeof(xen_version)];
    const uint8_t *bytes = memory;

    put_le32(wanted, NAME_BYTES);
    put_le32(wanted + 4, sizeof(xen_version));
    put_le32(wanted + 8, XEN_ELFNOTE_XEN_VERSION);
    memcpy(wanted + HEAD_BYTES, xen_name, NAME_BYTES);
    memcpy(wanted + HEAD_BYTES + NAME_BYTES, xen_version, sizeof(xen_version));
    for (size_t at = from; at < len_bytes; at++) {
        const uint8_t *found = memmem(bytes + at, len_bytes - at, wanted, sizeof(wanted));

        if (!found)
            break;
        at = (size_t)(found - bytes);
        if (at % 4 == 0)
            return at;
    }
    return len_bytes;
}

/* The first of the notes that end where this one begins. */
static size_t find_first(const uint8_t *memory, size_t at)
{
    const size_t least = at > BEFORE_BYTES ? at - BEFORE_BYTES : 0;
    struct note n;

    for (size_t before = at; before >= least + HEAD_BYTES + NAME_BYTES;) {
        before -= 4;
        if (!read_note(memory + before, at - before, &n) || !is_plausible(&n) ||
            before + n.whole_bytes != at)
            continue;
        at = before;
    }
    return at;
}

bool kernel_notes_take_around(
    const void *memory, size_t len_bytes, size_t at, struct kernel_notes *n)
{
    const uint8_t *bytes = memory;
    const size_t first = find_first(bytes, at);
    size_t end = at;
    struct note next;

    while (end - first < KERNEL_NOTES_MAX_BYTES && read_note(bytes + end, len_bytes - end, &next) &&
           is_plausible(&next))
        end += next.whole_bytes;
    return kernel_notes_take(bytes + first, end - first, NOTES_MEMORY, n);
}

bool kernel_notes_are_a_loaders(const struct kernel_notes *n)
{
    return n->origin != NOTES_NONE && !strcmp(n->os, "GRUB");
}

/* ---- the record ---- */

void kernel_notes_encode(const struct kernel_notes *n, uint8_t head[static KERNEL_NOTES_HEAD_BYTES])
{
    put_le32(head, n->origin);
    put_le32(head + 4, 0);
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_PEER, EPROTO, "bad KERNEL_NOTES record: %s", what);
}

/* Exactly as they are kept. */
int kernel_notes_decode(const void *body, size_t len_bytes, struct kernel_notes *n, struct err *e)
{
    const uint8_t *head = body, *notes = head + KERNEL_NOTES_HEAD_BYTES;

    if (len_bytes < KERNEL_NOTES_HEAD_BYTES + HEAD_BYTES + NAME_BYTES ||
        len_bytes > KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES)
        return bad(e, "its length");

    const uint32_t origin = get_le32(head);

    if (origin == NOTES_NONE || origin >= NOTES_ORIGINS || get_le32(head + 4))
        return bad(e, "where they are from is not known, or reserved bits are set");
    len_bytes -= KERNEL_NOTES_HEAD_BYTES;
    if (!kernel_notes_take(notes, len_bytes, (enum notes_origin)origin, n) ||
        n->len_bytes != len_bytes || memcmp(n->bytes, notes, len_bytes))
        return bad(e, "it holds something else than notes of name Xen");
    return 0;
}
