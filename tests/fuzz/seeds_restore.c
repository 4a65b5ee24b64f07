/* SPDX-License-Identifier: MIT */
/* Guests of a few pages that restore whole: PV of both widths, and PVH. */
#include "base/bytes.h"
#include "engine/guest/pte.h"
#include "tests/fuzz/expand.h"
#include "tests/fuzz/seeds.h"
#include "transport/pages.h"
#include "transport/v3_stream.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/params.h>
#include <xenctrl.h>

enum {
    P2M_PFN,
    START_INFO_PFN,
    STORE_PFN,
    CONSOLE_PFN,
    GDT_PFN,
    ROOT_PFN,
    TABLE_PFN,
    PLAIN_PFN,
    PAGES,
    MAX_PFN = 500,
};

static uint8_t memory[PAGES][PAGE_BYTES];

static void put_state(struct v3_stream *s, uint32_t type, const void *body, size_t len_bytes)
{
    struct err e = ERR_INIT;

    check(v3_write_record(s, type, &(struct iovec){(void *)body, len_bytes}, len_bytes ? 1 : 0, &e),
        &e);
}

static void put_vcpu(struct v3_stream *s, uint32_t type, const void *blob, size_t len_bytes)
{
    uint8_t header[V3_VCPU_BYTES];
    struct err e = ERR_INIT;

    v3_encode_vcpu(0, header);
    check(v3_write_record(s, type,
              (struct iovec[]){{header, sizeof(header)}, {(void *)blob, len_bytes}}, 2, &e),
        &e);
}

static void put_head(struct v3_stream *s, uint32_t guest_type)
{
    static const uint8_t zeros[V3_CPUID_LEAF_BYTES];
    struct err e = ERR_INIT;

    check(v3_write_headers(s, &(struct v3_headers){3, guest_type, 4, 17}, &e), &e);
    put_state(s, V3_X86_CPUID_POLICY, zeros, V3_CPUID_LEAF_BYTES);
    put_state(s, V3_X86_MSR_POLICY, zeros, V3_MSR_ENTRY_BYTES);
}

static void put_pages(struct v3_stream *s, unsigned levels)
{
    uint64_t entries[PAGES];
    const void *pages[PAGES];
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < PAGES; i++) {
        entries[i] = v3_entry(i, 0);
        pages[i] = memory[i];
    }
    if (levels) {
        entries[ROOT_PFN] |= (uint64_t)(levels | V3_PAGE_PINNED) << V3_ENTRY_TYPE_SHIFT;
        entries[TABLE_PFN] |= 1ull << V3_ENTRY_TYPE_SHIFT;
    }
    check(v3_write_pages(s, entries, pages, PAGES, &e), &e);
}

/* A file becomes a seed, behind the two bytes for the domain. */
static void save_stream(const char *dir, int fd, bool hvm, const char *seed)
{
    static uint8_t stream[1 << 17], bytes[2 + sizeof(stream) + 64];
    const ssize_t n = pread(fd, stream, sizeof(stream), 0);

    bytes[0] = hvm | 1 << 1;
    bytes[1] = 0;
    save(dir, "restore", seed, bytes, 2 + shorten(stream, (size_t)n, bytes + 2));
    close(fd);
}

static void put_pv_tail(struct v3_stream *s, unsigned width)
{
    static const uint8_t zeros[PAGE_BYTES];
    static vcpu_guest_context_any_t c;
    const struct xen_domctl_ext_vcpucontext extended = {.vcpu = 0, .size = 64};
    uint8_t tsc[V3_TSC_INFO_BYTES];

    v3_encode_tsc_info(&(struct v3_tsc_info){1, 2, 3, 4}, tsc);
    put_state(s, V3_X86_TSC_INFO, tsc, sizeof(tsc));
    put_state(s, V3_SHARED_INFO, zeros, sizeof(zeros));
    memset(&c, 0, sizeof(c));
    if (width == 8) {
        c.x64.user_regs.rdx = START_INFO_PFN;
        c.x64.gdt_frames[0] = GDT_PFN;
        c.x64.gdt_ents = 8;
        c.x64.ctrlreg[3] = ROOT_PFN << 12;
        c.x64.ctrlreg[1] = ROOT_PFN << 12 | 1;
        put_vcpu(s, V3_X86_PV_VCPU_BASIC, &c, sizeof(c.x64));
    } else {
        c.x32.user_regs.edx = START_INFO_PFN;
        c.x32.gdt_frames[0] = GDT_PFN;
        c.x32.gdt_ents = 8;
        c.x32.ctrlreg[3] = ROOT_PFN << 12;
        put_vcpu(s, V3_X86_PV_VCPU_BASIC, &c, sizeof(c.x32));
    }
    put_vcpu(s, V3_X86_PV_VCPU_EXTENDED, &extended, 64);
    put_vcpu(s, V3_X86_PV_VCPU_XSAVE, zeros, 64);
    put_vcpu(s, V3_X86_PV_VCPU_MSRS, zeros, V3_MSR_BYTES);
    put_state(s, V3_END, NULL, 0);
}

