/* SPDX-License-Identifier: MIT */
#include "engine/batch.h"

#include "base/deadline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert((int)BATCH_PAGES <= (int)FRAME_TYPES_MAX, "one call asks for all types of a batch");

int batch_create(struct xen *xen, const struct guest *guest, struct frame_notes *notes,
    struct batch **b, struct err *e)
{
    struct batch *n = calloc(1, sizeof(*n));

    if (!n)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    n->xen = xen;
    n->guest = guest;
    n->notes = notes;
    n->most_pages = guest->dom.hvm ? BATCH_PAGES : BATCH_PAGES / 2;
    n->tables = calloc(n->most_pages, sizeof(*n->tables));

    const int rc = n->tables ? hbuf_alloc(xen, &n->scratch, FRAME_TYPES_BYTES, e)
                             : err_set(e, ERR_LOCAL, ENOMEM, "no memory for page tables");

    if (rc) {
        batch_destroy(n);
        return rc;
    }
    *b = n;
    return 0;
}

void batch_destroy(struct batch *b)
{
    if (!b)
        return;
    batch_unload(b);
    for (unsigned i = 0; i < b->left_count; i++)
        foreign_unmap(b->xen, b->left[i].memory, b->left[i].pages);
    hbuf_free(b->xen, &b->scratch);
    free(b->tables);
    free(b);
}

/* The frames of one load on their way to entries. */
struct candidates {
    unsigned count;
    const uint64_t *pfns;   /* the caller's */
    const uint64_t *frames; /* the pfns, or p2m */
    uint8_t types[BATCH_PAGES];
    uint64_t p2m[BATCH_PAGES];
};

static void add_entry(struct batch *b, uint64_t pfn, unsigned type, const void *page)
{
    b->entries[b->count] = v3_entry_of(type, pfn);
    b->pages[b->count++] = page;
    b->data_pages += page != NULL;
}

static void announce(struct batch *b, uint64_t pfn, unsigned type, const void *page)
{
    if (frame_notes_announce(b->notes, pfn, type, page))
        add_entry(b, pfn, type, page);
    else
        b->unchanged_pages++;
}

/* There is no page (any more): worth an entry only if the receiver believes otherwise. */
static void withdraw(struct batch *b, uint64_t pfn)
{
    if (frame_notes_withdraw(b->notes, pfn, V3_PAGE_XTAB))
        add_entry(b, pfn, V3_PAGE_XTAB, NULL);
}

/* Not this time: fault says why. While the guest runs that is no failure; stuck: it may become
 * one. */
static int defer(
    struct batch *b, const struct page_fault *fault, bool stuck, bool suspended, struct err *e)
{
    if (suspended)
        return page_fault_explain(fault, b->guest->dom.domid, e);
    frame_notes_defer(b->notes, fault->pfn);
    b->deferred_pages++;
    if (stuck && !b->stuck_pages++)
        b->fault = *fault;
    return 0;
}

/* A page table could not be translated: code says why, pte where. */
static int defer_table(struct batch *b, struct page_fault *fault, const uint64_t *table, int code,
    struct pte_fault pte, bool suspended, struct err *e)
{
    const struct guest *g = b->guest;
    const bool stuck = code != EAGAIN || g->ops->find_foreign(g, fault->level, table, &pte);

    fault->code = code;
    fault->index = pte.index;
    fault->target = pte_frame(pte.pte);
    return defer(b, fault, stuck, suspended, e);
}

/* Are they all types that the streams know? */
static int check_types(const struct batch *b, const uint64_t *frames, const uint8_t *types,
    unsigned count, struct err *e)
{
    for (unsigned i = 0; i < count; i++)
        if (!v3_type_is_known(types[i]))
            return err_set(e, ERR_LOCAL, EPROTO,
                "Xen reports a page type for frame %#lx of domain %u that is not known: %u",
                frames[i], b->guest->dom.domid, types[i]);
    return 0;
}

/* Find out which of them have frames, and of what types. The others keep V3_PAGE_XTAB. */
static int find_machine_frames(struct batch *b, struct candidates *c, struct err *e)
{
    uint64_t asked[BATCH_PAGES];
    uint8_t answers[BATCH_PAGES];
    unsigned n = 0;

    c->frames = c->p2m;
    for (unsigned i = 0; i < c->count; i++) {
        c->p2m[i] = b->guest->ops->frame_of(b->guest, c->pfns[i]);
        c->types[i] = V3_PAGE_XTAB;

        const bool missing = c->p2m[i] == GUEST_NO_FRAME;

        frame_notes_miss(b->notes, c->pfns[i], missing);
        if (!missing)
            asked[n++] = c->p2m[i];
    }
    if (!n)
        return 0;

    int rc = frame_types_read(b->xen, b->guest->dom.domid, &b->scratch, asked, n, answers, e);

    if (!rc)
        rc = check_types(b, asked, answers, n, e);
    n = 0;
    for (unsigned i = 0; i < c->count && !rc; i++)
        if (c->p2m[i] != GUEST_NO_FRAME)
            c->types[i] = answers[n++];
    return rc;
}

/* A small HVM guest has a million frame numbers, most of them holes: little is done for each. */
static int find_frames(
    struct batch *b, const uint64_t *pfns, unsigned count, struct candidates *c, struct err *e)
{
    c->count = count;
    c->pfns = c->frames = pfns;
    if (!b->guest->ops->frames_are_pfns)
        return find_machine_frames(b, c, e);

