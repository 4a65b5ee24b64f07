/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fake_xen.h"

#include "engine/guest/pte.h"
#include "engine/xen/tmem_op.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/params.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>

enum {
    FRAMES = 600,     /* more is more than this host has; room for one large page */
    MAX_PAGES = 1024, /* so few that what is kept of extents is hashed */
    MAX_MAPPED = 1024,
    SLOTS = 4096,
    FIRST_MFN = 0x1000,
    SHARED_INFO_MFN = 0xff0,
    EXTENT = 512,
    MAX_MAPPINGS = 2,
};

struct mapping {
    char *mem;
    int prot;
    size_t count;
    unsigned frames[MAX_MAPPED];
};

static struct fake_xen xen;
static uint64_t pfns[FRAMES]; /* of each frame that was given */
static bool taken[FRAMES];    /* back, from that PFN */
static unsigned given;
static uint16_t slots[SLOTS];                   /* by PFN: one more than the frame's index */
static uint8_t pages[FRAMES + 1][XC_PAGE_SIZE]; /* the last one is the shared info */
static struct mapping mappings[MAX_MAPPINGS];
static uint64_t cleared_gfn; /* the last one */
static unsigned mapped, handles, buffers;

static bool fails(void)
{
    if (++xen.calls != xen.fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

static uint16_t *find_slot(uint64_t pfn)
{
    unsigned i = (unsigned)(pfn * 0x9e3779b97f4a7c15ull >> 52);

    while (slots[i] && pfns[slots[i] - 1] != pfn)
        i = (i + 1) % SLOTS;
    return &slots[i];
}

/* The index of its page, or -1. */
static int find_page(uint64_t gfn)
{
    const int page = xen.hvm                                       ? *find_slot(gfn) - 1
                     : gfn >= FIRST_MFN && gfn < FIRST_MFN + given ? (int)(gfn - FIRST_MFN)
                                                                   : -1;

    return page >= 0 && taken[page] ? -1 : page;
}

bool fake_xen_owns(uint64_t gfn)
{
    return find_page(gfn) >= 0;
}

void fake_xen_begin(const struct fake_xen *wanted)
{
    memset(slots, 0, sizeof(slots));
    memset(taken, 0, sizeof(taken));
    given = 0;
    cleared_gfn = UINT64_MAX;
    xen = *wanted;
    xen.width_bytes = 8;
}

const struct fake_xen *fake_xen_end(void)
{
    must(!mapped && !handles && !buffers);
    return &xen;
}

/* ---- handles, buffers, mappings ---- */

xc_interface *xc_interface_open(
    xentoollog_logger *logger, xentoollog_logger *dombuild_logger, unsigned open_flags)
{
    (void)logger, (void)dombuild_logger, (void)open_flags;
    if (fails())
        return NULL;
    handles++;
    return (xc_interface *)&xen;
}

int xc_interface_close(xc_interface *xch)
{
    must(xch == (xc_interface *)&xen && handles--);
    return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger, (void)open_flags;
    if (fails())
        return NULL;
    handles++;
    return (xenforeignmemory_handle *)&xen;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    must(fmem == (xenforeignmemory_handle *)&xen && handles--);
    return 0;
}

void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
    (void)xch;
    must(nr_pages > 0 && nr_pages <= 1024);
    if (fails())
        return NULL;
    buffers++;
    b->hbuf = aligned_alloc(XC_PAGE_SIZE, (size_t)nr_pages * XC_PAGE_SIZE);
    must(b->hbuf);
    return b->hbuf;
}

void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
    (void)xch, (void)nr_pages;
    must(buffers--);
    free(b->hbuf);
}

