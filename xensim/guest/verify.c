/* SPDX-License-Identifier: MIT */
#include "xensim/guest/verify.h"
#include "xensim/guest/build.h"
#include "xensim/guest/emulator.h"
#include "xensim/guest/pagetables.h"
#include "xensim/guest/pools.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/hypervisor/vcpu.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* How many problems are spelled out; all are counted. */
enum { MAX_LINES = 16, MAX_TEXT = 8192 };

struct check {
    struct guest g; /* a view of our own: the domain may never have run here */
    struct verify_report *report;
    size_t used;
};

static void problem(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct check *c, const char *fmt, ...)
{
    va_list args;
    int n;

    if (c->report->problems++ >= MAX_LINES || !c->report->text)
        return;
    va_start(args, fmt);
    n = vsnprintf(c->report->text + c->used, MAX_TEXT - c->used - 1, fmt, args);
    va_end(args);
    c->used += (size_t)n < MAX_TEXT - c->used - 1 ? (size_t)n : 0;
    c->report->text[c->used++] = '\n';
    c->report->text[c->used] = '\0';
}

static bool is_poison(const uint8_t *page)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++)
        if (page[i] != POISON_BYTE)
            return false;
    return true;
}

static bool is_zero(const uint8_t *page)
{
    static const uint8_t zero[PAGE_BYTES];

    return !memcmp(page, zero, PAGE_BYTES);
}

static void explain_page(struct check *c, uint64_t index, uint32_t version)
{
    const struct guest_kernel *k = c->g.kernel;
    const uint8_t *page = guest_page(&c->g, index);
    unsigned long long pfn = guest_pfn(k, index);
    uint32_t held = content_find_version(page, &k->mix, k->seed, index, version - 1);

    if (is_poison(page))
        problem(
            c, "pfn %#llx: lost: never written here (the guest wrote version %u)", pfn, version);
    else if (held)
        problem(c, "pfn %#llx: stale: holds version %u, the guest wrote %u", pfn, held, version);
    else if (is_zero(page))
        problem(c, "pfn %#llx: zero (the guest wrote version %u)", pfn, version);
    else
        problem(c, "pfn %#llx: not what the guest wrote (version %u): mfn %#x holds something else",
            pfn, version, c->g.mfns[index]);
}

static uint64_t check_data(struct check *c)
{
    const struct guest_kernel *k = c->g.kernel;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < k->data.count; i++) {
        uint64_t index = k->data.first + i;
        uint32_t version = *guest_version(&c->g, index);

        sum += version & ~VERSION_BALLOONED;
        if (version & VERSION_BALLOONED) {
            c->report->ballooned++;
            continue;
        }
        c->report->pages++;
        if (!c->g.mfns[index])
            continue; /* named already */
        if (!content_matches(guest_page(&c->g, index), &k->mix, k->seed, index, version))
            explain_page(c, index, version);
    }
    return sum;
}

/* What the device model wrote, by what it says itself. */
static void check_ring(struct check *c)
{
    const struct guest_kernel *k = c->g.kernel;
    const struct emulator *emulator = c->g.domain->emulator;

    if (!emulator && k->dma.count)
        problem(c, "the guest has no device model, and had one");
    for (uint64_t slot = 0; emulator && slot < k->dma.count; slot++) {
        const uint64_t index = k->dma.first + slot;
        const uint32_t version = emulator_version(&emulator->state, slot);

        c->report->pages++;
        if (!content_matches(guest_page(&c->g, index), &k->mix, k->seed, index, version))
            explain_page(c, index, version);
    }
}

static void pool_problem(void *arg, const char *what)
{
    problem(arg, "%s", what);
}

static void check_sums(struct check *c, uint64_t table_sum)
{
    const struct guest_kernel *k = c->g.kernel;
    const struct vcpu *v = c->g.domain->vcpus[0];
    uint64_t want = guest_sum(k);

    if (vcpu_reg_get(v, REG_IP) == GUEST_IP_SUSPEND) {
        uint64_t held = vcpu_reg_get(v, REG_SI) | vcpu_reg_get(v, REG_DI) << 32;

        if (held != want)
            problem(c,
                "the registers say that %llu writes were made, the kernel page %llu: it is stale",
                (unsigned long long)held, (unsigned long long)want);
    }
    if (table_sum != want)
        problem(c,
            "the version table sums to %llu, %llu writes were made: a page is stale together with "
            "its version",
            (unsigned long long)table_sum, (unsigned long long)want);
}

