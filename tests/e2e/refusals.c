/* SPDX-License-Identifier: MIT */
/* Asks a host for what Xen refuses, and for what Xen answers in ways of its own. Arguments: the
 * ids of a running pv and a running pvh guest, and of a pvh guest that writes as fast as it can.
 * Says what was wrong and exits 1. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xencall.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sys/privcmd.h>

static xc_interface *xch;
static xenforeignmemory_handle *fmem;
static int failures;

#define CHECK(what, condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s: %s does not hold (errno %d)\n", what, #condition, errno);                  \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static int page_types(uint32_t domid, unsigned num, xen_pfn_t *list)
{
    DECLARE_HYPERCALL_BUFFER(xen_pfn_t, buf);
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getpageframeinfo3, .domain = domid};
    int rc;

    buf = xc_hypercall_buffer_alloc(xch, buf, num * sizeof(*buf));
    memcpy(buf, list, num * sizeof(*buf));
    op.u.getpageframeinfo3.num = num;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, buf);
    rc = xc_domctl(xch, &op);
    memcpy(list, buf, num * sizeof(*buf));
    xc_hypercall_buffer_free(xch, buf);
    return rc;
}

static void check_page_types(uint32_t pv, uint32_t pvh)
{
    static xen_pfn_t list[1025];

    for (unsigned i = 0; i < 1025; i++)
        list[i] = i;
    CHECK("1025 frames", page_types(pv, 1025, list) == -1 && errno == E2BIG);
    CHECK("1024 frames", page_types(pvh, 1024, list) == 0);
    CHECK("a pvh guest's RAM", list[100] == XEN_DOMCTL_PFINFO_NOTAB);
    list[0] = 0x80000;
    CHECK("a hole", page_types(pvh, 1, list) == 0 && list[0] == XEN_DOMCTL_PFINFO_XTAB);
    list[0] = 12345678;
    CHECK("no machine frame", page_types(pv, 1, list) == 0 && list[0] == XEN_DOMCTL_PFINFO_XTAB);
}

static long long clean(uint32_t domid, unsigned op, xc_hypercall_buffer_t *map, unsigned long pages,
    xc_shadow_op_stats_t *stats)
{
    return xc_logdirty_control(xch, domid, op, map, pages, 0, stats);
}

static void check_logdirty(uint32_t domid)
{
    enum { PAGES = 32768 };
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);
    xc_shadow_op_stats_t stats;
    unsigned set = 0;

    map = xc_hypercall_buffer_alloc_pages(xch, map, PAGES / 8 / 4096);
    memset(map, 0xff, PAGES / 8);
    CHECK("CLEAN while off",
        clean(domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), PAGES, &stats) == PAGES);
    for (unsigned i = 0; i < PAGES / 8; i++)
        set += map[i] != 0;
    CHECK("CLEAN while off", set == 0 && stats.dirty_count == 0);
    memset(map, 0xff, PAGES / 8);
    CHECK("PEEK while off",
        clean(domid, XEN_DOMCTL_SHADOW_OP_PEEK, HYPERCALL_BUFFER(map), PAGES, &stats) == PAGES);
    for (unsigned i = 0; i < PAGES / 8; i++)
        set += map[i] != 0;
    CHECK("PEEK while off", set == 0 && stats.dirty_count == 0);
    CHECK("ENABLE", !xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0));
    CHECK("ENABLE twice",
        xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) == -1 &&
            errno == EINVAL);
    for (unsigned ms = 0; ms < 2000 && set < 50; ms++) {
        struct timespec t = {.tv_nsec = 1000000};

        nanosleep(&t, NULL);
        clean(domid, XEN_DOMCTL_SHADOW_OP_PEEK, HYPERCALL_BUFFER(map), PAGES, &stats);
        set = stats.dirty_count;
    }
    CHECK("a guest that writes", set >= 50);
    /* Paused, so that nothing is written in between. */
    CHECK("pause", !xc_domain_pause(xch, domid));
    CHECK("CLEAN",
        clean(domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), PAGES, &stats) == PAGES);
    CHECK("CLEAN", stats.dirty_count >= set);
    CHECK("PEEK", clean(domid, XEN_DOMCTL_SHADOW_OP_PEEK, NULL, PAGES, &stats) == PAGES);
    CHECK("PEEK after CLEAN", stats.dirty_count == 0);
    CHECK("unpause", !xc_domain_unpause(xch, domid));
    CHECK("a bad mode", xc_logdirty_control(xch, domid, XEN_DOMCTL_SHADOW_OP_CLEAN,
                            HYPERCALL_BUFFER(map), PAGES, 2, &stats) == -1 &&
                            errno == EINVAL);
    CHECK("OFF", !xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0));
    xc_hypercall_buffer_free_pages(xch, map, PAGES / 8 / 4096);
}

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* How much of the clock vCPU 0 runs while log-dirty calls with so many pages follow each other. */
static double runs_beside(
    uint32_t domid, unsigned op, xc_hypercall_buffer_t *map, unsigned long pages)
{
    xc_vcpuinfo_t before, after;
    xc_shadow_op_stats_t stats;
    int64_t start = clock_ns(), elapsed = 0;

    CHECK("getvcpuinfo", !xc_vcpu_getinfo(xch, domid, 0, &before));
    for (; elapsed < 500000000; elapsed = clock_ns() - start)
        if (clean(domid, op, map, pages, &stats) != (long long)pages)
            break;
    CHECK("getvcpuinfo", !xc_vcpu_getinfo(xch, domid, 0, &after));
    return (double)(after.cpu_time - before.cpu_time) / (double)elapsed;
}

