/* SPDX-License-Identifier: MIT */
#include "xensim/guest/pagetables.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/vcpu.h"

int guest_set_direct(struct guest *g, uint64_t index, uint64_t pte)
{
    struct domain *d = g->domain;
    uint64_t va = guest_direct_va(d) + index * PAGE_BYTES;
    uint64_t table;

    if (index >= guest_direct_pages(d, g->kernel->nr_pages))
        return 0;
    guest_walk(d, vcpu_root_mfn(d->vcpus[0]), va, &table);
    return page_write_pte(d, table, guest_pt_index(va, 1), pte);
}

static uint64_t *shadow_slot(struct guest *g, unsigned slot)
{
    return (uint64_t *)guest_page(g, g->kernel->shadow.first + slot / 512) + slot % 512;
}

static void set_window(struct guest *g, unsigned slot, uint64_t pte, uint64_t remembered)
{
    uint64_t table = g->mfns[g->kernel->window_tables[slot / 512]];
    int rc = page_write_pte(g->domain, table, slot % 512, pte);

    if (rc) {
        guest_fault(g, "window entry %u: Xen refused %#llx: %d", slot, (unsigned long long)pte, rc);
        return;
    }
    *shadow_slot(g, slot) = remembered;
    guest_touch(g, g->kernel->shadow.first + slot / 512);
}

void guest_remap(struct guest *g, unsigned cpu)
{
    struct guest_kernel *k = g->kernel;
    struct domain *d = g->domain;
    struct guest_region s = guest_stable_slice(k, cpu);
    uint64_t r = guest_random(k, cpu);
    unsigned slot = cpu + k->nr_vcpus * (unsigned)(r % (GUEST_NR_WINDOWS * 512 / k->nr_vcpus));
    uint64_t index = s.first + (r >> 20) % s.count;
    uint64_t flags = PTE_PRESENT | PTE_ACCESSED | (r >> 12 & 1 ? PTE_RW | PTE_DIRTY : 0);

    if (slot == SHARED_INFO_SLOT)
        return;
    pthread_mutex_lock(&d->lock);
    switch (r >> 13 & 15) {
    case 0:
    case 1: /* not present, like a swapped-out page: the tools must leave every bit alone */
        r &= ~(PTE_PRESENT | k->mark_mask);
        set_window(g, slot, r, r);
        break;
    case 3: /* not present, but it names a frame: its kernel's notes say how that is known */
        flags = k->mark_mask ? k->mark_value : flags;
        set_window(g, slot, (uint64_t)g->mfns[index] << 12 | flags, index << 12 | flags);
        break;
    case 2: /* a frame that is not part of the guest's memory */
        set_window(g, slot, d->shared_info_mfn << 12 | PTE_PRESENT | PTE_ACCESSED, SHADOW_FOREIGN);
        break;
    default:
        set_window(g, slot, (uint64_t)g->mfns[index] << 12 | flags, index << 12 | flags);
    }
    pthread_mutex_unlock(&d->lock);
}

void guest_map_shared_info(struct guest *g)
{
    struct domain *d = g->domain;

    pthread_mutex_lock(&d->lock);
    set_window(
        g, SHARED_INFO_SLOT, d->shared_info_mfn << 12 | PTE_PRESENT | PTE_ACCESSED, SHADOW_FOREIGN);
    pthread_mutex_unlock(&d->lock);
}

void guest_unmap_foreign(struct guest *g)
{
    pthread_mutex_lock(&g->domain->lock);
    for (unsigned slot = 0; slot < GUEST_NR_WINDOWS * 512; slot++)
        if (*shadow_slot(g, slot) == SHADOW_FOREIGN)
            set_window(g, slot, 0, 0);
    pthread_mutex_unlock(&g->domain->lock);
}

uint64_t guest_process_pte(const struct guest_kernel *k, unsigned process, unsigned entry)
{
    uint64_t index = k->process_maps[process] + entry;

    return index << 12 | PTE_PRESENT | PTE_USER | PTE_ACCESSED |
           (entry & 1 ? PTE_RW | PTE_DIRTY : 0);
}

static void fill_process(struct guest *g, unsigned process, uint64_t pool, unsigned tables)
{
    struct guest_kernel *k = g->kernel;
    uint64_t *leaf = guest_page(g, pool + tables - 1);

    for (unsigned t = 0; t + 1 < tables; t++) {
        uint64_t *table = guest_page(g, pool + t);
        uint64_t flags = g->domain->pv32 && t == 0
                             ? PTE_PRESENT
                             : PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED | PTE_DIRTY;

        memset(table, 0, PAGE_BYTES);
        table[0] = (uint64_t)g->mfns[pool + t + 1] << 12 | flags;
    }
    for (unsigned i = 0; i < 512; i++) {
        uint64_t pte = guest_process_pte(k, process, i);

        leaf[i] = (uint64_t)g->mfns[pte >> 12] << 12 | (pte & 0xfff);
    }
}

static int set_pool_direct(struct guest *g, uint64_t pool, unsigned tables)
{
    int rc = 0;

    for (unsigned t = 0; t < tables && !rc; t++)
        rc = guest_set_direct(
            g, pool + t, guest_direct_pte(g->kernel, pool + t, g->mfns[pool + t]));
    return rc;
}

void guest_fork(struct guest *g, unsigned cpu)
{
    struct guest_kernel *k = g->kernel;
    struct domain *d = g->domain;
    struct guest_region s = guest_stable_slice(k, cpu);
    uint64_t r = guest_random(k, cpu);
    unsigned process = (unsigned)(r % GUEST_NR_PROCESSES);
    unsigned tables = d->pv32 ? 3 : 4;
    uint64_t pool = k->pool.first + process * GUEST_PROCESS_TABLES;
    int rc;

    if (process % k->nr_vcpus != cpu || s.count < 512)
        return;
    pthread_mutex_lock(&d->lock);
    if (k->process_pinned[process]) {
        rc = page_unpin(d, g->mfns[pool]);
        k->process_pinned[process] = 0;
        if (!rc)
            rc = set_pool_direct(g, pool, GUEST_PROCESS_TABLES);
    } else {
        k->process_maps[process] = s.first + (r >> 16) % (s.count - 511);
        fill_process(g, process, pool, tables);
        for (unsigned t = 0; t < tables; t++)
            guest_touch(g, pool + t);
        k->process_pinned[process] = 1;
        rc = set_pool_direct(g, pool, GUEST_PROCESS_TABLES);
        if (!rc)
            rc = page_pin(d, g->mfns[pool], d->pv32 ? PT_L3 : PT_L4);
    }
    guest_touch(g, INDEX_KERNEL);
    pthread_mutex_unlock(&d->lock);
    if (rc)
        guest_fault(g, "process %u: Xen refused its page tables: %d", process, rc);
}