/* The level-1 entry that the guest last wrote for this address. */
static uint64_t expected_leaf(const struct check *c, uint64_t va)
{
    const struct guest *g = &c->g;
    const struct domain *d = g->domain;
    const struct guest_kernel *k = g->kernel;
    uint64_t direct = (va - guest_direct_va(d)) / PAGE_BYTES;
    uint64_t leaf = (va - guest_p2m_va(d)) / PAGE_BYTES;
    uint64_t slot = (va - guest_window_va(d)) / PAGE_BYTES;

    if (va >= guest_direct_va(d) && direct < guest_direct_pages(d, k->nr_pages))
        return g->mfns[direct] && !(guest_in_region(&k->data, direct) &&
                                      *guest_version(g, direct) & VERSION_BALLOONED)
                   ? guest_direct_pte(k, direct, g->mfns[direct])
                   : 0;
    if (va >= guest_p2m_va(d) && leaf < k->p2m.count)
        return guest_direct_pte(k, k->p2m.first + leaf, g->mfns[k->p2m.first + leaf]);
    if (va >= guest_window_va(d) && slot < GUEST_NR_WINDOWS * 512) {
        uint64_t want = ((uint64_t *)guest_page(g, k->shadow.first + slot / 512))[slot % 512];

        if (want == SHADOW_FOREIGN)
            return d->shared_info_mfn << 12 | PTE_PRESENT | PTE_ACCESSED;
        if (!(want & PTE_PRESENT) && !guest_pte_is_marked(k, want))
            return want;
        return want >> 12 < k->nr_pages ? (want & 0xfff) | (uint64_t)g->mfns[want >> 12] << 12
                                        : want;
    }
    return 0;
}

static uint64_t sign_extend(const struct domain *d, uint64_t va)
{
    return !d->pv32 && va >> 47 & 1 ? va | 0xffff000000000000ull : va;
}

static void name_entry(struct check *c, unsigned level, uint64_t va, uint64_t have, uint64_t want)
{
    const struct machine *m = c->g.domain->machine;
    uint64_t mfn = pte_frame(have);
    uint64_t pfn = mfn_valid(m, mfn) ? m2p_get(m, mfn) : ~0ull;

    problem(c, "L%u entry for %#llx is %#llx (pfn %#llx), the guest wrote %#llx", level,
        (unsigned long long)va, (unsigned long long)have, (unsigned long long)pfn,
        (unsigned long long)want);
}

static void check_frame_type(struct check *c, uint64_t mfn, unsigned level, uint64_t va)
{
    const struct frame *f = &c->g.domain->machine->frames[mfn];

    if (f->type != (uint8_t)level || !(f->flags & FRAME_VALIDATED))
        problem(c, "the L%u table for %#llx (mfn %#llx) has type %u and is %svalidated", level,
            (unsigned long long)va, (unsigned long long)mfn, f->type,
            f->flags & FRAME_VALIDATED ? "" : "not ");
}

/* The kernel's address space, table by table: each entry must be the one that was written. */
static void check_kernel_table(struct check *c, uint64_t mfn, unsigned level, uint64_t base)
{
    struct domain *d = c->g.domain;
    const struct guest_kernel *k = c->g.kernel;
    const struct frame *f = &d->machine->frames[mfn];
    const uint64_t *table = frame_ptr(d->machine, mfn);

    c->report->tables++;
    check_frame_type(c, mfn, level, sign_extend(d, base));
    for (unsigned i = 0; i < 512; i++) {
        uint64_t va = sign_extend(d, base + ((uint64_t)i << (12 + 9 * (level - 1))));
        uint64_t pte = table[i];

        if (pte_is_xens(d, f, level, i))
            continue;
        c->report->entries++;
        if (level == 1) {
            uint64_t want = expected_leaf(c, va);

            if (pte != want)
                name_entry(c, 1, va, pte, want);
            continue;
        }
        if (!(pte & PTE_PRESENT)) {
            if (pte)
                name_entry(c, level, va, pte, 0);
            continue;
        }

        uint64_t next = pte_frame(pte);
        uint64_t pfn = mfn_valid(d->machine, next) ? m2p_get(d->machine, next) : ~0ull;

        if (!guest_in_region(&k->tables, pfn) || c->g.mfns[pfn] != next) {
            name_entry(c, level, va, pte, 0);
            continue;
        }
        check_kernel_table(c, next, level - 1, va & 0x0000ffffffffffffull);
    }
}

