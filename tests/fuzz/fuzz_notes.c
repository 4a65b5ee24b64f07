/* SPDX-License-Identifier: MIT */
/* Notes of a guest's kernel: an ELF file, memory, and the record, from the same bytes. */
#include "tests/fuzz/fuzz.h"
#include "transport/kernel_notes.h"

#include <string.h>

static void check(const struct kernel_notes *n)
{
    must(n->len_bytes <= KERNEL_NOTES_BYTES && n->len_bytes % 4 == 0);
    must((n->origin != NOTES_NONE) == (n->len_bytes > 0));
    must(strlen(n->os) < sizeof(n->os) && strlen(n->version) < sizeof(n->version));
    must(n->marks.count <= KERNEL_NOTES_MARKS);
    for (unsigned i = 0; i < n->marks.count; i++)
        must(n->marks.of[i].value && !(n->marks.of[i].value & ~n->marks.of[i].mask));
}

/* What was kept is a record that says the same. */
static void check_record(const struct kernel_notes *n)
{
    uint8_t body[KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES];
    struct kernel_notes again;
    struct err e = ERR_INIT;

    if (n->origin == NOTES_NONE)
        return;
    kernel_notes_encode(n, body);
    memcpy(body + KERNEL_NOTES_HEAD_BYTES, n->bytes, n->len_bytes);
    must(!kernel_notes_decode(body, KERNEL_NOTES_HEAD_BYTES + n->len_bytes, &again, &e));
    must(!strcmp(again.os, n->os) && again.suspend_cancel == n->suspend_cancel);
    must(again.marks.count == n->marks.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel_notes n;
    struct err e = ERR_INIT;

    kernel_notes_from_elf(data, size, &n);
    check(&n);
    check_record(&n);
    kernel_notes_take(data, size, NOTES_FILE, &n);
    check(&n);
    check_record(&n);
    for (size_t at = 0; (at = kernel_notes_find(data, size, at)) < size; at += 4) {
        must(kernel_notes_take_around(data, size, at, &n));
        check(&n);
        check_record(&n);
    }
    if (kernel_notes_decode(data, size, &n, &e))
        must(e.class == ERR_PEER);
    else
        check(&n);
    return 0;
}