/* CLEAN and PEEK pause the guest for as long as the bitmap is long. */
static void check_pause(uint32_t domid)
{
    const unsigned long few = 32768, many = 1ul << 28;
    const int map_pages = (int)(many / 8 / 4096);
    const unsigned ops[] = {XEN_DOMCTL_SHADOW_OP_CLEAN, XEN_DOMCTL_SHADOW_OP_PEEK};
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);

    map = xc_hypercall_buffer_alloc_pages(xch, map, map_pages);
    CHECK("ENABLE", !xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0));
    for (unsigned i = 0; i < 2; i++) {
        double beside_short = 0, beside_long = 1;

        /* Other work on the machine blurs it. */
        for (unsigned n = 0; n < 20 && beside_long >= beside_short / 2; n++) {
            beside_short = runs_beside(domid, ops[i], HYPERCALL_BUFFER(map), few);
            beside_long = runs_beside(domid, ops[i], HYPERCALL_BUFFER(map), many);
        }
        CHECK("a long bitmap", beside_short > 0 && beside_long < beside_short / 2);
    }
    CHECK("OFF", !xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0));
    xc_hypercall_buffer_free_pages(xch, map, map_pages);
}

static uint32_t new_domain(int hvm)
{
    struct xen_domctl_createdomain c = {.max_vcpus = 1,
        .flags = hvm ? XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap : 0,
        .max_evtchn_port = 1023,
        .max_grant_frames = 16,
        .max_maptrack_frames = 16};
    uint32_t domid = DOMID_INVALID;

    if (hvm)
        c.arch.emulation_flags = XEN_X86_EMU_LAPIC;
    CHECK("create", !xc_domain_create(xch, &domid, &c));
    CHECK("vCPUs", !xc_domain_max_vcpus(xch, domid, 1));
    CHECK("max_mem", !xc_domain_setmaxmem(xch, domid, 64 * 4));
    return domid;
}

static const uint8_t *map_one(uint32_t domid, int prot, xen_pfn_t gfn)
{
    int err = 0;
    const uint8_t *p = xenforeignmemory_map(fmem, domid, prot, 1, &gfn, &err);

    if (p && err) {
        xenforeignmemory_unmap(fmem, (void *)(uintptr_t)p, 1);
        errno = -err;
        return NULL;
    }
    return p;
}