/* Every page must be reachable; that the tables present are right is not enough. */
static void check_reachable(struct check *c)
{
    struct domain *d = c->g.domain;
    const struct guest_kernel *k = c->g.kernel;
    uint64_t root = vcpu_root_mfn(d->vcpus[0]);

    for (uint64_t i = 0; i < guest_direct_pages(d, k->nr_pages); i += 512) {
        uint64_t table = 0;

        guest_walk(d, root, guest_direct_va(d) + i * PAGE_BYTES, &table);
        if (!table)
            problem(c, "the direct map has no table for index %#llx", (unsigned long long)i);
    }
}

static void check_processes(struct check *c)
{
    struct domain *d = c->g.domain;
    const struct guest_kernel *k = c->g.kernel;
    unsigned tables = d->pv32 ? 3 : 4;

    for (unsigned p = 0; p < GUEST_NR_PROCESSES; p++) {
        uint64_t pool = k->pool.first + p * GUEST_PROCESS_TABLES;

        if (!k->process_pinned[p])
            continue;
        if (!(d->machine->frames[c->g.mfns[pool]].flags & FRAME_PINNED))
            problem(
                c, "process %u: its root (pfn %#llx) is not pinned", p, (unsigned long long)pool);
        for (unsigned t = 0; t < tables; t++) {
            const uint64_t *table = guest_page(&c->g, pool + t);

            c->report->tables++;
            check_frame_type(c, c->g.mfns[pool + t], tables - t, 0);
            for (unsigned i = 0; i < 512; i++) {
                uint64_t want = 0;

                if (pte_is_xens(d, &d->machine->frames[c->g.mfns[pool + t]], tables - t, i))
                    continue;
                c->report->entries++;
                if (t + 1 == tables) {
                    want = guest_process_pte(k, p, i);
                    want = (want & 0xfff) | (uint64_t)c->g.mfns[want >> 12] << 12;
                } else if (!i) {
                    want = (table[0] & 0xfff) | (uint64_t)c->g.mfns[pool + t + 1] << 12;
                }
                if (table[i] != want)
                    name_entry(c, tables - t, (uint64_t)i << 12, table[i], want);
            }
        }
    }
}

static void check_user(struct check *c)
{
    struct domain *d = c->g.domain;
    const struct guest_kernel *k = c->g.kernel;
    uint64_t root = k->user_root ? c->g.mfns[k->user_root] : 0;

    if (!root)
        return;
    if (d->vcpus[0]->pv.x64.ctrlreg[1] >> 12 != root)
        problem(c, "the user root is not the one that CR1 names");
    for (uint64_t i = 0; i < GUEST_USER_PAGES; i++) {
        uint64_t want = (uint64_t)c->g.mfns[k->user_pages_first + i] << 12 | PTE_PRESENT |
                        PTE_USER | PTE_ACCESSED;
        uint64_t have = guest_walk(d, root, guest_user_va() + i * PAGE_BYTES, NULL);

        c->report->entries++;
        if (have != want)
            name_entry(c, 1, guest_user_va() + i * PAGE_BYTES, have, want);
    }
}

static void check_page_tables(struct check *c)
{
    struct domain *d = c->g.domain;
    uint64_t root = vcpu_root_mfn(d->vcpus[0]);

    if (root != c->g.mfns[c->g.kernel->tables.first])
        problem(c, "CR3 names mfn %#llx, not the guest's root", (unsigned long long)root);
    if (!(d->machine->frames[root].flags & FRAME_PINNED))
        problem(c, "the root page table is not pinned");
    check_kernel_table(c, root, d->pv32 ? 3 : 4, 0);
    check_reachable(c);
    check_processes(c);
    check_user(c);
}

