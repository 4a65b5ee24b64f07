/* SPDX-License-Identifier: MIT */
/*
 * libxc's migration stream, versions 2 and 3, as Xen 4.6 and later write and read it: constants,
 * and the bodies that both of our streams share. v3_stream.h has the stream itself.
 *
 * Types and layout are Xen's (docs/specs/libxc-migration-stream.pandoc); all little-endian but
 * for the image header.
 */
#ifndef TRANSPORT_V3_H
#define TRANSPORT_V3_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { V3_GUEST_PV = 1, V3_GUEST_HVM = 2 }; /* PVH is HVM here */

enum v3_type {
    V3_END = 0x00,
    V3_PAGE_DATA = 0x01,
    V3_X86_PV_INFO = 0x02,
    V3_X86_PV_P2M_FRAMES = 0x03,
    V3_X86_PV_VCPU_BASIC = 0x04,
    V3_X86_PV_VCPU_EXTENDED = 0x05,
    V3_X86_PV_VCPU_XSAVE = 0x06,
    V3_SHARED_INFO = 0x07,
    V3_X86_TSC_INFO = 0x08,
    V3_HVM_CONTEXT = 0x09,
    V3_HVM_PARAMS = 0x0a,
    V3_TOOLSTACK = 0x0b,
    V3_X86_PV_VCPU_MSRS = 0x0c,
    V3_VERIFY = 0x0d,
    V3_CHECKPOINT = 0x0e,
    V3_CHECKPOINT_DIRTY_PFN_LIST = 0x0f,
    V3_STATIC_DATA_END = 0x10, /* from version 3 on */
    V3_X86_CPUID_POLICY = 0x11,
    V3_X86_MSR_POLICY = 0x12,
};

#define V3_OPTIONAL 0x80000000u
/* Ours, which Xen's own tools skip: what the guest's kernel says of itself (kernel_notes.h). */
#define V3_KERNEL_NOTES (V3_OPTIONAL | 0x786d01)

/* Is it known here, or would it be skipped? */
bool v3_is_skipped(uint32_t type);

/* "X86_PV_INFO", ...; "optional" or "unknown" for others. */
const char *v3_name(uint32_t type);

/* The longest body that is read of that type; -1 for a mandatory type that is not known. */
int64_t v3_limit_bytes(uint32_t type);

/* May this type travel as a STATE of our own trunk? */
bool v3_is_state(uint32_t type);

/* ---- entries of PAGE_DATA, and of our own page records ---- */

#define V3_ENTRY_PFN_MASK      0x000fffffffffffffull
#define V3_ENTRY_RESERVED_MASK 0x0ff0000000000000ull
#define V3_ENTRY_TYPE_SHIFT    60
#define WIRE_ENTRY_ZERO        (1ull << 59) /* our page records only */
#define WIRE_ENTRY_DELTA       (1ull << 58) /* the same */

enum v3_page_type {
    V3_PAGE_NOTAB = 0x0,
    V3_PAGE_L1TAB = 0x1,
    V3_PAGE_L4TAB = 0x4,
    V3_PAGE_PINNED = 0x8, /* bit; with L1TAB to L4TAB */
    V3_PAGE_BROKEN = 0xd,
    V3_PAGE_XALLOC = 0xe,
    V3_PAGE_XTAB = 0xf,
};

/* From getpageframeinfo3's word (type in bits 31-28). */
static inline uint64_t v3_entry(uint64_t pfn, uint32_t pfinfo_type)
{
    return (uint64_t)(pfinfo_type & 0xf0000000u) << 32 | pfn;
}

static inline uint64_t v3_entry_of(unsigned type, uint64_t pfn)
{
    return (uint64_t)type << V3_ENTRY_TYPE_SHIFT | pfn;
}

static inline uint64_t v3_entry_pfn(uint64_t entry)
{
    return entry & V3_ENTRY_PFN_MASK;
}

static inline unsigned v3_entry_type(uint64_t entry)
{
    return (unsigned)(entry >> V3_ENTRY_TYPE_SHIFT);
}

/* Back to the hypervisor's word: bits 31-28. */
static inline uint32_t v3_entry_pfinfo(uint64_t entry)
{
    return (uint32_t)(entry >> 32) & 0xf0000000u;
}

static inline bool v3_type_is_known(unsigned type)
{
    return type <= V3_PAGE_L4TAB || (type >= 0x9 && type <= 0xf);
}

static inline bool v3_type_has_data(unsigned type)
{
    return type <= V3_PAGE_L4TAB || (type >= 0x9 && type <= 0xc);
}

/* Of the known types: must the frame exist at the destination? */
static inline bool v3_type_is_populated(unsigned type)
{
    return v3_type_has_data(type) || type == V3_PAGE_XALLOC;
}

/* 1..4 for page tables, pinned or not; 0 for all others. */
static inline unsigned v3_type_table_level(unsigned type)
{
    const unsigned level = type & 0x7;

    return v3_type_has_data(type) && level >= 1 && level <= 4 ? level : 0;
}

