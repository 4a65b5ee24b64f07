#include "engine/xen/apply.h"

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

    const int rc = xen_open(&new->xen, log, e);

    if (rc) {
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
    xen_close(&a->xen);
    free(a);
}

static bool is_table(const struct applier *a, uint64_t entry)
{
    return a->levels && v3_type_table_level(v3_entry_type(entry));
}

/* Before anything is done: do the tables name frames that the guest can have? */
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

/* All frames that are written to or named. */
static int populate_all(struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    int rc = populate_entries(a, entries, count, e);

    for (unsigned i = 0; i < count && !rc; i++)
        if (is_table(a, entries[i]))
            rc = populate_targets(a, pages[i], e);
    return rc;
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

static int put_page(
    struct applier *a, uint64_t entry, void *guest, const void *content, struct err *e)
{
    const uint64_t pfn = v3_entry_pfn(entry);

    if (is_table(a, entry)) {
        const int rc = localise(a, pfn, content, e);

        if (rc)
            return rc;
        content = a->table;
    }
    if (!a->verify)
        memcpy(guest, content, XC_PAGE_SIZE);
    else if (memcmp(guest, content, XC_PAGE_SIZE))
        a->mismatches++;
    return 0;
}

int apply_pages(struct applier *a, const uint64_t *entries, const void *const *pages,
    unsigned count, struct err *e)
{
    unsigned n = 0;
    int rc = check_tables(a, entries, pages, count, e);

    if (!rc)
        rc = populate_all(a, entries, pages, count, e);
    if (rc)
        return rc;
    for (unsigned i = 0; i < count; i++)
        if (v3_type_has_data(v3_entry_type(entries[i])))
            a->gfns[n++] = frames_gfn(a->frames, v3_entry_pfn(entries[i]));
    if (!n)
        return 0;

    char *mapping = foreign_map_some(&a->xen, a->frames->domid,
        a->verify ? PROT_READ : PROT_READ | PROT_WRITE, a->gfns, n, a->errs, e);

    if (!mapping)
        return -e->code;

    unsigned mapped = 0;

    for (unsigned i = 0; i < count && !rc; i++) {
        if (!v3_type_has_data(v3_entry_type(entries[i])))
            continue;
        if (a->errs[mapped])
            rc = err_sys(e, ERR_LOCAL, abs(a->errs[mapped]), "cannot map frame %#llx of domain %u",
                (unsigned long long)v3_entry_pfn(entries[i]), a->frames->domid);
        else
            rc = put_page(a, entries[i], mapping + (size_t)mapped * XC_PAGE_SIZE, pages[i], e);
        mapped++;
    }
    foreign_unmap(&a->xen, mapping, n);
    return rc;
}