    const int rc = frame_types_read(
        b->xen, b->guest->dom.domid, &b->scratch, pfns, count, c->types, e);

    return rc ? rc : check_types(b, pfns, c->types, count, e);
}

/* Map the frames with data, in order, side by side. */
static int map_data(struct batch *b, const struct candidates *c, int *errors, struct err *e)
{
    uint64_t frames[BATCH_PAGES];
    unsigned n = 0;

    for (unsigned i = 0; i < c->count; i++)
        if (v3_type_has_data(c->types[i]))
            frames[n++] = c->frames[i];
    if (!n)
        return 0;
    b->mapping = foreign_map_some(b->xen, b->guest->dom.domid, PROT_READ, frames, n, errors, e);
    b->mapped = n;
    return b->mapping ? 0 : -e->code;
}

/* One page with data: an entry, or deferred. */
static int take_page(struct batch *b, const struct candidates *c, unsigned i, const void *page,
    int map_error, bool suspended, struct err *e)
{
    const unsigned level = v3_type_table_level(c->types[i]);
    struct page_fault fault = {.pfn = c->pfns[i], .frame = c->frames[i], .level = level};

    if (map_error) {
        fault.code = abs(map_error);
        fault.level = 0;
        return defer(b, &fault, true, suspended, e);
    }
    if (level) {
        uint64_t *table = b->tables[b->count];
        struct pte_fault pte;
        const int rc = b->guest->ops->canonicalise(b->guest, level, page, table, &pte);

        if (rc)
            return defer_table(b, &fault, page, -rc, pte, suspended, e);
        page = table;
    } else if (frame_notes_compare(b->notes)) {
        page = memcpy(b->tables[b->count], page, XC_PAGE_SIZE);
    }
    announce(b, c->pfns[i], c->types[i], page);
    return 0;
}

/* Their entries, in order. */
static int take_frames(
    struct batch *b, const struct candidates *c, const int *errors, bool suspended, struct err *e)
{
    unsigned mapped = 0;
    int rc = 0;

    for (unsigned i = 0; i < c->count && !rc; i++) {
        if (v3_type_has_data(c->types[i])) {
            rc = take_page(b, c, i, (const char *)b->mapping + (size_t)mapped * XC_PAGE_SIZE,
                errors[mapped], suspended, e);
            mapped++;
        } else if (v3_type_is_populated(c->types[i])) {
            announce(b, c->pfns[i], c->types[i], NULL);
        } else {
            withdraw(b, c->pfns[i]);
        }
    }
    return rc;
}

int batch_load(struct batch *b, const uint64_t *pfns, unsigned count, bool suspended, struct err *e)
{
    struct candidates c;
    int errors[BATCH_PAGES];

    b->count = b->data_pages = 0;
    b->unchanged_pages = b->deferred_pages = b->stuck_pages = 0;

    int64_t mark_ns = thread_cpu_ns();
    int rc = find_frames(b, pfns, count, &c, e);

    b->costs.types_cpu_ns += lap_cpu_ns(&mark_ns);
    if (!rc)
        rc = map_data(b, &c, errors, e);
    if (b->mapping)
        b->costs.map_cpu_ns += lap_cpu_ns(&mark_ns);
    if (!rc)
        rc = take_frames(b, &c, errors, suspended, e);
    /* Of holes, asking for their types was all. */
    if (b->count)
        b->costs.canonicalise_cpu_ns += lap_cpu_ns(&mark_ns);
    return rc;
}

void batch_unload(struct batch *b)
{
    if (!b->mapping)
        return;

    int64_t mark_ns = thread_cpu_ns();

    foreign_unmap(b->xen, b->mapping, b->mapped);
    b->costs.map_cpu_ns += lap_cpu_ns(&mark_ns);
    b->mapping = NULL;
    b->mapped = 0;
}

void batch_leave(struct batch *b)
{
    if (b->mapping && b->left_count < BATCH_MAX_LEFT) {
        b->left[b->left_count++] = (struct batch_mapping){b->mapping, b->mapped};
        b->mapping = NULL;
        b->mapped = 0;
    }
    batch_unload(b);
}

int batch_look(struct batch *b, const uint64_t *pfns, unsigned count,
    void (*seen)(void *arg, uint64_t pfn, const void *page), void *arg, struct err *e)
{
    uint64_t frames[BATCH_PAGES], there[BATCH_PAGES];
    int errors[BATCH_PAGES];
    unsigned n = 0;
    char *pages;

    for (unsigned i = 0; i < count; i++) {
        frames[n] = b->guest->ops->frame_of(b->guest, pfns[i]);
        if (frames[n] != GUEST_NO_FRAME)
            there[n++] = pfns[i];
    }
    if (!n)
        return 0;
    pages = foreign_map_some(b->xen, b->guest->dom.domid, PROT_READ, frames, n, errors, e);
    if (!pages)
        return -e->code;
    for (unsigned i = 0; i < n; i++)
        if (!errors[i])
            seen(arg, there[i], pages + (size_t)i * XC_PAGE_SIZE);
    foreign_unmap(b->xen, pages, n);
    return 0;
}
