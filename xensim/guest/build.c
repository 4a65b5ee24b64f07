/* SPDX-License-Identifier: MIT */
#include "xensim/guest/build.h"
#include "xensim/guest/emulator.h"
#include "xensim/guest/disk.h"
#include "xensim/guest/notes.h"
#include "xensim/guest/pagetables.h"
#include "xensim/guest/pools.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/physmap.h"
#include "xensim/hypervisor/vcpu.h"

#include <errno.h>

enum {
    PVH_LOW_PAGES = 0xF0000, /* below the hole */
    PVH_HIGH_PFN = 0x100000, /* 4 GiB */
    TOP_PAGES = 512,         /* at the end of a sparse guest's address space */
};

struct build {
    struct domain *d;
    struct guest *g;
    const struct guest_params *p;
    struct guest_kernel k; /* becomes the kernel page */
    uint64_t next_table;   /* index */
    struct err *e;
};

static uint64_t div_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static struct guest_region take(uint64_t *next, uint64_t count)
{
    struct guest_region r = {*next, count};

    *next += count;
    return r;
}

/* Page tables for n pages from va on: everything below the root. */
static uint64_t tables_for(const struct domain *d, uint64_t va, uint64_t n)
{
    uint64_t last = va + n * PAGE_BYTES - 1;
    uint64_t count = 0;

    for (unsigned level = 1; level < (d->pv32 ? 3u : 4u); level++) {
        unsigned shift = 12 + 9 * level;

        count += (last >> shift) - (va >> shift) + 1;
    }
    return count;
}

static uint64_t trace_count(const char *trace)
{
    uint64_t n = 0;

    for (const char *c = trace; c && *c; c++)
        n += *c == '\n';
    return n;
}

static void lay_out_ranges(struct build *b)
{
    struct guest_kernel *k = &b->k;
    uint64_t left = k->nr_pages;
    unsigned n = 0;

    if (!b->d->hvm) {
        k->ranges[0] = (struct guest_range){0, left};
        return;
    }

    uint64_t top = b->p->address_bytes ? TOP_PAGES : 0;
    uint64_t low = left - top < PVH_LOW_PAGES ? left - top : PVH_LOW_PAGES;

    k->ranges[n++] = (struct guest_range){0, low};
    left -= low;
    if (left > top) {
        k->ranges[n++] = (struct guest_range){PVH_HIGH_PFN, left - top};
        left = top;
    }
    if (top)
        k->ranges[n] = (struct guest_range){b->p->address_bytes / PAGE_BYTES - top, top};
}

