/* SPDX-License-Identifier: MIT */
#include "engine/in/place.h"

#include "engine/xen/foreign.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void free_buffers(struct placer *p)
{
    free(p->dropped);
    free(p->tables);
    free(p);
}

int placer_create(struct placer **p, struct frames *frames, const struct log *log, struct err *e)
{
    struct placer *new = calloc(1, sizeof(*new));

    if (!new)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    new->frames = frames;

    int rc = 0;

    new->dropped = aligned_alloc(XC_PAGE_SIZE, PLACE_DROPPED_BYTES);
    if (frames->levels)
        new->tables = calloc(PLACE_MAX_PAGES, sizeof(*new->tables));
    if (!new->dropped || (frames->levels && !new->tables))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for pages");
    if (!rc)
        rc = xen_open(&new->xen, log, e);
    if (rc) {
        free_buffers(new);
        return rc;
    }
    *p = new;
    return 0;
}

void placer_destroy(struct placer *p)
{
    if (!p)
        return;
    place_end(p);
    for (unsigned i = 0; i < p->left_count; i++)
        foreign_unmap(&p->xen, p->left[i].memory, p->left[i].pages);
    xen_close(&p->xen);
    free_buffers(p);
}

static unsigned level_of(uint64_t entry)
{
    return v3_type_table_level(v3_entry_type(entry));
}

static bool is_table(const struct placer *p, uint64_t entry)
{
    return p->frames->levels && level_of(entry);
}

/* Do the tables name only frames that the guest can have? */
static int check_tables(const struct placer *p, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned index;

        if (!is_table(p, entries[i]) || !find_pte_beyond(&p->frames->marks, level_of(entries[i]),
                                            pages[i], p->frames->frame_count, &index))
            continue;
        return err_set(e, ERR_PEER, EPROTO,
            "entry %u of the page table at frame %#llx names a frame beyond the guest's last, "
            "%#llx",
            index, (unsigned long long)v3_entry_pfn(entries[i]),
            (unsigned long long)p->frames->frame_count - 1);
    }
    return 0;
}

/* PV: what a frame without memory is does not matter. */
static void note_types(struct placer *p, const uint64_t *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint64_t pfn = v3_entry_pfn(entries[i]);

        if (frames_is_populated(p->frames, pfn))
            *frames_type(p->frames, pfn) = (uint8_t)v3_entry_type(entries[i]);
    }
}

static bool is_dropped(const struct placer *p, uint64_t entry)
{
    return frames_is_foreign(p->frames, v3_entry_pfn(entry));
}

/* Is there a plain page to which the entry can be a difference? */
static int check_delta(const struct placer *p, uint64_t entry, struct err *e)
{
    const uint64_t pfn = v3_entry_pfn(entry);

    if (is_dropped(p, entry))
        return 0;
    if (frames_is_populated(p->frames, pfn) &&
        (!p->frames->levels || *frames_type(p->frames, pfn) == V3_PAGE_NOTAB))
        return 0;
    return err_set(e, ERR_PEER, EPROTO, "a difference to frame %#llx, which is no plain page here",
        (unsigned long long)pfn);
}

static int populate_entries(
    struct placer *p, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        if (entries[i] & WIRE_ENTRY_DELTA)
            rc = check_delta(p, entries[i], e);
    if (rc)
        return rc;
    for (unsigned i = 0; i < count; i++)
        if (v3_type_is_populated(v3_entry_type(entries[i])))
            p->pfns[n++] = v3_entry_pfn(entries[i]);
        else if (!p->verify)
            frames_note_absent(p->frames, v3_entry_pfn(entries[i]));
    if (n)
        rc = frames_populate(p->frames, &p->xen, p->pfns, n, e);
    if (!rc && p->frames->levels && !p->verify)
        note_types(p, entries, count);
    return rc;
}

/* Frames that a table names may come later than the table. */
static int populate_targets(struct placer *p, unsigned level, const uint64_t *table, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PTES_PER_PAGE; i++)
        if (pte_names_frame(&p->frames->marks, level, table[i]) &&
            !frames_is_populated(p->frames, pte_frame(table[i])))
            p->pfns[n++] = pte_frame(table[i]);
    return n ? frames_populate_named(p->frames, &p->xen, p->pfns, n, e) : 0;
}

static bool find_mfn(void *arg, uint64_t pfn, uint64_t *mfn)
{
    const struct frames *f = arg;

    if (pfn >= f->frame_count || !frames_is_populated(f, pfn))
        return false;
    *mfn = frames_gfn(f, pfn);
    return true;
}

