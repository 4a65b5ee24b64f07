/* SPDX-License-Identifier: MIT */
#include "transport/v3.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "transport/kernel_notes.h"

#include <errno.h>
#include <inttypes.h>

/* ---- types ---- */

enum {
    MAX_RECORD_BYTES = 128 << 20, /* libxc's own limit */
    MAX_CPUID_LEAVES = 4096,
    MAX_MSR_ENTRIES = 4096,
    MAX_VCPU_MSRS = 4096,
    MAX_XSAVE_BYTES = 1 << 20,
    MAX_HVM_CONTEXT_BYTES = 32 << 20,
    /* 2^32 frames of a 64-bit guest, 512 to a p2m frame, 8 bytes for each of those. */
    MAX_P2M_FRAMES_BYTES = 64 << 20,
};

static const struct known {
    const char *name;
    uint32_t limit_bytes;
    bool is_state;
} types[] = {
    [V3_END] = {"END", 0, false},
    [V3_PAGE_DATA] = {"PAGE_DATA", MAX_RECORD_BYTES, false},
    [V3_X86_PV_INFO] = {"X86_PV_INFO", V3_PV_INFO_BYTES, true},
    [V3_X86_PV_P2M_FRAMES] = {"X86_PV_P2M_FRAMES", V3_P2M_FRAMES_BYTES + MAX_P2M_FRAMES_BYTES,
        true},
    [V3_X86_PV_VCPU_BASIC] = {"X86_PV_VCPU_BASIC", V3_VCPU_BYTES + V3_VCPU_BASIC_64_BYTES, true},
    [V3_X86_PV_VCPU_EXTENDED] = {"X86_PV_VCPU_EXTENDED", V3_VCPU_BYTES + V3_VCPU_EXTENDED_MAX_BYTES,
        true},
    [V3_X86_PV_VCPU_XSAVE] = {"X86_PV_VCPU_XSAVE", V3_VCPU_BYTES + MAX_XSAVE_BYTES, true},
    [V3_SHARED_INFO] = {"SHARED_INFO", PAGE_BYTES, true},
    [V3_X86_TSC_INFO] = {"X86_TSC_INFO", V3_TSC_INFO_BYTES, true},
    [V3_HVM_CONTEXT] = {"HVM_CONTEXT", MAX_HVM_CONTEXT_BYTES, true},
    [V3_HVM_PARAMS] = {"HVM_PARAMS", V3_HVM_PARAMS_MAX_BYTES, true},
    [V3_TOOLSTACK] = {"TOOLSTACK", MAX_RECORD_BYTES, false},
    [V3_X86_PV_VCPU_MSRS] = {"X86_PV_VCPU_MSRS", V3_VCPU_BYTES + MAX_VCPU_MSRS *V3_MSR_BYTES, true},
    [V3_VERIFY] = {"VERIFY", 0, false},
    [V3_CHECKPOINT] = {"CHECKPOINT", 0, false},
    [V3_CHECKPOINT_DIRTY_PFN_LIST] = {"CHECKPOINT_DIRTY_PFN_LIST", MAX_RECORD_BYTES, false},
    [V3_STATIC_DATA_END] = {"STATIC_DATA_END", 0, true},
    [V3_X86_CPUID_POLICY] = {"X86_CPUID_POLICY", MAX_CPUID_LEAVES *V3_CPUID_LEAF_BYTES, true},
    [V3_X86_MSR_POLICY] = {"X86_MSR_POLICY", MAX_MSR_ENTRIES *V3_MSR_ENTRY_BYTES, true},
};

static const struct known kernel_notes = {
    "KERNEL_NOTES", KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES, true};

/* NULL: it is not known. */
static const struct known *find(uint32_t type)
{
    if (type == V3_KERNEL_NOTES)
        return &kernel_notes;
    return type < sizeof(types) / sizeof(types[0]) ? &types[type] : NULL;
}

bool v3_is_skipped(uint32_t type)
{
    return type & V3_OPTIONAL && !find(type);
}

