/* SPDX-License-Identifier: MIT */
#include "engine/probe/find_notes.h"

#include "base/deadline.h"
#include "engine/probe/reader.h"
#include "engine/xen/kernel_file.h"

#include <stdlib.h>
#include <string.h>

/* Where kernels lie: loaders put them low, and a kernel that moves itself stays below 1 GiB. */
#define MOST_FRAMES (1ull << 18)
/* The guest may be large, and Xen slow to map it. */
#define MOST_NS (2 * NS_PER_S)

/* So many pages are new in a window, behind the last two of the window before: notes may cross from
 * one page to the next. */
enum { NEW_PAGES = 256, KEPT_PAGES = 2, WINDOW_PAGES = KEPT_PAGES + NEW_PAGES };
/* After so many windows in a row without a page it is all zeros. */
enum { EMPTY_WINDOWS = 2 };

struct search {
    const struct find_notes_params *p;
    struct reader reader;
    uint8_t *window;  /* WINDOW_PAGES of the guest's */
    unsigned empties; /* how many in a row had no page: most frames of an HVM container have none */
};

/* ---- in the file ---- */

static int take_from_file(void *arg, const void *image, size_t len_bytes)
{
    kernel_notes_from_elf(image, len_bytes, arg);
    return 0;
}

static void find_in_file(const struct find_notes_params *p, bool unpacked, struct kernel_notes *n)
{
    struct err e = ERR_INIT;

    if (p->kernel && kernel_file_read(p->kernel, unpacked, p->log, take_from_file, n, &e))
        log_debug(p->log, "notes of the guest's kernel: %s", e.text);
}

/* ---- in memory ---- */

/* What has no memory, or is a page table, is zero here. */
static int read_window(struct search *s, uint64_t first_pfn, struct err *e)
{
    uint8_t *const new = s->window + KEPT_PAGES *PAGE_BYTES;
    struct batch *b = s->reader.batch;
    const int rc = reader_load(&s->reader, first_pfn, NEW_PAGES, e);

    s->empties = b->data_pages ? 0 : s->empties + 1;
    if (s->empties > EMPTY_WINDOWS) {
        batch_unload(b);
        return rc;
    }
    memcpy(s->window, s->window + NEW_PAGES * PAGE_BYTES, KEPT_PAGES * PAGE_BYTES);
    memset(new, 0, NEW_PAGES * PAGE_BYTES);
    for (unsigned i = 0; i < b->count && !rc; i++)
        if (b->pages[i] && !v3_type_table_level(v3_entry_type(b->entries[i])))
            memcpy(new + (v3_entry_pfn(b->entries[i]) - first_pfn) * PAGE_BYTES, b->pages[i],
                PAGE_BYTES);
    batch_unload(b);
    return rc;
}

static bool is_enough(const struct kernel_notes *n)
{
    return n->origin != NOTES_NONE && !kernel_notes_are_a_loaders(n);
}

/* What begins in the last page is found in the next window, and what begins in the first one was
 * found in the one before. Those of a loader are kept only if there are no others. */
static bool take_from_window(const struct search *s, struct kernel_notes *n)
{
    const size_t all = WINDOW_PAGES * PAGE_BYTES;
    struct kernel_notes found;

    for (size_t at = PAGE_BYTES; !is_enough(n); at += 4) {
        at = kernel_notes_find(s->window, all, at);
        if (at >= all - PAGE_BYTES)
            break;
        if (kernel_notes_take_around(s->window, all, at, &found) &&
            (n->origin == NOTES_NONE || is_enough(&found)))
            *n = found;
    }
    return is_enough(n);
}

static int search(struct search *s, struct kernel_notes *n, struct err *e)
{
    const uint64_t all = s->reader.guest->frames, most = all < MOST_FRAMES ? all : MOST_FRAMES;
    const int64_t until_ns = deadline_in(MOST_NS);
    int rc = 0;

    for (uint64_t pfn = 0; pfn < most && !rc; pfn += NEW_PAGES) {
        if (deadline_passed(until_ns) || cancel_is_fired(s->p->cancel))
            break;
        rc = read_window(s, pfn, e);
        if (!rc && s->empties < EMPTY_WINDOWS && take_from_window(s, n))
            break;
    }
    return rc;
}

static void find_in_memory(const struct find_notes_params *p, struct kernel_notes *n)
{
    static const struct pte_marks none;
    struct search s = {
        .p = p, .window = calloc(WINDOW_PAGES, PAGE_BYTES), .empties = EMPTY_WINDOWS};
    struct err e = ERR_INIT;
    int rc = reader_open(&s.reader, p->domid, &none, p->log, &e);

    if (!rc && s.window)
        rc = search(&s, n, &e);
    if (rc)
        log_debug(p->log, "notes of the guest's kernel: %s", e.text);
    reader_close(&s.reader);
    free(s.window);
}

/* ---- */

void find_notes(const struct find_notes_params *p, struct kernel_notes *n)
{
    *n = (struct kernel_notes){.origin = NOTES_NONE};
    find_in_file(p, false, n);
    if (!is_enough(n))
        find_in_memory(p, n);
    if (n->origin == NOTES_NONE)
        find_in_file(p, true, n);
    log_debug(p->log, "notes of the guest's kernel: from %s; %s %s, SUSPEND_CANCEL %d",
        notes_origin_name(n->origin), n->os, n->version, n->suspend_cancel);
}
