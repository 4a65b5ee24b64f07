/* SPDX-License-Identifier: MIT */
#include "engine/guest/pv_memory.h"

#include "base/limits.h"
#include "engine/guest/page_any.h"
#include "engine/guest/pte.h"
#include "engine/xen/foreign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The part of a guest's virtual memory that is Xen's (public/arch-x86/xen-x86_64.h,
 * xen-x86_32.h). */
#define XEN_64_FIRST 0xffff800000000000ull
#define XEN_64_LAST  0xffff87ffffffffffull
#define XEN_32_FIRST 0xf5800000ull
#define XEN_32_LAST  0xffffffffull

/* The guest may write to its shared info at any time: each field is read once. */
#define SHARED_INFO_FIELD(m, field)                                                                \
    get_any((const volatile shared_info_any_t *)(m)->shared_info, field, (m)->width_bytes)

/* ---- translation ---- */

uint64_t pv_pfn_to_mfn(const struct pv_memory *m, uint64_t pfn)
{
    uint64_t mfn;

    if (m->width_bytes == 8)
        mfn = __atomic_load_n((const uint64_t *)m->p2m + pfn, __ATOMIC_RELAXED);
    else
        mfn = __atomic_load_n((const uint32_t *)m->p2m + pfn, __ATOMIC_RELAXED);
    /* Guests also use high bits to mark entries that are not their memory. */
    return mfn < m->m2p.entries ? mfn : PV_NO_FRAME;
}

bool pv_mfn_to_pfn(const struct pv_memory *m, uint64_t mfn, uint64_t *pfn)
{
    if (mfn >= m->m2p.entries)
        return false;
    *pfn = __atomic_load_n(&m->m2p.pfns[mfn], __ATOMIC_RELAXED);
    return *pfn <= m->max_pfn && pv_pfn_to_mfn(m, *pfn) == mfn;
}

bool pv_mfn_is_foreign(const struct pv_memory *m, uint64_t mfn)
{
    uint64_t pfn;

    if (pv_mfn_to_pfn(m, mfn, &pfn))
        return false;
    return mfn >= m->m2p.entries || m->m2p.pfns[mfn] < M2P_NO_DOMAIN;
}

/* ---- p2m, both layouts ---- */

/* Frame numbers that were read from the guest and are not yet checked. */
struct frame_list {
    uint64_t *mfns;
    size_t count;
};

static int bad_p2m(const struct pv_memory *m, struct err *e, const char *what, uint64_t value)
{
    return err_set(e, ERR_REFUSED, ERANGE,
        "the p2m of domain %u cannot be read: %s (%#" PRIx64 "); has it finished booting?",
        m->domid, what, value);
}

static int list_alloc(struct frame_list *list, size_t count, struct err *e)
{
    list->mfns = calloc(count, sizeof(*list->mfns));
    list->count = count;
    return list->mfns ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "no memory for %zu frames", count);
}

static size_t entries_per_frame(const struct pv_memory *m)
{
    return XC_PAGE_SIZE / m->width_bytes;
}

static size_t count_leaves(const struct pv_memory *m)
{
    return m->max_pfn / entries_per_frame(m) + 1;
}

/* Map the leaves as one table, and use it to turn their own frames into PFNs. */
static int map_leaves(
    struct xen *x, struct pv_memory *m, const struct frame_list *leaves, struct err *e)
{
    void *p2m = foreign_map(
        x, m->domid, PROT_READ, leaves->mfns, leaves->count, "the guest's p2m", e);

    if (!p2m)
        return -e->code;
    m->p2m = p2m;
    m->p2m_frames = leaves->count;
    m->p2m_pfns = calloc(leaves->count, sizeof(*m->p2m_pfns));
    if (!m->p2m_pfns)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for %zu frames", leaves->count);
    for (size_t i = 0; i < leaves->count; i++)
        if (!pv_mfn_to_pfn(m, leaves->mfns[i], &m->p2m_pfns[i]))
            return bad_p2m(m, e, "a frame of it is not the guest's", leaves->mfns[i]);
    return 0;
}

/* ---- tree ---- */

/* Read count frame numbers of the guest's width from frames[0..) into *out. */
static int read_frame_numbers(struct xen *x, const struct pv_memory *m,
    const struct frame_list *frames, size_t count, struct frame_list *out, struct err *e)
{
    void *mem = foreign_map(
        x, m->domid, PROT_READ, frames->mfns, frames->count, "the guest's p2m tree", e);
    int rc = mem ? list_alloc(out, count, e) : -e->code;

    for (size_t i = 0; i < count && !rc; i++) {
        out->mfns[i] = m->width_bytes == 8 ? ((const uint64_t *)mem)[i]
                                           : ((const uint32_t *)mem)[i];
        if (!out->mfns[i] || out->mfns[i] >= m->m2p.entries)
            rc = bad_p2m(m, e, "its tree names a frame that does not exist", out->mfns[i]);
    }
    foreign_unmap(x, mem, frames->count);
    return rc;
}