const char *v3_name(uint32_t type)
{
    const struct known *t = find(type);

    return t ? t->name : type & V3_OPTIONAL ? "optional" : "unknown";
}

int64_t v3_limit_bytes(uint32_t type)
{
    const struct known *t = find(type);

    return t ? (int64_t)t->limit_bytes : type & V3_OPTIONAL ? MAX_RECORD_BYTES : -1;
}

bool v3_is_state(uint32_t type)
{
    const struct known *t = find(type);

    return t && t->is_state;
}

/* ---- bodies ---- */

static int bad_record(uint32_t type, const char *what, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "bad %s record: %s", v3_name(type), what);
}

static int bad_length(uint32_t type, size_t len_bytes, struct err *e)
{
    return err_set(
        e, ERR_PEER, EPROTO, "bad %s record: it has %zu bytes", v3_name(type), len_bytes);
}

void v3_encode_pv_info(const struct v3_pv_info *info, uint8_t out[static V3_PV_INFO_BYTES])
{
    memset(out, 0, V3_PV_INFO_BYTES);
    out[0] = info->guest_width;
    out[1] = info->pt_levels;
}

int v3_decode_pv_info(const void *body, size_t len_bytes, struct v3_pv_info *info, struct err *e)
{
    static const uint8_t zeros[6];
    const uint8_t *b = body;

    if (len_bytes != V3_PV_INFO_BYTES)
        return bad_length(V3_X86_PV_INFO, len_bytes, e);
    *info = (struct v3_pv_info){.guest_width = b[0], .pt_levels = b[1]};
    if (memcmp(b + 2, zeros, sizeof(zeros)) != 0)
        return bad_record(V3_X86_PV_INFO, "reserved bits are set", e);
    if (!(info->guest_width == 8 && info->pt_levels == 4) &&
        !(info->guest_width == 4 && info->pt_levels == 3))
        return err_set(e, ERR_PEER, EPROTO,
            "bad X86_PV_INFO record: guest width %u with %u page-table levels", info->guest_width,
            info->pt_levels);
    return 0;
}

uint64_t v3_p2m_frame_count(uint32_t start_pfn, uint32_t end_pfn, unsigned guest_width)
{
    const uint32_t pfns_per_frame = PAGE_BYTES / guest_width;

    return (uint64_t)(end_pfn / pfns_per_frame) - start_pfn / pfns_per_frame + 1;
}

void v3_encode_p2m_frames(
    uint32_t start_pfn, uint32_t end_pfn, uint8_t out[static V3_P2M_FRAMES_BYTES])
{
    put_le32(out, start_pfn);
    put_le32(out + 4, end_pfn);
}

int v3_decode_p2m_frames(const void *body, size_t len_bytes, bool more, unsigned guest_width,
    struct v3_p2m_frames *frames, struct err *e)
{
    if (len_bytes < V3_P2M_FRAMES_BYTES)
        return bad_length(V3_X86_PV_P2M_FRAMES, len_bytes, e);
    frames->start_pfn = get_le32(body);
    frames->end_pfn = get_le32((const uint8_t *)body + 4);
    if (frames->start_pfn > frames->end_pfn)
        return err_set(e, ERR_PEER, EPROTO,
            "bad X86_PV_P2M_FRAMES record: from pfn %#" PRIx32 " to %#" PRIx32, frames->start_pfn,
            frames->end_pfn);
    frames->count = v3_p2m_frame_count(frames->start_pfn, frames->end_pfn, guest_width);
    frames->here = (len_bytes - V3_P2M_FRAMES_BYTES) / 8;
    if (len_bytes % 8 || (more ? frames->here > frames->count : frames->here != frames->count))
        return bad_length(V3_X86_PV_P2M_FRAMES, len_bytes, e);
    frames->pfns = (const uint64_t *)((const uint8_t *)body + V3_P2M_FRAMES_BYTES);
    return 0;
}

void v3_encode_vcpu(uint32_t vcpu_id, uint8_t out[static V3_VCPU_BYTES])
{
    put_le32(out, vcpu_id);
    put_le32(out + 4, 0);
}