static void check_populate(void)
{
    uint32_t hvm = new_domain(1), pv = new_domain(0);
    xen_pfn_t list[65];
    const uint8_t *p;

    for (unsigned i = 0; i < 65; i++)
        list[i] = i;
    CHECK("beyond max_mem", xc_domain_populate_physmap(xch, hvm, 65, 0, 0, list) == 64);
    p = map_one(hvm, PROT_READ, 7);
    CHECK("a fresh page", p && p[0] == 0xC2 && p[4095] == 0xC2);
    xenforeignmemory_unmap(fmem, (void *)(uintptr_t)p, 1);
    CHECK("an empty frame", !map_one(hvm, PROT_READ, 1000) && errno == EINVAL);

    /* Twice: HVM forgets the first page, PV has two machine frames; both keep paying for both. */
    list[0] = list[1] = 5;
    CHECK("twice", xc_domain_populate_physmap(xch, pv, 2, 0, 0, list) == 2 && list[0] != list[1]);
    CHECK("twice", xc_get_tot_pages(xch, pv) == 2);
    CHECK("MFN is not PFN", list[0] != 5 && list[1] != 5);
    xc_domain_destroy(xch, hvm);
    xc_domain_destroy(xch, pv);
}

static void check_populate_hvm_twice(void)
{
    uint32_t hvm = new_domain(1);
    xen_pfn_t gfn = 5;
    uint8_t *first;
    const uint8_t *second;

    CHECK("populate", xc_domain_populate_physmap(xch, hvm, 1, 0, 0, &gfn) == 1);
    first = (uint8_t *)(uintptr_t)map_one(hvm, PROT_READ | PROT_WRITE, gfn);
    CHECK("map", first);
    memset(first, 0x11, 4096);
    CHECK("twice", xc_domain_populate_physmap(xch, hvm, 1, 0, 0, &gfn) == 1 && gfn == 5);
    CHECK("twice", xc_get_tot_pages(xch, hvm) == 2);
    second = map_one(hvm, PROT_READ, gfn);
    CHECK("the second page is a new one", second && second[0] == 0xC2 && first[0] == 0x11);
    xenforeignmemory_unmap(fmem, first, 1);
    xenforeignmemory_unmap(fmem, (void *)(uintptr_t)second, 1);
    CHECK("taken away", xc_domain_decrease_reservation_exact(xch, hvm, 1, 0, &gfn) == 0);
    CHECK("the first page has no name", !map_one(hvm, PROT_READ, gfn) && errno == EINVAL);
    CHECK("the first page is still paid for", xc_get_tot_pages(xch, hvm) == 1);
    xc_domain_destroy(xch, hvm);
}

/* Rows of frames are populated at once: not over what is there, and each as if it came alone. */
static void check_populate_rows(void)
{
    uint32_t pv = new_domain(0);
    xen_pfn_t list[64], second[4] = {4, 5, 6, 7};

    for (unsigned i = 0; i < 3; i++)
        list[i] = 5 + i;
    CHECK("a row", xc_domain_populate_physmap(xch, pv, 3, 0, 0, list) == 3);
    CHECK("a row around it", xc_domain_populate_physmap(xch, pv, 4, 0, 0, second) == 4);
    CHECK("both are paid for", xc_get_tot_pages(xch, pv) == 7);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 3; k++)
            CHECK("frames of their own", second[i] != list[k]);
    for (unsigned i = 0; i < 64; i++)
        list[i] = 100 + i;
    CHECK("as far as max_mem", xc_domain_populate_physmap(xch, pv, 64, 0, 0, list) == 57);
    CHECK("and no farther", xc_get_tot_pages(xch, pv) == 64 && list[57] == 157);
    xc_domain_destroy(xch, pv);
}

