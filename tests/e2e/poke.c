/* SPDX-License-Identifier: MIT */
/* Reads and writes guest memory as a toolstack, to do damage that verify has to find:
 *   poke DOMID read FRAME FILE | write FRAME FILE | frame PFN | hold FRAME SECONDS
 *   poke DOMID populate PFN COUNT: how many pages Xen gave
 *   poke DOMID full: from now on it may have no more pages than it has; how many these are
 *   poke DOMID limit KIB: how much it may have
 *   poke DOMID pages: how many it has
 *   poke 0 identical: how many frames of guests are numbered as the guest numbers them, and how
 *     many follow the frame of the guest's page before theirs
 *   poke DOMID flip-lapic: change one byte of vCPU 0's LAPIC (PVH), and with the next call back
 *   poke DOMID param INDEX [VALUE]: an HVM parameter, as it is or set
 *   poke DOMID find FILE: the FRAME that holds just that
 *   poke DOMID tables SECONDS: looks again and again, as the tools do, at the leaf page tables in
 *     which a PV guest maps what Xen shares with it
 * A FRAME is a gfn (PVH) or an MFN (PV); `frame` finds a PV guest's MFN for a pfn in the M2P. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/hvm/save.h>

static xc_interface *xch;
static xenforeignmemory_handle *fmem;

static void *map_frame(uint32_t domid, int prot, xen_pfn_t frame)
{
    return xenforeignmemory_map(fmem, domid, prot, 1, &frame, NULL);
}

/* The M2P is as large as it was asked for: everything the host has. */
static const uint64_t *map_m2p(unsigned long chunks)
{
    xen_pfn_t *firsts = calloc(chunks, sizeof(*firsts));
    xen_pfn_t *frames = calloc(chunks * 512, sizeof(*frames));
    void *m2p = NULL;

    if (!xc_machphys_mfn_list(xch, chunks, firsts)) {
        for (unsigned long i = 0; i < chunks * 512; i++)
            frames[i] = firsts[i / 512] + i % 512;
        m2p = xenforeignmemory_map(fmem, DOMID_XEN, PROT_READ, chunks * 512, frames, NULL);
    }
    free(firsts);
    free(frames);
    return m2p;
}

static const uint64_t *map_whole_m2p(unsigned long *max_mfn)
{
    if (xc_maximum_ram_page(xch, max_mfn))
        return NULL;
    return map_m2p(((*max_mfn + 1) * 8 + (2 << 20) - 1) >> 21);
}

static int count_identical(void)
{
    unsigned long max_mfn, known = 0, same = 0, in_row = 0;
    const uint64_t *m2p = map_whole_m2p(&max_mfn);

    for (unsigned long mfn = 0; m2p && mfn <= max_mfn; mfn++) {
        known += m2p[mfn] != ~0ul;
        same += m2p[mfn] == mfn;
        in_row += mfn && m2p[mfn - 1] != ~0ul && m2p[mfn] == m2p[mfn - 1] + 1;
    }
    printf("%lu of %lu, in a row: %lu\n", same, known, in_row);
    return !m2p;
}

static int find_frame(uint32_t domid, unsigned long pfn)
{
    unsigned long max_mfn;
    const uint64_t *m2p = map_whole_m2p(&max_mfn);

    for (unsigned long mfn = 0; m2p && mfn <= max_mfn; mfn++) {
        void *p = m2p[mfn] == pfn ? map_frame(domid, PROT_READ, mfn) : NULL;

        if (p) {
            printf("%lu\n", mfn);
            return 0;
        }
    }
    return 1;
}

static int flip_lapic(uint32_t domid)
{
    int bytes = xc_domain_hvm_getcontext(xch, domid, NULL, 0);
    uint8_t *context = bytes > 0 ? malloc((size_t)bytes) : NULL;
    int rc = 1;

    if (!context || xc_domain_pause(xch, domid) ||
        xc_domain_hvm_getcontext(xch, domid, context, (uint32_t)bytes) < 0)
        return 1;
    for (size_t at = 0; at < (size_t)bytes;) {
        struct hvm_save_descriptor desc;

        memcpy(&desc, context + at, sizeof(desc));
        at += sizeof(desc) + desc.length;
        if (desc.typecode == HVM_SAVE_CODE(LAPIC_REGS) && !desc.instance) {
            context[at - desc.length + 100] ^= 1;
            rc = xc_domain_hvm_setcontext(xch, domid, context, (uint32_t)bytes);
            break;
        }
    }
    free(context);
    return xc_domain_unpause(xch, domid) || rc;
}