/* Where the run of equal entries at the end begins. */
static size_t trailing_run(const uint64_t *mfns, size_t count)
{
    size_t i = count - 1;

    while (i > 0 && mfns[i - 1] == mfns[i])
        i--;
    return i;
}

/* A frame that several entries share can only be the guest's "nothing here": cut all but one. */
static void trim_tree(struct pv_memory *m, struct frame_list *middle)
{
    const uint64_t reach = entries_per_frame(m) * entries_per_frame(m);
    const uint64_t max_pfn = (trailing_run(middle->mfns, middle->count) + 1) * reach - 1;

    if (max_pfn < m->max_pfn)
        m->max_pfn = max_pfn;
    middle->count = m->max_pfn / reach + 1;
}

static int map_p2m_tree(struct xen *x, struct pv_memory *m, struct err *e)
{
    const uint64_t per_frame = entries_per_frame(m);
    const uint64_t middle_count = m->max_pfn / (per_frame * per_frame) + 1;
    uint64_t root = SHARED_INFO_FIELD(m, arch.pfn_to_mfn_frame_list_list);
    const struct frame_list top = {&root, 1};
    struct frame_list middle = {0}, leaves = {0};

    if (!root || root >= m->m2p.entries)
        return bad_p2m(m, e, "its tree has no root", root);
    if (middle_count > per_frame)
        return bad_p2m(m, e, "its last page is beyond what a tree can hold", m->max_pfn);

    int rc = read_frame_numbers(x, m, &top, middle_count, &middle, e);

    if (!rc) {
        trim_tree(m, &middle);
        rc = read_frame_numbers(x, m, &middle, count_leaves(m), &leaves, e);
    }
    if (!rc)
        rc = map_leaves(x, m, &leaves, e);
    free(middle.mfns);
    free(leaves.mfns);
    return rc;
}

/* ---- list ---- */

/* The part of the guest's virtual memory that holds its p2m, and how far the walk has come. */
struct list_walk {
    uint64_t first, last; /* bytes, without the sign extension */
    uint64_t base;        /* what entry 0 of the tables at hand covers */
    struct frame_list tables;
};

static bool is_canonical(uint64_t vaddr)
{
    return (uint64_t)((int64_t)(vaddr << 16) >> 16) == vaddr;
}

static bool list_is_elsewhere(const struct pv_memory *m, uint64_t first, uint64_t last)
{
    if (last < first)
        return false;
    if (m->width_bytes == 8)
        return is_canonical(first) && is_canonical(last) &&
               (first > XEN_64_LAST || last < XEN_64_FIRST);
    return last <= UINT32_MAX && (first > XEN_32_LAST || last < XEN_32_FIRST);
}

/* The frames that entries [from, to] of the tables at hand name. */
static int read_entries(struct xen *x, const struct pv_memory *m, const struct list_walk *w,
    size_t from, size_t to, struct frame_list *out, struct err *e)
{
    uint64_t *ptes = foreign_map(x, m->domid, PROT_READ, w->tables.mfns, w->tables.count,
        "page tables of the guest's p2m", e);
    int rc = ptes ? list_alloc(out, to - from + 1, e) : -e->code;

    for (size_t i = from; i <= to && !rc; i++) {
        const uint64_t pte = __atomic_load_n(&ptes[i], __ATOMIC_RELAXED);
        const uint64_t mfn = pte_frame(pte);

        if (!(pte & PTE_PRESENT) || mfn >= m->m2p.entries)
            rc = bad_p2m(m, e, "its list has a hole", pte);
        out->mfns[i - from] = mfn;
    }
    foreign_unmap(x, ptes, w->tables.count);
    return rc;
}

/*
 * Equal entries at the end of the L2 tables share one table of nothing: cut them. shift is how
 * much an entry covers.
 */
static void trim_list(struct pv_memory *m, struct list_walk *w, struct frame_list *found,
    uint64_t base, unsigned shift)
{
    const size_t run = trailing_run(found->mfns, found->count);

    if (run == 0 || run == found->count - 1)
        return;

    const uint64_t end = base + ((uint64_t)run << shift);

    w->last = end - 1;
    m->max_pfn = (end - w->first) / m->width_bytes - 1;
    found->count = run;
}

