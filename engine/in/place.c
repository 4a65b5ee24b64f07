#include "engine/in/place.h"

#include "engine/xen/foreign.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int applier_create(struct applier **a, struct frames *frames, unsigned levels,
    const struct log *log, struct err *e)
{
    struct applier *new = calloc(1, sizeof(*new));

    if (!new)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    new->frames = frames;
    new->levels = levels;

    int rc = 0;

    if (levels) {
        new->tables = calloc(APPLY_MAX_PAGES, sizeof(*new->tables));
        if (!new->tables)
            rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for page tables");
    }
    if (!rc)
        rc = xen_open(&new->xen, log, e);
    if (rc) {
        free(new->tables);
        free(new);
        return rc;
    }
    *a = new;
    return 0;
}

void applier_destroy(struct applier *a)
{
    if (!a)
        return;
    apply_end(a);
    xen_close(&a->xen);
    free(a->tables);
    free(a);
}

static bool is_table(const struct applier *a, uint64_t entry)
{
    return a->levels && v3_type_table_level(v3_entry_type(entry));
}

/* Do the tables name frames that the guest can have? */
static int check_tables(const struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned index;

        if (!is_table(a, entries[i]) || !find_pte_beyond(pages[i], a->frames->frame_count, &index))
            continue;
        return err_set(e, ERR_PEER, EPROTO,
            "entry %u of the page table at frame %#llx names a frame beyond the guest's last, "
            "%#llx",
            index, (unsigned long long)v3_entry_pfn(entries[i]),
            (unsigned long long)a->frames->frame_count - 1);
    }
    return 0;
}

static int populate_entries(
    struct applier *a, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        const unsigned type = v3_entry_type(entries[i]);
        const uint64_t pfn = v3_entry_pfn(entries[i]);

        if (a->frames->pv && !a->verify)
            a->frames->types[pfn] = (uint8_t)type;
        if (v3_type_is_populated(type))
            a->pfns[n++] = pfn;
    }
    return n ? frames_populate(a->frames, &a->xen, a->pfns, n, e) : 0;
}

/* Frames that a table names may come later than the table. */
static int populate_targets(struct applier *a, const uint64_t *table, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PTES_PER_PAGE; i++)
        if ((table[i] & PTE_PRESENT) && !frames_is_populated(a->frames, pte_frame(table[i])))
            a->pfns[n++] = pte_frame(table[i]);
    return n ? frames_populate(a->frames, &a->xen, a->pfns, n, e) : 0;
}

static bool find_mfn(void *arg, uint64_t pfn, uint64_t *mfn)
{
    const struct frames *f = arg;

    if (pfn >= f->frame_count || !frames_is_populated(f, pfn))
        return false;
    *mfn = f->p2m[pfn];
    return true;
}

/* The table's content in machine frames, in a->table. */
static int localise(struct applier *a, uint64_t pfn, const void *content, struct err *e)
{
    const struct pte_rules rules = {.levels = a->levels, .translate = find_mfn, .arg = a->frames};
    struct pte_fault fault;

    memcpy(a->table, content, XC_PAGE_SIZE);

    const int rc = localise_page(&rules, a->table, &fault);

    if (rc)
        return err_set(e, ERR_INTERNAL, -rc, "entry %u of page table %#llx (%#llx) has no frame",
            fault.index, (unsigned long long)pfn, (unsigned long long)fault.pte);
    return 0;
}

/* Where a frame's content is to be put, of those that have one. */
static int map_frames(struct applier *a, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        if (v3_type_has_data(v3_entry_type(entries[i])))
            a->gfns[n++] = frames_gfn(a->frames, v3_entry_pfn(entries[i]));
    if (!n)
        return 0;
    a->mapping = foreign_map_some(&a->xen, a->frames->domid,
        a->verify ? PROT_READ : PROT_READ | PROT_WRITE, a->gfns, n, a->errs, e);
    if (!a->mapping)
        return -e->code;
    a->mapped = n;
    return 0;
}

int apply_begin(struct applier *a, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;
    int rc = populate_entries(a, entries, count, e);

    if (!rc)
        rc = map_frames(a, entries, count, e);
    for (unsigned i = 0; i < count && !rc; i++) {
        a->into[i] = a->guest[i] = NULL;
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        if (a->errs[n])
            rc = err_sys(e, ERR_LOCAL, abs(a->errs[n]), "cannot map frame %#llx of domain %u",
                (unsigned long long)v3_entry_pfn(entries[i]), a->frames->domid);
        a->guest[i] = (char *)a->mapping + (size_t)n++ * XC_PAGE_SIZE;
        a->into[i] = is_table(a, entries[i]) ? a->tables[i] : a->guest[i];
    }
    return rc;
}

int apply_commit(struct applier *a, const uint64_t *entries, unsigned count, struct err *e)
{
    int rc = check_tables(a, entries, (const void *const *)a->into, count, e);

    for (unsigned i = 0; i < count && !rc; i++) {
        if (!is_table(a, entries[i]))
            continue;
        rc = populate_targets(a, a->into[i], e);
        if (!rc)
            rc = localise(a, v3_entry_pfn(entries[i]), a->into[i], e);
        if (!rc)
            memcpy(a->guest[i], a->table, XC_PAGE_SIZE);
    }
    return rc;
}

void apply_end(struct applier *a)
{
    foreign_unmap(&a->xen, a->mapping, a->mapped);
    a->mapping = NULL;
    a->mapped = 0;
}

/* Is what stands in the guest what the stream says? */
static int compare_page(
    struct applier *a, uint64_t entry, const void *guest, const void *content, struct err *e)
{
    int rc = 0;

    if (is_table(a, entry)) {
        rc = populate_targets(a, content, e);
        if (!rc)
            rc = localise(a, v3_entry_pfn(entry), content, e);
        content = a->table;
    }
    if (!rc && memcmp(guest, content, XC_PAGE_SIZE))
        a->mismatches++;
    return rc;
}

int apply_pages(struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    int rc = check_tables(a, entries, pages, count, e);

    if (!rc)
        rc = apply_begin(a, entries, count, e);
    for (unsigned i = 0; i < count && !rc; i++) {
        if (!a->into[i])
            continue;
        if (a->verify)
            rc = compare_page(a, entries[i], a->guest[i], pages[i], e);
        else
            memcpy(a->into[i], pages[i], XC_PAGE_SIZE);
    }
    if (!rc && !a->verify)
        rc = apply_commit(a, entries, count, e);
    apply_end(a);
    return rc;
}