/* What another domain left in its pages is never seen. */
static void check_recycled(void)
{
    unsigned poisoned = 0;

    for (unsigned turn = 0; turn < 4; turn++) {
        uint32_t hvm = new_domain(1);
        xen_pfn_t list[64];
        uint8_t *pages;

        for (unsigned i = 0; i < 64; i++)
            list[i] = i;
        CHECK("populate", !xc_domain_populate_physmap_exact(xch, hvm, 64, 0, 0, list));
        pages = xenforeignmemory_map(fmem, hvm, PROT_READ | PROT_WRITE, 64, list, NULL);
        for (unsigned i = 0; pages && i < 64 * 4096; i++)
            poisoned += pages[i] == 0xC2;
        memset(pages, 0x33, 64 * 4096);
        xenforeignmemory_unmap(fmem, pages, 64);
        xc_domain_destroy(xch, hvm);
    }
    CHECK("pages of a domain that is gone", poisoned == 4 * 64 * 4096);
}

static uint64_t free_pages(void)
{
    xc_physinfo_t info = {0};

    CHECK("physinfo", !xc_physinfo(xch, &info));
    return info.free_pages;
}

/* A grant frame is nobody else's for as long as somebody maps it. */
static void check_grant_frame(void)
{
    uint64_t before = free_pages();
    uint32_t pvh = new_domain(1);
    void *grants = NULL;
    xenforeignmemory_resource_handle *r = xenforeignmemory_map_resource(fmem, pvh,
        XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared, 0, 2, &grants,
        PROT_READ | PROT_WRITE, 0);

    CHECK("map two grant frames", r && grants);
    if (!r)
        return;
    memset(grants, 0x22, 8192);
    CHECK("destroy", !xc_domain_destroy(xch, pvh));
    CHECK("grant frames that are mapped are not free", free_pages() == before - 2);
    CHECK("unmap", !xenforeignmemory_unmap_resource(fmem, r));
}

static void check_pin(void)
{
    uint32_t pv = new_domain(0);
    xen_pfn_t list[2] = {0, 1};
    uint64_t *table;
    struct mmuext_op op = {.cmd = MMUEXT_PIN_L1_TABLE};

    CHECK("populate", !xc_domain_populate_physmap_exact(xch, pv, 2, 0, 0, list));
    table = (uint64_t *)(uintptr_t)map_one(pv, PROT_READ | PROT_WRITE, list[0]);
    memset(table, 0, 4096);
    table[3] = list[1] << 12 | 0x3;
    op.arg1.mfn = list[0];
    CHECK("pin while mapped writable", xc_mmuext_op(xch, &op, 1, pv) == -1 && errno == EINVAL);
    xenforeignmemory_unmap(fmem, table, 1);
    CHECK("pin", xc_mmuext_op(xch, &op, 1, pv) == 0);
    CHECK("pin twice", xc_mmuext_op(xch, &op, 1, pv) == -1 && errno == EINVAL);
    CHECK("a writable map of a table",
        !map_one(pv, PROT_READ | PROT_WRITE, list[0]) && errno == EBUSY);
    table = (uint64_t *)(uintptr_t)map_one(pv, PROT_READ, list[0]);
    CHECK("a look at a table", table && table[3] == (list[1] << 12 | 0x3));
    xenforeignmemory_unmap(fmem, table, 1);
    xc_domain_destroy(xch, pv);
}

static int is_dirty(uint32_t domid, unsigned pfn)
{
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);
    xc_shadow_op_stats_t stats;
    int dirty;

    map = xc_hypercall_buffer_alloc_pages(xch, map, 1);
    clean(domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), 64, &stats);
    dirty = map[pfn / 8] >> (pfn % 8) & 1;
    xc_hypercall_buffer_free_pages(xch, map, 1);
    return dirty;
}