static int find_content(uint32_t domid, const char *path)
{
    static char wanted[4096];
    unsigned long max_mfn;
    const uint64_t *m2p = map_whole_m2p(&max_mfn);
    FILE *f = fopen(path, "r");

    if (!m2p || !f || fread(wanted, 1, sizeof(wanted), f) != sizeof(wanted))
        return 1;
    fclose(f);
    for (unsigned long mfn = 0; mfn <= max_mfn; mfn++) {
        void *p = m2p[mfn] != ~0ul ? map_frame(domid, PROT_READ, mfn) : NULL;

        if (p && !memcmp(p, wanted, sizeof(wanted))) {
            printf("%lu\n", mfn);
            return 0;
        }
        if (p)
            xenforeignmemory_unmap(fmem, p, 1);
    }
    return 1;
}

/* What readers see of tables that a guest changes meanwhile. */
struct seen {
    unsigned long looks;
    unsigned long changed; /* pages that were others before all of them was read */
    unsigned long foreign; /* entries that name what is no memory of the guest's */
    unsigned long torn;    /* entries that nobody can have written */
};

static void look_at_table(struct seen *seen, const uint64_t *table, const uint64_t *m2p,
    unsigned long max_mfn, unsigned long shared_info)
{
    uint64_t entries[512], again[512];

    memcpy(entries, table, sizeof(entries));
    __asm__ volatile("" ::: "memory"); /* the guest writes there: read it anew */
    memcpy(again, table, sizeof(again));
    seen->looks++;
    seen->changed += memcmp(entries, again, sizeof(entries)) != 0;
    for (unsigned i = 0; i < 512; i++) {
        uint64_t mfn = entries[i] >> 12 & 0xffffffffff;

        if (!(entries[i] & 1))
            continue;
        seen->foreign += mfn == shared_info;
        seen->torn += mfn != shared_info && (mfn > max_mfn || m2p[mfn] == ~0ul);
    }
}

static int is_leaf_table(uint32_t domid, xen_pfn_t mfn)
{
    DECLARE_HYPERCALL_BUFFER(xen_pfn_t, type);
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getpageframeinfo3, .domain = domid};
    int yes;

    type = xc_hypercall_buffer_alloc(xch, type, sizeof(*type));
    *type = mfn;
    op.u.getpageframeinfo3.num = 1;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, type);
    yes = !xc_domctl(xch, &op) &&
          (*type & XEN_DOMCTL_PFINFO_LTABTYPE_MASK) == XEN_DOMCTL_PFINFO_L1TAB;
    xc_hypercall_buffer_free(xch, type);
    return yes;
}

static int watch_tables(uint32_t domid, int seconds)
{
    enum { MAX_TABLES = 16 };
    const uint64_t *tables[MAX_TABLES];
    struct seen seen = {0};
    unsigned long max_mfn, nr_tables = 0;
    const uint64_t *m2p = map_whole_m2p(&max_mfn);
    xc_dominfo_t info;
    time_t end;

    if (!m2p || xc_domain_getinfo(xch, domid, 1, &info) != 1)
        return 1;
    for (xen_pfn_t mfn = 0; mfn <= max_mfn && nr_tables < MAX_TABLES; mfn++) {
        if (m2p[mfn] == ~0ul || !is_leaf_table(domid, mfn))
            continue;
        struct seen first = {0};
        uint64_t *table = map_frame(domid, PROT_READ, mfn);

        if (!table)
            return 1;
        look_at_table(&first, table, m2p, max_mfn, info.shared_info_frame);
        if (first.foreign)
            tables[nr_tables++] = table;
        else
            xenforeignmemory_unmap(fmem, table, 1);
    }
    for (end = time(NULL) + seconds; nr_tables && time(NULL) < end;)
        for (unsigned long t = 0; t < nr_tables; t++)
            look_at_table(&seen, tables[t], m2p, max_mfn, info.shared_info_frame);
    printf("looks %lu changed %lu foreign %lu torn %lu\n", seen.looks, seen.changed, seen.foreign,
        seen.torn);
    return 0;
}

