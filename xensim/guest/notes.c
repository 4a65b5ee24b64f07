/* SPDX-License-Identifier: MIT */
#include "xensim/guest/notes.h"
#include "xensim/hypervisor/pagetype.h"

#include <string.h>
#include <xen/elfnote.h>

enum { NOTES_AT = PAGE_BYTES - 60 };

static uint8_t *put_note(uint8_t *at, uint32_t type, const void *desc, uint32_t desc_bytes)
{
    const uint32_t head[] = {sizeof("Xen"), desc_bytes, type};

    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), "Xen", sizeof("Xen"));
    at += sizeof(head) + sizeof("Xen");
    memcpy(at, desc, desc_bytes);
    return at + (desc_bytes + 3) / 4 * 4;
}

static uint8_t *put_text(uint8_t *at, uint32_t type, const char *text)
{
    return put_note(at, type, text, (uint32_t)strlen(text) + 1);
}

void guest_fill_notes(const struct guest_kernel *k, uint8_t pages[static 2 * PAGE_BYTES])
{
    const uint64_t marks[] = {PTE_PRESENT, PTE_PRESENT, k->mark_mask, k->mark_value};
    const uint32_t can = k->suspend_cancel == CANCEL_YES;
    uint8_t *at = pages + NOTES_AT;

    memset(pages, 0x90, 2 * PAGE_BYTES);
    if (k->suspend_cancel == CANCEL_NO_NOTES)
        return;
    at = put_text(at, XEN_ELFNOTE_GUEST_OS, "xensim");
    at = put_text(at, XEN_ELFNOTE_GUEST_VERSION, "1");
    at = put_text(at, XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    at = put_note(at, XEN_ELFNOTE_L1_MFN_VALID, marks, k->mark_mask ? sizeof(marks) : 16);
    put_note(at, XEN_ELFNOTE_SUSPEND_CANCEL, &can, sizeof(can));
}