/* A page is dirty when it becomes a page table or is one no longer, is pinned or unpinned. */
static void check_dirty_types(void)
{
    uint32_t pv = new_domain(0);
    xen_pfn_t list[2] = {0, 1};
    uint64_t *table;
    struct mmuext_op op = {.cmd = MMUEXT_PIN_L2_TABLE};

    CHECK("populate", !xc_domain_populate_physmap_exact(xch, pv, 2, 0, 0, list));
    for (unsigned i = 0; i < 2; i++) {
        table = (uint64_t *)(uintptr_t)map_one(pv, PROT_READ | PROT_WRITE, list[i]);
        memset(table, 0, 4096);
        table[0] = i ? 0 : list[1] << 12 | 0x3; /* the L2's one entry is the L1 */
        xenforeignmemory_unmap(fmem, table, 1);
    }
    CHECK("ENABLE", !xc_shadow_control(xch, pv, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0));
    CHECK("nothing happened", !is_dirty(pv, 0) && !is_dirty(pv, 1));
    op.arg1.mfn = list[0];
    CHECK("pin", !xc_mmuext_op(xch, &op, 1, pv));
    CHECK("a pinned page", is_dirty(pv, 0));
    op.cmd = MMUEXT_UNPIN_TABLE;
    CHECK("unpin", !xc_mmuext_op(xch, &op, 1, pv));
    CHECK("a page that is no table any more", is_dirty(pv, 1));
    op.cmd = MMUEXT_PIN_L2_TABLE;
    CHECK("pin", !xc_mmuext_op(xch, &op, 1, pv));
    CHECK("a page that became a table", is_dirty(pv, 1));
    xc_domain_destroy(xch, pv);
}

static void check_unknown(uint32_t domid)
{
    xencall_handle *call = xencall_open(NULL, 0);
    struct xen_domctl op = {.cmd = XEN_DOMCTL_gdbsx_domstatus, .domain = domid};
    struct mmuext_op mmuext = {.cmd = 99};
    xc_dominfo_t info;

    CHECK("an unknown ioctl",
        ioctl(xencall_fd(call), IOCTL_PRIVCMD_DM_OP, NULL) == -1 && errno == ENOTTY);
    CHECK("an unknown hypercall", xencall1(call, 33, 0) == -1 && errno == ENOSYS);
    CHECK("an unknown mmuext_op", xc_mmuext_op(xch, &mmuext, 1, domid) == -1 && errno == ENOSYS);
    CHECK("an unknown domctl", xc_domctl(xch, &op) == -1 && errno == ENOSYS);
    CHECK("a domain that is not", xc_domain_pause(xch, 999) == -1 && errno == ESRCH);
    CHECK("a frame of a domain that is not", !map_one(999, PROT_READ, 1) && errno == ESRCH);
    CHECK("unpausing once too often", xc_domain_unpause(xch, domid) == -1 && errno == EINVAL);
    CHECK("domain 1 asked for with 0", xc_domain_getinfo(xch, 0, 1, &info) == 1 && info.domid == 1);
    xencall_close(call);
}

int main(int argc, char **argv)
{
    uint32_t pv, pvh, busy;

    if (argc != 4)
        return 2;
    pv = (uint32_t)atoi(argv[1]);
    pvh = (uint32_t)atoi(argv[2]);
    busy = (uint32_t)atoi(argv[3]);
    xch = xc_interface_open(NULL, NULL, 0);
    fmem = xenforeignmemory_open(NULL, 0);
    if (!xch || !fmem) {
        printf("cannot open Xen: %s\n", strerror(errno));
        return 1;
    }
    check_page_types(pv, pvh);
    check_logdirty(pv);
    check_logdirty(pvh);
    check_pause(busy);
    check_populate();
    check_populate_hvm_twice();
    check_populate_rows();
    check_recycled();
    check_grant_frame();
    check_pin();
    check_dirty_types();
    check_unknown(pv);
    xenforeignmemory_close(fmem);
    xc_interface_close(xch);
    return failures != 0;
}