/* From the tables of one level to those below it (or, at level 1, the p2m itself). */
static int descend(
    struct xen *x, struct pv_memory *m, struct list_walk *w, unsigned level, struct err *e)
{
    const unsigned shift = XC_PAGE_SHIFT + 9 * (level - 1);
    const size_t from = (w->first - w->base) >> shift, to = (w->last - w->base) >> shift;
    struct frame_list found = {0};
    const int rc = to < w->tables.count * PTES_PER_PAGE
                       ? read_entries(x, m, w, from, to, &found, e)
                       : bad_p2m(m, e, "its list is longer than its page tables", w->last);

    if (rc) {
        free(found.mfns);
        return rc;
    }

    const uint64_t base = w->first >> shift << shift;

    if (level == 2)
        trim_list(m, w, &found, base, shift);
    free(w->tables.mfns);
    w->tables = found;
    w->base = base;
    return 0;
}

static int map_p2m_list(struct xen *x, struct pv_memory *m, uint64_t cr3, struct err *e)
{
    const uint64_t mask = m->width_bytes == 8 ? 0xffffffffffffull : 0xffffffffull;
    const uint64_t first = SHARED_INFO_FIELD(m, arch.p2m_vaddr);
    const uint64_t last = first + count_leaves(m) * XC_PAGE_SIZE - 1;
    const uint64_t root = cr3_to_frame(cr3, m->width_bytes);
    struct list_walk w = {first & mask, last & mask, 0, {0}};

    m->has_generation = true;
    m->generation = SHARED_INFO_FIELD(m, arch.p2m_generation);
    if (m->generation & 1)
        return bad_p2m(m, e, "the guest is moving it right now: try again", m->generation);
    if (!root || root >= m->m2p.entries)
        return bad_p2m(m, e, "its list has no root", cr3);
    if (first % XC_PAGE_SIZE || !list_is_elsewhere(m, first, last))
        return bad_p2m(m, e, "its list is where no list can be", first);

    int rc = list_alloc(&w.tables, 1, e);

    if (!rc)
        w.tables.mfns[0] = root;
    for (unsigned level = m->levels; level > 0 && !rc; level--)
        rc = descend(x, m, &w, level, e);
    if (!rc)
        rc = map_leaves(x, m, &w.tables, e);
    free(w.tables.mfns);
    return rc;
}

/* ---- all of it ---- */

static int map_shared_info(
    struct xen *x, const struct domain *dom, struct pv_memory *m, struct err *e)
{
    m->shared_info = foreign_map(
        x, dom->domid, PROT_READ, &dom->shared_info_frame, 1, "the shared info page", e);
    return m->shared_info ? 0 : -e->code;
}

static int map_p2m(struct xen *x, struct pv_memory *m, struct err *e)
{
    const uint64_t pages = SHARED_INFO_FIELD(m, arch.max_pfn);
    const uint64_t cr3 = SHARED_INFO_FIELD(m, arch.p2m_cr3);

    if (!pages)
        return bad_p2m(m, e, "the guest has not said how large it is", pages);
    if (pages > WIRE_MAX_PV_FRAMES)
        return bad_p2m(m, e, "the guest says that it has more than 2^32 frames", pages);
    m->max_pfn = pages - 1;
    return cr3 ? map_p2m_list(x, m, cr3, e) : map_p2m_tree(x, m, e);
}

int pv_memory_map(struct xen *x, const struct domain *dom, struct pv_memory *m, struct err *e)
{
    *m = (struct pv_memory){
        .domid = dom->domid,
        .width_bytes = dom->width_bytes,
        .levels = dom->width_bytes == 8 ? 4 : 3,
        .compat_m2p_mfn = PV_NO_FRAME,
    };

    int rc = m2p_map(x, &m->m2p, e);

    if (!rc && m->levels == 3)
        rc = m2p_find_compat(x, &m->compat_m2p_mfn, e);
    if (!rc)
        rc = map_shared_info(x, dom, m, e);
    if (!rc)
        rc = map_p2m(x, m, e);
    if (rc)
        pv_memory_unmap(x, m);
    return rc;
}

void pv_memory_unmap(struct xen *x, struct pv_memory *m)
{
    free(m->p2m_pfns);
    foreign_unmap(x, (void *)m->p2m, m->p2m_frames);
    foreign_unmap(x, (void *)m->shared_info, 1);
    m2p_unmap(x, &m->m2p);
    *m = (struct pv_memory){0};
}

int pv_memory_check(const struct pv_memory *m, struct err *e)
{
    if (!m->has_generation || SHARED_INFO_FIELD(m, arch.p2m_generation) == m->generation)
        return 0;
    return err_set(e, ERR_GUEST, ESTALE,
        "domain %u has moved its p2m while it was being moved (memory was added?): try again",
        m->domid);
}