/* ---- bodies ----
 * Encoders fill a fixed header; the variable part follows as another iovec. Decoders check length,
 * limits and reserved fields (which must be zero) and fail with ERR_PEER, -EPROTO. Pointers in
 * the results point into body. */

struct v3_pv_info {
    uint8_t guest_width; /* 4 or 8 */
    uint8_t pt_levels;   /* 3 or 4, and the two agree */
};
enum { V3_PV_INFO_BYTES = 8 };
void v3_encode_pv_info(const struct v3_pv_info *info, uint8_t out[static V3_PV_INFO_BYTES]);
int v3_decode_pv_info(const void *body, size_t len_bytes, struct v3_pv_info *info, struct err *e);

/* p2m frames holding start_pfn to end_pfn, both included; followed by u64 pfns[count]. */
struct v3_p2m_frames {
    uint32_t start_pfn, end_pfn;
    uint64_t count;
    const uint64_t *pfns; /* decoding only; body must be 8-byte aligned */
    uint64_t here;        /* how many of count are in it; decoding only */
};
enum { V3_P2M_FRAMES_BYTES = 8 };
/* How many p2m frames that is: 512 or 1024 PFNs a frame, by width. */
uint64_t v3_p2m_frame_count(uint32_t start_pfn, uint32_t end_pfn, unsigned guest_width);
void v3_encode_p2m_frames(
    uint32_t start_pfn, uint32_t end_pfn, uint8_t out[static V3_P2M_FRAMES_BYTES]);
/* more: this is its first part. All parts but the last are whole words. */
int v3_decode_p2m_frames(const void *body, size_t len_bytes, bool more, unsigned guest_width,
    struct v3_p2m_frames *frames, struct err *e);

/* The four X86_PV_VCPU records; the blob follows. */
struct v3_vcpu {
    uint32_t vcpu_id;
    const void *blob;
    size_t blob_bytes;
};
enum {
    V3_VCPU_BYTES = 8,
    V3_MAX_VCPUS = 8192,
    V3_VCPU_BASIC_64_BYTES = 0x1430,
    V3_VCPU_BASIC_32_BYTES = 0xaf0,
    V3_VCPU_EXTENDED_MAX_BYTES = 128,
    V3_VCPU_XSAVE_MIN_BYTES = 16,
    V3_MSR_BYTES = 16,
};
void v3_encode_vcpu(uint32_t vcpu_id, uint8_t out[static V3_VCPU_BYTES]);
/* Also checks what Xen's own restore checks of the blob's length, by type. An empty blob is right
 * for every type and means: nothing to set. */
int v3_decode_vcpu(uint32_t type, const void *body, size_t len_bytes, unsigned guest_width,
    struct v3_vcpu *vcpu, struct err *e);

struct v3_tsc_info {
    uint32_t mode, khz;
    uint64_t nsec;
    uint32_t incarnation;
};
enum { V3_TSC_INFO_BYTES = 24 };
void v3_encode_tsc_info(const struct v3_tsc_info *tsc, uint8_t out[static V3_TSC_INFO_BYTES]);
int v3_decode_tsc_info(const void *body, size_t len_bytes, struct v3_tsc_info *tsc, struct err *e);

struct v3_hvm_param {
    uint64_t index, value;
};
enum { V3_MAX_HVM_PARAMS = 256, V3_HVM_PARAMS_MAX_BYTES = 8 + 16 * V3_MAX_HVM_PARAMS };
/* Returns the body's length. */
size_t v3_encode_hvm_params(
    const struct v3_hvm_param *params, unsigned count, uint8_t out[static V3_HVM_PARAMS_MAX_BYTES]);
/* Returns how many, or -errno. */
int v3_decode_hvm_params(const void *body, size_t len_bytes,
    struct v3_hvm_param params[static V3_MAX_HVM_PARAMS], struct err *e);

enum { V3_CPUID_LEAF_BYTES = 24, V3_MSR_ENTRY_BYTES = 16 };
/* CPUID and MSR policies, SHARED_INFO, HVM_CONTEXT and the empty records: is the length one that
 * this type may have (a multiple of the entry, exactly a page, not empty, empty)? */
int v3_check_blob(uint32_t type, size_t len_bytes, struct err *e);

/* PAGE_DATA of the plain stream. PFNs may come in any order, and twice. */
struct v3_page_data {
    uint32_t count;
    const uint64_t *entries; /* body must be 8-byte aligned */
    const uint8_t *pages;    /* data_pages x 4096, in the order of entries with data */
    uint32_t data_pages;
};
/* Of a PAGE_DATA's body that begins there, if it has 8 bytes: all before the contents; at most all
 * of it. */
size_t v3_page_entries_bytes(const void *body, size_t len_bytes);
/* body has the entries alone, and contents_bytes follow elsewhere: pages->pages is NULL. */
int v3_decode_page_entries(const void *body, size_t len_bytes, uint64_t contents_bytes,
    uint64_t frame_count, struct v3_page_data *pages, struct err *e);
int v3_decode_page_data(const void *body, size_t len_bytes, uint64_t frame_count,
    struct v3_page_data *pages, struct err *e);

#endif