static bool is_vcpu_blob(uint32_t type, size_t blob_bytes, unsigned guest_width)
{
    switch (type) {
    case V3_X86_PV_VCPU_BASIC:
        return blob_bytes ==
               (size_t)(guest_width == 8 ? V3_VCPU_BASIC_64_BYTES : V3_VCPU_BASIC_32_BYTES);
    case V3_X86_PV_VCPU_EXTENDED:
        return blob_bytes > 0 && blob_bytes <= V3_VCPU_EXTENDED_MAX_BYTES;
    case V3_X86_PV_VCPU_XSAVE:
        return blob_bytes >= V3_VCPU_XSAVE_MIN_BYTES && blob_bytes <= MAX_XSAVE_BYTES;
    case V3_X86_PV_VCPU_MSRS:
        return blob_bytes % V3_MSR_BYTES == 0 && blob_bytes / V3_MSR_BYTES <= MAX_VCPU_MSRS;
    default:
        return false;
    }
}

int v3_decode_vcpu(uint32_t type, const void *body, size_t len_bytes, unsigned guest_width,
    struct v3_vcpu *vcpu, struct err *e)
{
    if (len_bytes < V3_VCPU_BYTES)
        return bad_length(type, len_bytes, e);
    vcpu->vcpu_id = get_le32(body);
    vcpu->blob = (const uint8_t *)body + V3_VCPU_BYTES;
    vcpu->blob_bytes = len_bytes - V3_VCPU_BYTES;
    if (vcpu->vcpu_id >= V3_MAX_VCPUS)
        return err_set(
            e, ERR_PEER, EPROTO, "bad %s record: vcpu %" PRIu32, v3_name(type), vcpu->vcpu_id);
    if (get_le32((const uint8_t *)body + 4) != 0)
        return bad_record(type, "reserved bits are set", e);
    /* Older senders write empty ones by accident: there is nothing to set. */
    if (vcpu->blob_bytes == 0)
        return 0;
    if (!is_vcpu_blob(type, vcpu->blob_bytes, guest_width))
        return bad_length(type, len_bytes, e);
    return 0;
}

void v3_encode_tsc_info(const struct v3_tsc_info *tsc, uint8_t out[static V3_TSC_INFO_BYTES])
{
    put_le32(out, tsc->mode);
    put_le32(out + 4, tsc->khz);
    put_le64(out + 8, tsc->nsec);
    put_le32(out + 16, tsc->incarnation);
    put_le32(out + 20, 0);
}

int v3_decode_tsc_info(const void *body, size_t len_bytes, struct v3_tsc_info *tsc, struct err *e)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    tsc->mode = bytes_in_u32(&in);
    tsc->khz = bytes_in_u32(&in);
    tsc->nsec = bytes_in_u64(&in);
    tsc->incarnation = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);
    if (!bytes_in_done(&in))
        return bad_length(V3_X86_TSC_INFO, len_bytes, e);
    if (reserved)
        return bad_record(V3_X86_TSC_INFO, "reserved bits are set", e);
    return 0;
}

size_t v3_encode_hvm_params(
    const struct v3_hvm_param *params, unsigned count, uint8_t out[static V3_HVM_PARAMS_MAX_BYTES])
{
    put_le32(out, count);
    put_le32(out + 4, 0);
    for (unsigned i = 0; i < count; i++) {
        put_le64(out + 8 + 16 * i, params[i].index);
        put_le64(out + 8 + 16 * i + 8, params[i].value);
    }
    return 8 + 16 * (size_t)count;
}