/* A copy, which goes back when it is unmapped: what is written beside it is noticed. */
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t count,
    const xen_pfn_t arr[], int err[])
{
    struct mapping *m = &mappings[mapped];

    (void)fmem;
    must(dom == FAKE_DOMID && count > 0 && count <= MAX_MAPPED && mapped < MAX_MAPPINGS);
    if (fails())
        return NULL;
    *m = (struct mapping){.mem = malloc(count * XC_PAGE_SIZE), .prot = prot, .count = count};
    must(m->mem);
    for (size_t i = 0; i < count; i++) {
        const bool shared = arr[i] == SHARED_INFO_MFN && !xen.hvm;

        must(shared || fake_xen_owns(arr[i]));
        m->frames[i] = shared ? FRAMES : (unsigned)find_page(arr[i]);
        memcpy(m->mem + i * XC_PAGE_SIZE, pages[m->frames[i]], XC_PAGE_SIZE);
        if (err)
            err[i] = 0;
    }
    mapped++;
    return m->mem;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t count)
{
    (void)fmem;
    must(mapped);

    const struct mapping *m = &mappings[--mapped];

    must(addr == m->mem && count == m->count);
    if (m->prot & PROT_WRITE)
        for (size_t i = 0; i < count; i++)
            memcpy(pages[m->frames[i]], m->mem + i * XC_PAGE_SIZE, XC_PAGE_SIZE);
    free(m->mem);
    return 0;
}

/* ---- the domain ---- */

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch, (void)arg;
    must(cmd == XENVER_version);
    return 4 << 16 | 17;
}

int xc_domain_getinfolist(
    xc_interface *xch, uint32_t first_domain, unsigned max_domains, xc_domaininfo_t *info)
{
    (void)xch;
    must(first_domain == FAKE_DOMID && max_domains == 1);
    if (fails())
        return -1;
    *info = (xc_domaininfo_t){
        .domain = FAKE_DOMID,
        .flags = XEN_DOMINF_paused | (xen.hvm ? XEN_DOMINF_hvm_guest : 0),
        .max_vcpu_id = xen.max_vcpu_id,
        .shared_info_frame = SHARED_INFO_MFN,
        .max_pages = MAX_PAGES,
    };
    return 1;
}

/* Unpausing is the supervisor's. */
int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    must(false);
    return -1;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    (void)xch, (void)domid;
    *gpfns = 1;
    return fails() ? -1 : 0;
}

int xc_domain_get_guest_width(xc_interface *xch, uint32_t domid, unsigned *guest_width)
{
    (void)xch, (void)domid;
    *guest_width = xen.width_bytes;
    return fails() ? -1 : 0;
}

int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode,
    uint64_t elapsed_nsec, uint32_t gtsc_khz, uint32_t incarnation)
{
    (void)xch, (void)tsc_mode, (void)elapsed_nsec, (void)gtsc_khz, (void)incarnation;
    must(domid == FAKE_DOMID);
    return fails() ? -1 : 0;
}

static void read_all(const void *bytes, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++)
        (void)((const volatile uint8_t *)bytes)[i];
}

int xc_set_domain_cpu_policy(xc_interface *xch, uint32_t domid, uint32_t nr_leaves,
    xen_cpuid_leaf_t *leaves, uint32_t nr_msrs, xen_msr_entry_t *msrs, uint32_t *err_leaf_p,
    uint32_t *err_subleaf_p, uint32_t *err_msr_p)
{
    (void)xch, (void)err_leaf_p, (void)err_subleaf_p, (void)err_msr_p;
    must(domid == FAKE_DOMID && !xen.policies_set && !given);
    read_all(leaves, nr_leaves * sizeof(*leaves));
    read_all(msrs, nr_msrs * sizeof(*msrs));
    xen.policies_set++;
    return fails() ? -1 : 0;
}

/* The index of its page, or -1: there is none left. What was taken back from a PFN may come back.
 */
static int give(uint64_t pfn)
{
    uint16_t *slot = find_slot(pfn);

    must(!*slot || taken[*slot - 1]);
    if (!*slot && given == FRAMES)
        return -1;
    if (!*slot) {
        pfns[given] = pfn;
        *slot = (uint16_t)++given;
    }
    taken[*slot - 1] = false;
    memset(pages[*slot - 1], 0, XC_PAGE_SIZE);
    return *slot - 1;
}

