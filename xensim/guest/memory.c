/* SPDX-License-Identifier: MIT */
#include "xensim/guest/memory.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/vcpu.h"

#include <stdarg.h>
#include <stdio.h>

uint64_t guest_direct_va(const struct domain *d)
{
    return d->pv32 ? 0xC0000000ull : 0xffff880000000000ull;
}

/* A 32-bit guest's direct map has room for 768 MiB below Xen's hole; the rest is high memory. */
uint64_t guest_direct_pages(const struct domain *d, uint64_t nr_pages)
{
    uint64_t room = 0x30000;

    return d->pv32 && nr_pages > room ? room : nr_pages;
}

/* Aligned to 1 GiB: that is where the tools' walk of the list expects it. */
uint64_t guest_p2m_va(const struct domain *d)
{
    return d->pv32 ? 0x80000000ull : 0xffffc90000000000ull;
}

uint64_t guest_window_va(const struct domain *d)
{
    return d->pv32 ? 0x40000000ull : 0xffffe80000000000ull;
}

uint64_t guest_user_va(void)
{
    return 0x400000;
}

unsigned guest_pt_index(uint64_t va, unsigned level)
{
    return (unsigned)(va >> (12 + 9 * (level - 1)) & 511);
}

static bool ours(const struct domain *d, uint64_t mfn)
{
    return mfn_valid(d->machine, mfn) && d->machine->frames[mfn].owner == d->id;
}

uint64_t guest_walk(struct domain *d, uint64_t root_mfn, uint64_t va, uint64_t *table)
{
    uint64_t mfn = root_mfn;

    for (unsigned level = d->pv32 ? 3 : 4;; level--) {
        if (!ours(d, mfn))
            return 0;

        uint64_t pte = ((uint64_t *)frame_ptr(d->machine, mfn))[guest_pt_index(va, level)];

        if (level == 1) {
            if (table)
                *table = mfn;
            return pte;
        }
        if (!(pte & PTE_PRESENT))
            return 0;
        mfn = pte_frame(pte);
    }
}

/* PV: the P2M entry, read where the guest reads it: through its own page tables. */
static uint64_t pv_lookup(struct domain *d, uint64_t pfn)
{
    unsigned width = guest_width(d);
    uint64_t va = guest_p2m_va(d) + pfn * width;
    uint64_t pte = guest_walk(d, vcpu_root_mfn(d->vcpus[0]), va, NULL);

    if (!(pte & PTE_PRESENT) || !ours(d, pte_frame(pte)))
        return 0;

    const uint8_t *entry = (uint8_t *)frame_ptr(d->machine, pte_frame(pte)) + va % PAGE_BYTES;

    return width == 4 ? *(const uint32_t *)entry : *(const uint64_t *)entry;
}

uint64_t guest_lookup(struct domain *d, const struct guest_kernel *k, uint64_t index)
{
    uint64_t pfn = guest_pfn(k, index);
    uint64_t mfn = d->hvm ? domain_gfn_to_mfn(d, pfn) : pv_lookup(d, pfn);

    return ours(d, mfn) && m2p_get(d->machine, mfn) == pfn ? mfn : 0;
}

static bool is_ballooned(const struct guest *g, uint64_t index)
{
    return guest_in_region(&g->kernel->data, index) && *guest_version(g, index) & VERSION_BALLOONED;
}

bool guest_find_pages(struct guest *g, bool (*missing)(void *arg, uint64_t index), void *arg)
{
    const struct guest_kernel *k = g->kernel;

    /* The versions first: they tell which pages may be missing. */
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < k->nr_pages; i++) {
            if (guest_in_region(&k->table, i) != (pass == 0))
                continue;
            g->mfns[i] = (uint32_t)guest_lookup(g->domain, k, i);
            if (!g->mfns[i] && !is_ballooned(g, i) && !missing(arg, i))
                return false;
        }
    return true;
}