static int populate(uint32_t domid, xen_pfn_t first, unsigned long count)
{
    xen_pfn_t *frames = calloc(count, sizeof(*frames));

    if (!frames)
        return 1;
    for (unsigned long i = 0; i < count; i++)
        frames[i] = first + i;
    printf("%d\n", xc_domain_populate_physmap(xch, domid, count, 0, 0, frames));
    free(frames);
    return 0;
}

/* A guest that runs may be giving some back. */
static int tell_pages(uint32_t domid, int make_full)
{
    xc_dominfo_t info;

    if (xc_domain_getinfo(xch, domid, 1, &info) != 1 || info.domid != domid ||
        (make_full && xc_domain_setmaxmem(xch, domid, info.nr_pages * 4)))
        return 1;
    printf("%lu\n", info.nr_pages);
    return 0;
}

static int copy(uint32_t domid, int to_guest, xen_pfn_t frame, const char *path)
{
    void *page = map_frame(domid, to_guest ? PROT_READ | PROT_WRITE : PROT_READ, frame);
    FILE *f = fopen(path, to_guest ? "r" : "w");
    size_t n = 0;

    if (page && f)
        n = to_guest ? fread(page, 1, 4096, f) : fwrite(page, 1, 4096, f);
    if (f)
        fclose(f);
    if (n != 4096)
        perror(path);
    return n != 4096;
}

static int param(uint32_t domid, uint32_t index, const char *set)
{
    uint64_t value = set ? strtoul(set, NULL, 0) : 0;
    const int rc = set ? xc_hvm_param_set(xch, domid, index, value)
                       : xc_hvm_param_get(xch, domid, index, &value);

    if (rc)
        perror("HVM parameter");
    else
        printf("%llu\n", (unsigned long long)value);
    return rc != 0;
}

int main(int argc, char **argv)
{
    uint32_t domid;
    xen_pfn_t frame;

    if (argc < 3)
        return 2;
    domid = (uint32_t)atoi(argv[1]);
    frame = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
    xch = xc_interface_open(NULL, NULL, 0);
    fmem = xenforeignmemory_open(NULL, 0);
    if (!xch || !fmem) {
        perror("cannot open Xen");
        return 1;
    }
    if (!strcmp(argv[2], "identical"))
        return count_identical();
    if (!strcmp(argv[2], "full") || !strcmp(argv[2], "pages"))
        return tell_pages(domid, !strcmp(argv[2], "full"));
    if (!strcmp(argv[2], "limit") && argc == 4)
        return xc_domain_setmaxmem(xch, domid, frame) != 0;
    if (!strcmp(argv[2], "flip-lapic"))
        return flip_lapic(domid);
    if (!strcmp(argv[2], "frame") && argc == 4)
        return find_frame(domid, frame);
    if (!strcmp(argv[2], "find") && argc == 4)
        return find_content(domid, argv[3]);
    if (!strcmp(argv[2], "tables") && argc == 4)
        return watch_tables(domid, atoi(argv[3]));
    if (!strcmp(argv[2], "hold") && argc == 5) {
        if (!map_frame(domid, PROT_READ | PROT_WRITE, frame))
            return 1;
        puts("held");
        fflush(stdout);
        sleep((unsigned)atoi(argv[4]));
        return 0;
    }
    if (!strcmp(argv[2], "param") && (argc == 4 || argc == 5))
        return param(domid, (uint32_t)frame, argc == 5 ? argv[4] : NULL);
    if (!strcmp(argv[2], "populate") && argc == 5)
        return populate(domid, frame, strtoul(argv[4], NULL, 0));
    return argc == 5 ? copy(domid, !strcmp(argv[2], "write"), frame, argv[4]) : 2;
}