static int lay_out(struct build *b)
{
    const struct guest_params *p = b->p;
    struct domain *d = b->d;
    struct guest_kernel *k = &b->k;
    uint64_t next = INDEX_FREE;

    k->magic = GUEST_MAGIC;
    k->seed = p->seed;
    k->type = p->type;
    k->nr_vcpus = p->vcpus;
    k->pattern = p->pattern;
    k->layout = p->layout;
    k->mix = p->mix;
    k->suspend_mode = (uint8_t)p->suspend_mode;
    k->suspend_delay_ns = p->suspend_delay_ns;
    k->feature_suspend = p->feature_suspend;
    k->suspend_cancel = (uint8_t)p->suspend_cancel;
    k->mark_mask = d->hvm ? 0 : p->mark_mask;
    k->mark_value = p->mark_value;
    k->versioned_disk = p->versioned_disk;
    k->disk_delay_ns = p->disk_delay_ns;
    k->pages_per_s = p->pages_per_s;
    k->remaps_per_s = d->hvm ? 0 : p->remaps_per_s;
    k->forks_per_s = d->hvm ? 0 : p->forks_per_s;
    k->balloons_per_s = p->balloons_per_s;
    k->nr_pages = p->memory_bytes / PAGE_BYTES;
    lay_out_ranges(b);
    if (!d->hvm) {
        uint64_t per_page = PAGE_BYTES / guest_width(d);
        uint64_t leaves = div_up(k->nr_pages, per_page);
        uint64_t count = 1;

        k->p2m = take(&next, leaves);
        k->p2m_mid = take(&next, 1 + div_up(leaves, per_page));
        count += tables_for(d, guest_direct_va(d), guest_direct_pages(d, k->nr_pages));
        count += tables_for(d, guest_p2m_va(d), leaves);
        count += tables_for(d, guest_window_va(d), GUEST_NR_WINDOWS * 512);
        if (!d->pv32)
            count += 1 + tables_for(d, guest_user_va(), GUEST_USER_PAGES);
        k->tables = take(&next, count);
        k->pool = take(&next, GUEST_NR_PROCESSES * GUEST_PROCESS_TABLES);
        k->shadow = take(&next, GUEST_NR_WINDOWS);
    }
    if (d->emulated)
        k->dma = take(&next, EMULATOR_RING_PAGES);
    k->table = take(&next, div_up(k->nr_pages, 1024));
    k->trace_length = p->pattern == PATTERN_FILE ? trace_count(p->trace) : 0;
    k->trace = take(&next, div_up(k->trace_length, 512));
    k->tmem_pages[1] = p->tmem_bytes / PAGE_BYTES;
    k->tmem_pages[0] = k->tmem_pages[1] / 8 / TMEM_OBJECT_PAGES * TMEM_OBJECT_PAGES;
    k->tmem_per_s = p->tmem_per_s;
    k->tmem = take(&next, div_up(k->tmem_pages[0] + k->tmem_pages[1], 1024));
    k->rings = take(&next, (uint64_t)GUEST_DISK_PAGES * p->disks);
    if (next + 64ull * p->vcpus > k->nr_pages)
        return err_set(b->e, ERR_USAGE, EINVAL,
            "--memory is too small: this guest needs %llu KiB for its own tables and 256 KiB of "
            "data for each vCPU",
            (unsigned long long)next * 4);
    k->data = take(&next, k->nr_pages - next);
    for (unsigned i = 0; i < p->vcpus; i++)
        k->cpus[i].rng = (p->seed ^ (i + 1) * 0x9E3779B97F4A7C15ull) | 1;
    return 0;
}

/* Ask before populating anything: afterwards nothing is free. Machine memory is sparse: a host can
 * have more of it than there is. */
static int check_memory(const struct build *b)
{
    struct machine *m = b->d->machine;
    const char *host = b->d->host->name;
    uint64_t pages = b->k.nr_pages + (b->d->hvm ? PVH_NR_SPECIAL : 0);
    uint64_t free_pages = heap_free_frames(m);
    uint64_t wanted = pages * PAGE_BYTES, real = machine_real_bytes_free();

    if (pages > free_pages)
        return err_set(b->e, ERR_LOCAL, ENOMEM,
            "host %s has no memory for this guest: it wants %llu MiB, %llu MiB are free", host,
            (unsigned long long)(wanted >> 20), (unsigned long long)(free_pages >> 8));
    if (!m->prealloc && wanted > real)
        return err_set(b->e, ERR_LOCAL, ENOMEM,
            "the guest wants %llu MiB, the machine that simulates host %s has %llu MiB to give",
            (unsigned long long)(wanted >> 20), host, (unsigned long long)(real >> 20));
    return 0;
}

/* check_memory() found enough: somebody else was faster, or scattered pages each took a huge
 * one. */
static int populate_failed(struct build *b, int rc)
{
    return err_set(b->e, ERR_LOCAL, -rc,
        "host %s, or the machine that simulates it, ran out of memory while this guest was made",
        b->d->host->name);
}