/* The table's content in machine frames, in p->table. */
static int localise(struct placer *p, uint64_t entry, const void *content, struct err *e)
{
    const struct pte_rules rules = {.marks = p->frames->marks,
        .levels = p->frames->levels,
        .translate = find_mfn,
        .arg = p->frames};
    struct pte_fault fault;

    memcpy(p->table, content, XC_PAGE_SIZE);

    const int rc = localise_page(&rules, level_of(entry), p->table, &fault);

    if (rc)
        return err_set(e, ERR_INTERNAL, -rc, "entry %u of page table %#llx (%#llx) has no frame",
            fault.index, (unsigned long long)v3_entry_pfn(entry), (unsigned long long)fault.pte);
    return 0;
}

/* Where to put the frame's content, for types that have one. */
static int map_frames(struct placer *p, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        if (v3_type_has_data(v3_entry_type(entries[i])) && !is_dropped(p, entries[i]))
            p->gfns[n++] = frames_gfn(p->frames, v3_entry_pfn(entries[i]));
    if (!n)
        return 0;
    p->mapping = foreign_map_some(&p->xen, p->frames->domid,
        p->verify ? PROT_READ : PROT_READ | PROT_WRITE, p->gfns, n, p->errs, e);
    if (!p->mapping)
        return -e->code;
    p->mapped = n;
    return 0;
}

int place_begin(struct placer *p, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0, dropped = 0;
    int rc = populate_entries(p, entries, count, e);

    if (!rc)
        rc = map_frames(p, entries, count, e);
    for (unsigned i = 0; i < count && !rc; i++) {
        p->into[i] = p->guest[i] = NULL;
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        if (is_dropped(p, entries[i])) {
            if (is_table(p, entries[i]))
                rc = err_set(e, ERR_PEER, EPROTO, "frame %#llx is a ring and a page table",
                    (unsigned long long)v3_entry_pfn(entries[i]));
            p->into[i] = p->dropped + dropped++ % FRAMES_MAX_FOREIGN * XC_PAGE_SIZE;
            continue;
        }
        if (p->errs[n])
            rc = err_sys(e, ERR_LOCAL, abs(p->errs[n]), "cannot map frame %#llx of domain %u",
                (unsigned long long)v3_entry_pfn(entries[i]), p->frames->domid);
        p->guest[i] = (char *)p->mapping + (size_t)n++ * XC_PAGE_SIZE;
        p->into[i] = is_table(p, entries[i]) ? p->tables[i] : p->guest[i];
    }
    return rc;
}

int place_commit(struct placer *p, const uint64_t *entries, unsigned count, struct err *e)
{
    int rc = check_tables(p, entries, (const void *const *)p->into, count, e);

    for (unsigned i = 0; i < count && !rc; i++) {
        if (!is_table(p, entries[i]))
            continue;
        rc = populate_targets(p, level_of(entries[i]), p->into[i], e);
        if (!rc)
            rc = localise(p, entries[i], p->into[i], e);
        if (!rc)
            memcpy(p->guest[i], p->table, XC_PAGE_SIZE);
    }
    return rc;
}

void place_end(struct placer *p)
{
    foreign_unmap(&p->xen, p->mapping, p->mapped);
    p->mapping = NULL;
    p->mapped = 0;
}

void place_leave(struct placer *p)
{
    if (!p->mapping || p->frames->levels || p->left_count == PLACE_MAX_LEFT) {
        place_end(p);
        return;
    }
    p->left[p->left_count].memory = p->mapping;
    p->left[p->left_count++].pages = p->mapped;
    p->mapping = NULL;
    p->mapped = 0;
}

/* Does the guest's memory hold what the stream says? */
static int compare_page(
    struct placer *p, uint64_t entry, const void *guest, const void *content, struct err *e)
{
    int rc = 0;

    if (is_table(p, entry)) {
        rc = populate_targets(p, level_of(entry), content, e);
        if (!rc)
            rc = localise(p, entry, content, e);
        content = p->table;
    }
    if (!rc && memcmp(guest, content, XC_PAGE_SIZE))
        p->mismatches++;
    return rc;
}

int place_compare(struct placer *p, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    int rc = check_tables(p, entries, pages, count, e);

    if (!rc)
        rc = place_begin(p, entries, count, e);
    for (unsigned i = 0; i < count && !rc; i++)
        if (p->guest[i])
            rc = compare_page(p, entries[i], p->guest[i], pages[i], e);
    place_end(p);
    return rc;
}