int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    (void)xch;
    must(domid == FAKE_DOMID && max_memkb >= MAX_PAGES * 4 && max_memkb <= MAX_PAGES * 4 / 8 * 9);
    return fails() ? -1 : 0;
}

int xc_domain_decrease_reservation(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
    unsigned extent_order, xen_pfn_t *extent_start)
{
    (void)xch;
    must(domid == FAKE_DOMID && !extent_order);
    if (fails())
        return -1;
    for (unsigned long i = 0; i < nr_extents; i++) {
        const int page = find_page(extent_start[i]);

        must(page >= 0);
        taken[page] = true;
    }
    return (int)nr_extents;
}

int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
    unsigned extent_order, unsigned mem_flags, xen_pfn_t *extent_start)
{
    (void)xch;
    must(domid == FAKE_DOMID && !mem_flags);
    if (fails())
        return -1;
    if (extent_order) {
        const xen_pfn_t first = extent_start[0];

        must(extent_order == 9 && nr_extents == 1 && first % EXTENT == 0);
        if (given + EXTENT > FRAMES)
            return 0;
        extent_start[0] = xen.hvm ? first : FIRST_MFN + given;
        for (unsigned i = 0; i < EXTENT; i++)
            must(give(first + i) >= 0);
        return 1;
    }
    for (unsigned long i = 0; i < nr_extents; i++) {
        const int page = give(extent_start[i]);

        if (page < 0)
            return (int)i;
        if (!xen.hvm)
            extent_start[i] = FIRST_MFN + (unsigned)page;
    }
    return (int)nr_extents;
}

/* ---- what the states become ---- */

static bool is_ring(uint32_t param)
{
    return param == HVM_PARAM_STORE_PFN || param == HVM_PARAM_CONSOLE_PFN ||
           param == HVM_PARAM_IOREQ_PFN || param == HVM_PARAM_BUFIOREQ_PFN;
}

int xc_hvm_param_set(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t value)
{
    (void)xch;
    must(dom == FAKE_DOMID && xen.hvm);
    must(!is_ring(param) || value == cleared_gfn);
    return fails() ? -1 : 0;
}

/* Xen refuses a frame that is not there. */
int xc_clear_domain_pages(xc_interface *xch, uint32_t domid, unsigned long dst_pfn, int num)
{
    const int page = find_page(dst_pfn);

    (void)xch;
    must(domid == FAKE_DOMID && num == 1);
    if (page < 0 || fails()) {
        errno = EINVAL;
        return -1;
    }
    memset(pages[page], 0, XC_PAGE_SIZE);
    cleared_gfn = dst_pfn;
    return 0;
}

int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid, uint8_t *hvm_ctxt, uint32_t size)
{
    (void)xch;
    must(domid == FAKE_DOMID && xen.hvm && size && !mapped);
    read_all(hvm_ctxt, size);
    xen.contexts_set++;
    return fails() ? -1 : 0;
}

int xc_dom_gnttab_seed(xc_interface *xch, uint32_t guest_domid, bool is_hvm, xen_pfn_t console_gfn,
    xen_pfn_t xenstore_gfn, uint32_t console_domid, uint32_t xenstore_domid)
{
    (void)xch, (void)console_domid, (void)xenstore_domid;
    must(guest_domid == FAKE_DOMID && is_hvm == xen.hvm && !mapped);
    must(xen.hvm || (fake_xen_owns(console_gfn) && fake_xen_owns(xenstore_gfn)));
    xen.grants_seeded++;
    return fails() ? -1 : 0;
}