static int populate(struct build *b)
{
    struct domain *d = b->d;

    d->max_pages = b->k.nr_pages + PVH_NR_SPECIAL + 256;
    for (uint64_t index = 0; index < b->k.nr_pages;) {
        uint64_t pfn = guest_pfn(&b->k, index);
        uint64_t mfn = 0;
        bool whole = pfn % 512 == 0 && index + 512 <= b->k.nr_pages &&
                     guest_pfn(&b->k, index + 511) == pfn + 511;

        if (whole && !physmap_populate(d, pfn, 9, &mfn)) {
            for (uint64_t i = 0; i < 512; i++)
                b->g->mfns[index + i] = (uint32_t)(mfn + i);
            index += 512;
            continue;
        }

        int rc = physmap_populate(d, pfn, 0, &mfn);

        if (rc)
            return populate_failed(b, rc);
        b->g->mfns[index++] = (uint32_t)mfn;
    }
    for (uint64_t i = 0; d->hvm && i < PVH_NR_SPECIAL; i++) {
        uint64_t mfn;
        int rc = physmap_populate(d, PVH_SPECIAL_PFN + i, 0, &mfn);

        if (rc)
            return populate_failed(b, rc);
        memset(frame_ptr(d->machine, mfn), 0, PAGE_BYTES);
    }
    return 0;
}

static void *page(struct build *b, uint64_t index)
{
    return frame_ptr(b->d->machine, b->g->mfns[index]);
}

/* The level-1 table for va; tables missing on the way are made. */
static uint64_t *leaf_table(struct build *b, uint64_t root, uint64_t va, uint64_t *index)
{
    uint64_t at = root;

    for (unsigned level = b->d->pv32 ? 3 : 4; level > 1; level--) {
        uint64_t *table = page(b, at);
        uint64_t *pte = &table[guest_pt_index(va, level)];

        if (*pte & PTE_PRESENT) {
            at = m2p_get(b->d->machine, pte_frame(*pte));
            continue;
        }
        at = b->next_table++;

        /* PAE's third level has no access bits. */
        uint64_t flags = b->d->pv32 && level == 3 ? PTE_PRESENT
                                                  : PTE_PRESENT | PTE_RW | PTE_ACCESSED | PTE_DIRTY;

        *pte = (uint64_t)b->g->mfns[at] << 12 | flags | (va < 0x80000000 ? PTE_USER : 0);
    }
    *index = at;
    return page(b, at);
}

static void map(struct build *b, uint64_t root, uint64_t va, uint64_t pte)
{
    uint64_t index;

    leaf_table(b, root, va, &index)[guest_pt_index(va, 1)] = pte;
}

static void build_tables(struct build *b)
{
    struct domain *d = b->d;
    struct guest_kernel *k = &b->k;
    uint64_t root = k->tables.first;

    for (uint64_t i = 0; i < k->tables.count + k->pool.count + k->shadow.count; i++)
        memset(page(b, k->tables.first + i), 0, PAGE_BYTES);
    b->next_table = root + 1;
    for (uint64_t i = 0; i < guest_direct_pages(d, k->nr_pages); i++)
        map(b, root, guest_direct_va(d) + i * PAGE_BYTES, guest_direct_pte(k, i, b->g->mfns[i]));
    for (uint64_t i = 0; i < k->p2m.count; i++)
        map(b, root, guest_p2m_va(d) + i * PAGE_BYTES,
            guest_direct_pte(k, k->p2m.first + i, b->g->mfns[k->p2m.first + i]));
    for (unsigned w = 0; w < GUEST_NR_WINDOWS; w++)
        leaf_table(b, root, guest_window_va(d) + w * CHUNK_BYTES, &k->window_tables[w]);
    /* The shared info, where a kernel's fixmap would have it. */
    map(b, root, guest_window_va(d) + SHARED_INFO_SLOT * PAGE_BYTES,
        d->shared_info_mfn << 12 | PTE_PRESENT | PTE_ACCESSED);
    ((uint64_t *)page(
        b, k->shadow.first + SHARED_INFO_SLOT / 512))[SHARED_INFO_SLOT % 512] = SHADOW_FOREIGN;
    if (!d->pv32) {
        k->user_root = b->next_table++;
        k->user_pages_first = guest_stable_slice(k, 0).first;
        for (uint64_t i = 0; i < GUEST_USER_PAGES; i++)
            map(b, k->user_root, guest_user_va() + i * PAGE_BYTES,
                (uint64_t)b->g->mfns[k->user_pages_first + i] << 12 | PTE_PRESENT | PTE_USER |
                    PTE_ACCESSED);
    }
}