static void make_pv(const char *dir, unsigned width, bool verify, const char *seed)
{
    const int fd = memfd_create(seed, MFD_CLOEXEC);
    const unsigned levels = width == 8 ? 4 : 3;
    start_info_any_t *const info = (start_info_any_t *)memory[START_INFO_PFN];
    struct v3_stream s;
    uint8_t body[V3_P2M_FRAMES_BYTES + 8] = {0};

    memset(memory, 0, sizeof(memory));
    if (width == 8) {
        info->x64.store_mfn = STORE_PFN;
        info->x64.console.domU.mfn = CONSOLE_PFN;
    } else {
        info->x32.store_mfn = STORE_PFN;
        info->x32.console.domU.mfn = CONSOLE_PFN;
    }
    put_le64(memory[ROOT_PFN] + 8, (uint64_t)TABLE_PFN << 12 | 0x67);
    put_le64(memory[TABLE_PFN] + 8, (uint64_t)MAX_PFN << 12 | 0x67);
    v3_stream_init(&s, fd, NULL, 1000000000, seed);
    put_head(&s, V3_GUEST_PV);
    v3_encode_pv_info(&(struct v3_pv_info){(uint8_t)width, (uint8_t)levels}, body);
    put_state(&s, V3_X86_PV_INFO, body, V3_PV_INFO_BYTES);
    put_state(&s, V3_STATIC_DATA_END, NULL, 0);
    v3_encode_p2m_frames(0, MAX_PFN, body);
    put_le64(body + V3_P2M_FRAMES_BYTES, P2M_PFN);
    put_state(&s, V3_X86_PV_P2M_FRAMES, body, sizeof(body));
    put_pages(&s, levels);
    if (verify) {
        put_state(&s, V3_VERIFY, NULL, 0);
        put_pages(&s, levels);
    }
    put_pv_tail(&s, width);
    v3_stream_destroy(&s);
    save_stream(dir, fd, false, seed);
}

/* Frames that have memory and nothing in it. */
static void put_empty(struct v3_stream *s, uint64_t first, unsigned count)
{
    uint64_t entries[512];
    const void *pages[512] = {NULL};
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < count; i++)
        entries[i] = v3_entry(first + i, (uint32_t)V3_PAGE_XALLOC << 28);
    check(v3_write_pages(s, entries, pages, count, &e), &e);
}

/* With an extent that can be one large page, and then more than fits. */
static void make_pvh(const char *dir, unsigned empty, bool verify, const char *seed)
{
    static const uint8_t zeros[64];
    const struct v3_hvm_param params[] = {
        {HVM_PARAM_STORE_PFN, STORE_PFN}, {HVM_PARAM_CONSOLE_PFN, CONSOLE_PFN}};
    const int fd = memfd_create(seed, MFD_CLOEXEC);
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];
    struct v3_stream s;

    memset(memory, 0, sizeof(memory));
    v3_stream_init(&s, fd, NULL, 1000000000, seed);
    put_head(&s, V3_GUEST_HVM);
    put_state(&s, V3_STATIC_DATA_END, NULL, 0);
    put_pages(&s, 0);
    if (empty)
        put_empty(&s, 512, 512);
    if (empty > 512)
        put_empty(&s, 2000, empty - 512);
    if (verify) {
        put_state(&s, V3_VERIFY, NULL, 0);
        memory[PLAIN_PFN][0] = 1; /* differs */
        put_pages(&s, 0);
    }
    put_state(&s, V3_HVM_PARAMS, body, v3_encode_hvm_params(params, 2, body));
    put_state(&s, V3_HVM_CONTEXT, zeros, sizeof(zeros));
    put_state(&s, V3_END, NULL, 0);
    v3_stream_destroy(&s);
    save_stream(dir, fd, true, seed);
}

void make_restores(const char *dir)
{
    make_pv(dir, 8, false, "pv-64");
    make_pv(dir, 4, false, "pv-32");
    make_pv(dir, 8, true, "pv-verify");
    make_pvh(dir, 0, false, "pvh");
    make_pvh(dir, 512, true, "pvh-verify");
    make_pvh(dir, 612, false, "pvh-no-memory");
}
