/* SPDX-License-Identifier: MIT */
/*
 * The ELF notes with which a guest's kernel tells Xen what it is ("Xen", types XEN_ELFNOTE_...),
 * and the record that carries them (docs/file.md). Pure functions over bytes that anybody may have
 * written: every length is held against what is there before it is used.
 *
 * They are hints. A note that lies changes which way is tried, and a guest's own entries at most.
 */
#ifndef TRANSPORT_KERNEL_NOTES_H
#define TRANSPORT_KERNEL_NOTES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KERNEL_NOTES_BYTES = 1024,    /* kept of all together */
    KERNEL_NOTES_TEXT_BYTES = 32, /* shown of one, with the NUL */
    KERNEL_NOTES_MARKS = 4,
    KERNEL_NOTES_HEAD_BYTES = 8,      /* of the record */
    KERNEL_NOTES_MAX_BYTES = 1 << 20, /* looked at of a segment of notes */
};

enum notes_origin { NOTES_NONE, NOTES_FILE, NOTES_MEMORY, NOTES_ORIGINS };
const char *notes_origin_name(enum notes_origin origin); /* "none", "file", "memory" */

/* Which entries of a page table name a frame though they are not present: (entry & mask) == value.
 * None of them holds for an entry of zero, or for one that is present. */
struct pte_marks {
    unsigned count;
    struct {
        uint64_t mask, value;
    } of[KERNEL_NOTES_MARKS];
};

struct kernel_notes {
    enum notes_origin origin;
    bool suspend_cancel; /* its suspend call may return 1 */
    char os[KERNEL_NOTES_TEXT_BYTES], version[KERNEL_NOTES_TEXT_BYTES],
        loader[KERNEL_NOTES_TEXT_BYTES];
    struct pte_marks marks;
    /* As they go into the record: well-formed and padded. */
    size_t len_bytes;
    uint8_t bytes[KERNEL_NOTES_BYTES];
};

/* The notes of name "Xen" in a segment (or section) of an ELF file, up to the first that is
 * malformed or finds no room. False: there is none. */
bool kernel_notes_take(
    const void *segment, size_t len_bytes, enum notes_origin origin, struct kernel_notes *n);

/* The same of all segments and sections of notes of an ELF file, of 32 or 64 bits. */
bool kernel_notes_from_elf(const void *elf, size_t len_bytes, struct kernel_notes *n);

/* In memory where anything may stand: the first note of name "Xen" and type 5 that says xen-3.0, at
 * or behind from, a multiple of 4. len_bytes: there is none. */
size_t kernel_notes_find(const void *memory, size_t len_bytes, size_t from);
/* The notes around one that was found. */
bool kernel_notes_take_around(
    const void *memory, size_t len_bytes, size_t at, struct kernel_notes *n);

/* The program that only loads another kernel: its notes say nothing of that one. */
bool kernel_notes_are_a_loaders(const struct kernel_notes *n);

/* The record's head; bytes[0..len_bytes) follow. */
void kernel_notes_encode(
    const struct kernel_notes *n, uint8_t head[static KERNEL_NOTES_HEAD_BYTES]);
int kernel_notes_decode(const void *body, size_t len_bytes, struct kernel_notes *n, struct err *e);

#endif