static void fill_p2m(struct build *b)
{
    unsigned width = guest_width(b->d);
    uint64_t per_page = PAGE_BYTES / width;

    for (uint64_t i = 0; i < b->k.p2m.count * per_page; i++) {
        uint8_t *entry = (uint8_t *)page(b, b->k.p2m.first + i / per_page) + i % per_page * width;
        uint64_t mfn = i < b->k.nr_pages ? b->g->mfns[i] : ~0ull;

        memcpy(entry, &mfn, width);
    }
}

static void fill_start_info(struct build *b)
{
    struct domain *d = b->d;
    start_info_any_t *s = page(b, INDEX_START_INFO);

    memset(s, 0, PAGE_BYTES);
    memset(page(b, INDEX_STORE), 0, PAGE_BYTES);
    memset(page(b, INDEX_CONSOLE), 0, PAGE_BYTES);
    memset(page(b, INDEX_GDT), 0, PAGE_BYTES);
    memset(frame_ptr(d->machine, d->shared_info_mfn), 0, PAGE_BYTES);
#define FILL(x, T)                                                                                 \
    do {                                                                                           \
        strcpy((x).magic, d->pv32 ? "xen-3.0-x86_32p" : "xen-3.0-x86_64");                         \
        (x).nr_pages = (T)b->k.nr_pages;                                                           \
        (x).shared_info = (T)(d->shared_info_mfn << 12);                                           \
        (x).store_mfn = (T)b->g->mfns[INDEX_STORE];                                                \
        (x).store_evtchn = 1;                                                                      \
        (x).console.domU.mfn = (T)b->g->mfns[INDEX_CONSOLE];                                       \
        (x).console.domU.evtchn = 2;                                                               \
        (x).pt_base = (T)(guest_direct_va(d) + b->k.tables.first * PAGE_BYTES);                    \
        (x).nr_pt_frames = (T)b->k.tables.count;                                                   \
        (x).mfn_list = (T)guest_p2m_va(d);                                                         \
        (x).first_p2m_pfn = (T)b->k.p2m.first;                                                     \
        (x).nr_p2m_frames = (T)b->k.p2m.count;                                                     \
    } while (0)
    if (d->pv32)
        FILL(s->x32, uint32_t);
    else
        FILL(s->x64, uint64_t);
#undef FILL
}

static void fill_notes(struct build *b)
{
    uint8_t pages[2 * PAGE_BYTES];

    guest_fill_notes(&b->k, pages);
    for (unsigned i = 0; i < 2; i++)
        memcpy(page(b, INDEX_NOTES + i), pages + i * PAGE_BYTES, PAGE_BYTES);
}

static void fill_data(struct build *b)
{
    struct guest_kernel *k = &b->k;
    const char *at = b->p->trace;

    for (uint64_t i = 0; i < k->table.count; i++)
        memset(page(b, k->table.first + i), 0, PAGE_BYTES);
    for (uint64_t i = 0; i < k->data.count; i++) {
        uint64_t index = k->data.first + i;

        content_fill(page(b, index), &k->mix, k->seed, index, 1);
        ((uint32_t *)page(b, k->table.first + index / 1024))[index % 1024] = 1;
    }
    for (uint64_t i = 0; i < k->dma.count; i++)
        content_fill(page(b, k->dma.first + i), &k->mix, k->seed, k->dma.first + i, 1);
    for (uint64_t i = 0; i < k->rings.count; i++)
        memset(page(b, k->rings.first + i), 0, PAGE_BYTES);
    k->initial_sum = k->data.count;
    for (uint64_t i = 0; i < k->trace_length; i++) {
        uint64_t *slot = (uint64_t *)page(b, k->trace.first + i / 512) + i % 512;

        *slot = *at == '-' ? TRACE_NO_WRITE : strtoull(at, NULL, 0);
        at = strchr(at, '\n') + 1;
    }
}