int xc_domctl(xc_interface *xch, struct xen_domctl *domctl)
{
    (void)xch;
    must(domctl->domain == FAKE_DOMID && !xen.hvm);
    switch (domctl->cmd) {
    case XEN_DOMCTL_set_address_size:
        xen.width_bytes = domctl->u.address_size.size / 8;
        must((xen.width_bytes == 4 || xen.width_bytes == 8) && !given);
        break;
    case XEN_DOMCTL_set_ext_vcpucontext:
        must(domctl->u.ext_vcpucontext.vcpu <= xen.max_vcpu_id);
        break;
    case XEN_DOMCTL_setvcpuextstate:
        must(domctl->u.vcpuextstate.vcpu <= xen.max_vcpu_id);
        read_all(domctl->u.vcpuextstate.buffer.p, domctl->u.vcpuextstate.size);
        break;
    case XEN_DOMCTL_set_vcpu_msrs:
        must(domctl->u.vcpu_msrs.vcpu <= xen.max_vcpu_id);
        read_all(domctl->u.vcpu_msrs.msrs.p,
            domctl->u.vcpu_msrs.msr_count * sizeof(xen_domctl_vcpu_msr_t));
        break;
    default:
        abort();
    }
    return fails() ? -1 : 0;
}

/* Pools can be made once, and take whatever comes. */
int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl)
{
    struct tmem_op op;

    (void)xch;
    must(sysctl->cmd == TMEM_SYSCTL);
    memcpy(&op, &sysctl->u, sizeof(op));
    must(op.domid == FAKE_DOMID && op.count <= TMEM_MAX_BATCH);
    if (op.cmd == TMEM_RESTORE_BEGIN)
        read_all((const void *)op.list, op.count * sizeof(struct tmem_pool));
    else if (op.count)
        read_all((const void *)op.list, op.count * sizeof(struct tmem_entry));
    if (op.cmd == TMEM_RESTORE_PUT)
        read_all((const void *)op.pages, op.count * (size_t)TMEM_PAGE_BYTES);
    return fails() ? -1 : 0;
}

int xc_vcpu_setcontext(
    xc_interface *xch, uint32_t domid, uint32_t vcpu, vcpu_guest_context_any_t *ctxt)
{
    const bool wide = xen.width_bytes == 8;
    const uint32_t cr3_32 = (uint32_t)ctxt->x32.ctrlreg[3];
    const unsigned entries = wide ? (unsigned)ctxt->x64.gdt_ents : (unsigned)ctxt->x32.gdt_ents;

    (void)xch;
    must(domid == FAKE_DOMID && vcpu <= xen.max_vcpu_id && !xen.hvm && !mapped);
    must(fake_xen_owns(wide ? ctxt->x64.ctrlreg[3] >> 12 : cr3_32 >> 12 | cr3_32 << 20));
    must(!wide || !(ctxt->x64.ctrlreg[1] & 1) || fake_xen_owns(ctxt->x64.ctrlreg[1] >> 12));
    for (unsigned i = 0; i * 512 < entries; i++)
        must(fake_xen_owns(wide ? ctxt->x64.gdt_frames[i] : ctxt->x32.gdt_frames[i]));
    xen.vcpus_set++;
    return fails() ? -1 : 0;
}

/* Does the table name a frame that was the domain's and was taken back? As Xen, refuse it then. */
static bool names_taken(const uint64_t *table)
{
    bool found = false;

    for (unsigned k = 0; k < PTES_PER_PAGE; k++) {
        const uint64_t mfn = pte_frame(table[k]);

        if (!(table[k] & PTE_PRESENT) || fake_xen_owns(mfn))
            continue;
        must(mfn >= FIRST_MFN && mfn < FIRST_MFN + given);
        found = true;
    }
    return found;
}

int xc_mmuext_op(xc_interface *xch, struct mmuext_op *op, unsigned nr_ops, uint32_t dom)
{
    (void)xch;
    must(dom == FAKE_DOMID && nr_ops && !xen.hvm && !mapped);
    for (unsigned i = 0; i < nr_ops; i++) {
        must(op[i].cmd <= MMUEXT_PIN_L4_TABLE && fake_xen_owns(op[i].arg1.mfn));
        if (names_taken((const uint64_t *)pages[find_page(op[i].arg1.mfn)])) {
            errno = EINVAL;
            return -1;
        }
    }
    return fails() ? -1 : 0;
}