/* The state of a vCPU that a migration carries and the guest itself does not start from. */
static void check_vcpu(struct check *c, const struct vcpu *v)
{
    const struct domain *d = c->g.domain;
    struct guest_vcpu_marks want;
    const void *area = d->hvm ? v->lapic_regs : &v->xsave[16 + GUEST_XSAVE_HEAD];

    guest_vcpu_marks(c->g.kernel->seed, v->id, &want);
    if (memcmp(area, want.area, sizeof(want.area)))
        problem(c, "vCPU %u: its %s are not the guest's", v->id,
            d->hvm ? "LAPIC's registers" : "extended registers");
    if (d->hvm) {
        if (v->hvm.msr_tsc_aux != want.word)
            problem(c, "vCPU %u: TSC_AUX is %#llx, not %#x", v->id,
                (unsigned long long)v->hvm.msr_tsc_aux, want.word);
        return;
    }
    if (v->nr_msrs != 1 || v->msrs[0].index != MSR_TSC_AUX || v->msrs[0].value != want.word)
        problem(c, "vCPU %u: its MSRs are not the guest's", v->id);
    if (v->ext.syscall32_callback_eip != want.word)
        problem(c, "vCPU %u: its entry point is %#llx, not %#x", v->id,
            (unsigned long long)v->ext.syscall32_callback_eip, want.word);
}

/* Where the rings are, and what else a stream carries. */
static void check_hvm_params(struct check *c)
{
    static const struct {
        unsigned index;
        uint64_t value;
    } want[] = {
        {HVM_PARAM_STORE_PFN, PVH_SPECIAL_PFN + 4},
        {HVM_PARAM_CONSOLE_PFN, PVH_SPECIAL_PFN + 7},
        {HVM_PARAM_IDENT_PT, (PVH_SPECIAL_PFN + 6ull) << 12},
    };
    const uint64_t *have = c->g.domain->hvm_params;

    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        if (have[want[i].index] != want[i].value)
            problem(c, "HVM parameter %u is %#llx, not %#llx", want[i].index,
                (unsigned long long)have[want[i].index], (unsigned long long)want[i].value);
}

static bool report_missing(void *arg, uint64_t index)
{
    struct check *c = arg;

    problem(c, "pfn %#llx: no memory there", (unsigned long long)guest_pfn(c->g.kernel, index));
    return true;
}

static int verify_paused(struct domain *d, struct check *c)
{
    c->g.domain = d;
    c->g.kernel = guest_find_kernel(d);
    if (!c->g.kernel)
        return -ENOENT;
    c->g.mfns = calloc(c->g.kernel->nr_pages, sizeof(*c->g.mfns));
    if (!c->g.mfns)
        return -ENOMEM;
    guest_find_pages(&c->g, report_missing, c);
    if (!c->report->problems) {
        check_sums(c, check_data(c));
        check_ring(c);
        guest_check_pools(&c->g, pool_problem, c);
        for (unsigned i = 0; i < c->g.kernel->nr_vcpus && i < d->max_vcpus; i++)
            check_vcpu(c, d->vcpus[i]);
        if (d->hvm)
            check_hvm_params(c);
        else
            check_page_tables(c);
    }
    if (c->g.kernel->nr_faults)
        problem(c, "the guest found %u faults itself, the first: %.*s", c->g.kernel->nr_faults,
            (int)sizeof(c->g.kernel->fault) - 1, c->g.kernel->fault);
    free(c->g.mfns);
    return 0;
}

int guest_verify(struct domain *d, struct verify_report *report)
{
    struct check c = {.report = report};
    int rc;

    memset(report, 0, sizeof(*report));
    report->text = calloc(1, MAX_TEXT);
    domain_pause(d);
    pthread_mutex_lock(&d->lock);
    rc = verify_paused(d, &c);
    pthread_mutex_unlock(&d->lock);
    domain_unpause(d);
    if (report->problems > MAX_LINES && report->text)
        snprintf(report->text + c.used, MAX_TEXT - c.used, "and %llu more\n",
            (unsigned long long)(report->problems - MAX_LINES));
    return rc;
}