static void set_evtchns(struct domain *d)
{
    d->evtchns[1] = (struct evtchn){EVTCHN_UNBOUND, 0};
    d->evtchns[2] = (struct evtchn){EVTCHN_UNBOUND, 0};
}

static void set_hvm_state(struct build *b)
{
    struct domain *d = b->d;

    d->hvm_params[HVM_PARAM_STORE_PFN] = PVH_SPECIAL_PFN + 4;
    d->hvm_params[HVM_PARAM_STORE_EVTCHN] = 1;
    d->hvm_params[HVM_PARAM_CONSOLE_PFN] = PVH_SPECIAL_PFN + 7;
    d->hvm_params[HVM_PARAM_CONSOLE_EVTCHN] = 2;
    d->store_gfn = d->hvm_params[HVM_PARAM_STORE_PFN];
    d->console_gfn = d->hvm_params[HVM_PARAM_CONSOLE_PFN];
    d->hvm_params[HVM_PARAM_IDENT_PT] = (PVH_SPECIAL_PFN + 6ull) << 12;
    d->hvm_params[HVM_PARAM_PAGING_RING_PFN] = PVH_SPECIAL_PFN;
    d->hvm_params[HVM_PARAM_MONITOR_RING_PFN] = PVH_SPECIAL_PFN + 1;
    d->hvm_params[HVM_PARAM_SHARING_RING_PFN] = PVH_SPECIAL_PFN + 2;
    d->hvm_params[HVM_PARAM_CALLBACK_IRQ] = 2ull << 56 | 0xf3;
    d->paging_pool_bytes = b->k.nr_pages * 8 + (1 << 20);
    for (unsigned i = 0; i < b->p->vcpus; i++) {
        struct vcpu *v = d->vcpus[i];
        struct guest_vcpu_marks marks;

        guest_vcpu_marks(b->k.seed, i, &marks);
        memcpy(v->lapic_regs, marks.area, sizeof(marks.area));
        v->online = true;
        v->hvm.cr0 = 0x80050033;
        v->hvm.cr4 = 0x6a0;
        v->hvm.msr_efer = 0xd01;
        v->hvm.flags = XEN_X86_FPU_INITIALISED;
        v->hvm.msr_tsc_aux = marks.word;
        vcpu_reg_set(v, REG_IP, GUEST_IP_RUNNING);
        vcpu_reg_set(v, REG_CX, guest_pfn(&b->k, INDEX_KERNEL));
    }
}

static int set_pv_vcpu(struct build *b, unsigned i)
{
    struct domain *d = b->d;
    struct vcpu *v = d->vcpus[i];
    vcpu_guest_context_any_t c;
    uint64_t root_mfn = b->g->mfns[b->k.tables.first];
    struct guest_vcpu_marks marks;

    memset(&c, 0, sizeof(c));
#define FILL(x)                                                                                    \
    do {                                                                                           \
        (x).flags = VGCF_i387_valid | VGCF_in_kernel | VGCF_online;                                \
        (x).gdt_frames[0] = (typeof((x).gdt_frames[0]))b->g->mfns[INDEX_GDT];                      \
        (x).gdt_ents = 512;                                                                        \
        (x).ctrlreg[3] = (typeof((x).ctrlreg[3]))cr3_from_mfn(d, root_mfn);                        \
        (x).kernel_sp = (typeof((x).kernel_sp))(guest_direct_va(d) + 0x7000);                      \
        (x).debugreg[0] = 0x100 + i;                                                               \
        for (unsigned t = 0; t < 20; t++)                                                          \
            (x).trap_ctxt[t].vector = (uint8_t)t;                                                  \
    } while (0)
    if (d->pv32)
        FILL(c.x32);
    else
        FILL(c.x64);
#undef FILL
    if (!d->pv32)
        c.x64.ctrlreg[1] = (uint64_t)b->g->mfns[b->k.user_root] << 12;

    int rc = vcpu_set_context(v, &c);

    if (rc)
        return err_set(b->e, ERR_INTERNAL, -rc, "the new guest's vCPU %u was refused", i);
    vcpu_reg_set(v, REG_IP, GUEST_IP_RUNNING);
    vcpu_reg_set(v, REG_CX, guest_pfn(&b->k, INDEX_KERNEL));
    guest_vcpu_marks(b->k.seed, i, &marks);
    v->ext.syscall32_callback_eip = marks.word;
    v->xsave_bytes = XSAVE_BYTES;
    v->xsave[0] = 3;
    v->xsave[8] = 3;
    v->xsave[16 + 512] = 3;
    memcpy(&v->xsave[16 + GUEST_XSAVE_HEAD], marks.area, sizeof(marks.area));
    v->msrs[0] = (struct xen_domctl_vcpu_msr){.index = MSR_TSC_AUX, .value = marks.word};
    v->nr_msrs = 1;
    return 0;
}