struct guest_kernel *guest_find_kernel(struct domain *d)
{
    const struct vcpu *v = d->vcpus[0];
    struct guest_kernel probe = {.ranges = {{0, MAX_PFNS}}};
    uint64_t pfn = v && v->initialised ? vcpu_reg_get(v, REG_CX) : ~0ull;
    uint64_t mfn = pfn < MAX_PFNS ? guest_lookup(d, &probe, pfn) : 0;
    struct guest_kernel *k = mfn ? frame_ptr(d->machine, mfn) : NULL;

    return k && k->magic == GUEST_MAGIC && k->nr_pages <= MAX_PFNS ? k : NULL;
}

uint64_t guest_direct_pte(const struct guest_kernel *k, uint64_t index, uint64_t mfn)
{
    uint64_t pte = mfn << 12 | PTE_PRESENT | PTE_ACCESSED | 1ull << 63;
    bool table = guest_in_region(&k->tables, index);

    if (guest_in_region(&k->pool, index))
        table = k->process_pinned[(index - k->pool.first) / GUEST_PROCESS_TABLES];
    if (table || index == INDEX_GDT)
        return pte;
    return pte | PTE_RW | PTE_DIRTY;
}

void guest_fault(struct guest *g, const char *fmt, ...)
{
    char line[sizeof(g->kernel->fault)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    host_log_rate(g->domain->host, "d%u: guest: %s", g->domain->id, line);
    if (!__atomic_fetch_add(&g->kernel->nr_faults, 1, __ATOMIC_RELAXED))
        memcpy(g->kernel->fault, line, sizeof(line));
}

static void put_frame_number(const struct domain *d, void *table, uint64_t i, uint64_t mfn)
{
    if (d->pv32)
        ((uint32_t *)table)[i] = (uint32_t)mfn;
    else
        ((uint64_t *)table)[i] = mfn;
}

/* The tree of the old layout: a page of list frames, list pages of leaf frames. */
static uint64_t publish_tree(struct guest *g)
{
    struct guest_kernel *k = g->kernel;
    uint64_t per_page = PAGE_BYTES / guest_width(g->domain);
    void *top = guest_page(g, k->p2m_mid.first);
    uint64_t lists = k->p2m_mid.count - 1;

    for (uint64_t i = 0; i < per_page; i++) {
        uint64_t list = i < lists ? i : lists - 1;

        put_frame_number(g->domain, top, i, g->mfns[k->p2m_mid.first + 1 + list]);
    }
    for (uint64_t list = 0; list < lists; list++) {
        void *page = guest_page(g, k->p2m_mid.first + 1 + list);

        for (uint64_t i = 0; i < per_page; i++) {
            uint64_t leaf = list * per_page + i;

            put_frame_number(
                g->domain, page, i, leaf < k->p2m.count ? g->mfns[k->p2m.first + leaf] : 0);
        }
        guest_touch(g, k->p2m_mid.first + 1 + list);
    }
    guest_touch(g, k->p2m_mid.first);
    return g->mfns[k->p2m_mid.first];
}

void guest_publish_p2m(struct guest *g)
{
    struct domain *d = g->domain;
    struct guest_kernel *k = g->kernel;
    shared_info_any_t *s = frame_ptr(d->machine, d->shared_info_mfn);
    bool list = k->layout == P2M_LIST;
    uint64_t top = list ? ~0ull : publish_tree(g);
    uint64_t cr3 = list ? cr3_from_mfn(d, g->mfns[k->tables.first]) : 0;
    uint64_t va = list ? guest_p2m_va(d) : 0;

#define SET_ARCH(x)                                                                                \
    do {                                                                                           \
        (x).max_pfn = (typeof((x).max_pfn))k->nr_pages;                                            \
        (x).pfn_to_mfn_frame_list_list = (typeof((x).pfn_to_mfn_frame_list_list))top;              \
        (x).p2m_generation++;                                                                      \
        (x).p2m_cr3 = (typeof((x).p2m_cr3))cr3;                                                    \
        (x).p2m_vaddr = (typeof((x).p2m_vaddr))va;                                                 \
        (x).p2m_generation++;                                                                      \
    } while (0)
    if (d->pv32)
        SET_ARCH(s->x32.arch);
    else
        SET_ARCH(s->x64.arch);
#undef SET_ARCH
}