int v3_decode_hvm_params(const void *body, size_t len_bytes,
    struct v3_hvm_param params[static V3_MAX_HVM_PARAMS], struct err *e)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);
    const uint32_t count = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);

    if (in.underflow)
        return bad_length(V3_HVM_PARAMS, len_bytes, e);
    if (reserved)
        return bad_record(V3_HVM_PARAMS, "reserved bits are set", e);
    if (count > V3_MAX_HVM_PARAMS)
        return err_set(
            e, ERR_PEER, EPROTO, "bad HVM_PARAMS record: it counts %" PRIu32 " of them", count);
    for (uint32_t i = 0; i < count; i++) {
        params[i].index = bytes_in_u64(&in);
        params[i].value = bytes_in_u64(&in);
        /* Xen counts them in 32 bits: truncated, it would be another one. */
        if (params[i].index > UINT32_MAX)
            return bad_record(V3_HVM_PARAMS, "a parameter that Xen cannot have", e);
    }
    if (!bytes_in_done(&in))
        return bad_length(V3_HVM_PARAMS, len_bytes, e);
    return (int)count;
}

int v3_check_blob(uint32_t type, size_t len_bytes, struct err *e)
{
    bool right;

    switch (type) {
    case V3_SHARED_INFO:
        right = len_bytes == PAGE_BYTES;
        break;
    case V3_HVM_CONTEXT:
        right = len_bytes > 0;
        break;
    case V3_X86_CPUID_POLICY:
        right = len_bytes > 0 && len_bytes % V3_CPUID_LEAF_BYTES == 0;
        break;
    case V3_X86_MSR_POLICY:
        right = len_bytes > 0 && len_bytes % V3_MSR_ENTRY_BYTES == 0;
        break;
    default:
        right = len_bytes == 0;
        break;
    }
    return right ? 0 : bad_length(type, len_bytes, e);
}

/* What is wrong with the entry, or NULL. */
static const char *judge_entry(uint64_t entry, uint64_t frame_count)
{
    if (entry & V3_ENTRY_RESERVED_MASK)
        return "reserved bits are set";
    if (!v3_type_is_known(v3_entry_type(entry)))
        return "a type that is not known";
    if (v3_entry_pfn(entry) >= frame_count)
        return "beyond the guest's last frame";
    return NULL;
}

int v3_decode_page_entries(const void *body, size_t len_bytes, uint64_t contents_bytes,
    uint64_t frame_count, struct v3_page_data *pages, struct err *e)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);
    const uint32_t count = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);

    if (in.underflow)
        return bad_length(V3_PAGE_DATA, len_bytes, e);
    if (reserved)
        return bad_record(V3_PAGE_DATA, "reserved bits are set", e);
    if (count == 0)
        return bad_record(V3_PAGE_DATA, "it has no pages", e);

    const uint64_t *entries = bytes_in_take(&in, (size_t)count * 8);
    uint32_t data_pages = 0;

    if (!entries || !bytes_in_done(&in))
        return bad_length(V3_PAGE_DATA, len_bytes + contents_bytes, e);
    for (uint32_t i = 0; i < count; i++) {
        const char *wrong = judge_entry(entries[i], frame_count);

        if (wrong)
            return err_set(e, ERR_PEER, EPROTO,
                "bad PAGE_DATA record: entry %" PRIu32 " (%#" PRIx64 "): %s", i, entries[i], wrong);
        data_pages += v3_type_has_data(v3_entry_type(entries[i]));
    }
    if (contents_bytes != (uint64_t)data_pages * PAGE_BYTES)
        return bad_length(V3_PAGE_DATA, len_bytes + contents_bytes, e);
    *pages = (struct v3_page_data){.count = count, .entries = entries, .data_pages = data_pages};
    return 0;
}

size_t v3_page_entries_bytes(const void *body, size_t len_bytes)
{
    const uint64_t bytes = len_bytes < 8 ? len_bytes : 8 + get_le32(body) * 8ull;

    return bytes < len_bytes ? (size_t)bytes : len_bytes;
}

int v3_decode_page_data(const void *body, size_t len_bytes, uint64_t frame_count,
    struct v3_page_data *pages, struct err *e)
{
    const size_t entries_bytes = v3_page_entries_bytes(body, len_bytes);
    const int rc = v3_decode_page_entries(
        body, entries_bytes, len_bytes - entries_bytes, frame_count, pages, e);

    if (!rc)
        pages->pages = (const uint8_t *)body + entries_bytes;
    return rc;
}