static int set_pv_state(struct build *b)
{
    struct domain *d = b->d;
    enum page_type root_type = d->pv32 ? PT_L3 : PT_L4;
    int rc = page_pin(d, b->g->mfns[b->k.tables.first], root_type);

    if (!rc && b->k.user_root)
        rc = page_pin(d, b->g->mfns[b->k.user_root], PT_L4);
    if (rc)
        return err_set(b->e, ERR_INTERNAL, -rc, "the new guest's page tables were refused");
    for (unsigned i = 0; i < b->p->vcpus; i++) {
        rc = set_pv_vcpu(b, i);
        if (rc)
            return rc;
    }
    return 0;
}

/* Its ring lies below the hole, where indices are frame numbers. */
static int start_emulator(const struct build *b)
{
    const struct guest_kernel *k = &b->k;
    const struct emulator_state state = {
        .seed = k->seed,
        .first_index = k->dma.first,
        .first_pfn = guest_pfn(k, k->dma.first),
        .count = k->dma.count,
        .mix = k->mix,
        .writes_per_s = b->p->dma_per_s,
    };
    const int rc = emulator_start(b->d, &state, EMULATOR_RUNNING);

    return rc ? err_sys(b->e, ERR_LOCAL, -rc, "cannot start the device model") : 0;
}

int guest_build(struct domain *d, const struct guest_params *p, struct err *e)
{
    struct build b = {.d = d, .p = p, .e = e};
    struct guest g = {.domain = d, .kernel = &b.k};
    int rc;

    b.g = &g;
    d->pv32 = p->type == GUEST_PV32;
    rc = lay_out(&b);
    if (!rc)
        rc = check_memory(&b);
    if (rc)
        return rc;
    g.mfns = calloc(b.k.nr_pages, sizeof(*g.mfns));
    if (!g.mfns)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot build the guest");

    pthread_mutex_lock(&d->lock);
    rc = populate(&b);
    if (!rc) {
        fill_data(&b);
        fill_notes(&b);
        if (!d->hvm) {
            fill_p2m(&b);
            build_tables(&b);
            fill_start_info(&b);
            d->store_gfn = g.mfns[INDEX_STORE];
            d->console_gfn = g.mfns[INDEX_CONSOLE];
            guest_publish_p2m(&g);
            rc = set_pv_state(&b);
        } else {
            set_hvm_state(&b);
        }
        set_evtchns(d);
    }
    if (!rc && b.k.tmem_pages[1])
        rc = guest_make_pools(&g, e);
    if (!rc)
        memcpy(page(&b, INDEX_KERNEL), &b.k, sizeof(b.k));
    pthread_mutex_unlock(&d->lock);
    free(g.mfns);
    return rc || !d->emulated ? rc : start_emulator(&b);
}
