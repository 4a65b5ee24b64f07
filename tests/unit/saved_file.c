/* SPDX-License-Identifier: MIT */
#include "tests/unit/saved_file.h"

#include "base/limits.h"
#include "transport/v3.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static const char config[] = "{\"c_info\":{\"name\":\"g\"}}";

static void border(struct saved_file *f)
{
    f->borders[f->border_count++] = f->len_bytes;
}

static void put(struct saved_file *f, const void *p, size_t len_bytes)
{
    memcpy(f->bytes + f->len_bytes, p, len_bytes);
    f->len_bytes += len_bytes;
}

static void put_zeros(struct saved_file *f, size_t len_bytes)
{
    memset(f->bytes + f->len_bytes, 0, len_bytes);
    f->len_bytes += len_bytes;
}

static void put32(struct saved_file *f, uint32_t v)
{
    put(f, &v, sizeof(v));
}

static void put64(struct saved_file *f, uint64_t v)
{
    put(f, &v, sizeof(v));
}

/* Both streams' records look the same. */
static void record(struct saved_file *f, uint32_t type, const void *body, uint32_t len_bytes)
{
    border(f);
    put32(f, type);
    put32(f, len_bytes);
    if (body)
        put(f, body, len_bytes);
    else
        put_zeros(f, len_bytes);
    put_zeros(f, -len_bytes & 7);
}

static void put_front(struct saved_file *f, const struct image_note *note)
{
    const struct image_note ours = {.kind = IMAGE_SAVE, .program = "test"};
    struct err e = ERR_INIT;
    uint8_t *front;
    size_t len_bytes;

    border(f);
    if (xl_file_write(config, note ? note : &ours, &front, &len_bytes, &e))
        abort();
    /* xl ends it with the configuration. */
    if (!note) {
        const uint32_t optional_bytes = 4 + sizeof(config);

        len_bytes = XL_FILE_HEADER_BYTES + optional_bytes;
        memcpy(front + 44, &optional_bytes, sizeof(optional_bytes));
    }
    put(f, front, len_bytes);
    free(front);
}

static void put_headers(struct saved_file *f, uint32_t guest_type)
{
    border(f);
    put64(f, htobe64(0x4c6962786c466d74ull));
    put32(f, htobe32(2));
    put32(f, 0);
    record(f, 1, NULL, 0);
    border(f);
    put64(f, UINT64_MAX);
    put32(f, htobe32(0x58454e46));
    put32(f, htobe32(3));
    put64(f, 0);
    put32(f, guest_type);
    put32(f, 12);
    put32(f, 4);
    put32(f, 17);
}

/* One with contents, two without. */
static void put_pages(struct saved_file *f)
{
    static uint8_t body[8 + 3 * 8 + PAGE_BYTES] = {3};
    const uint64_t entries[] = {
        v3_entry(0x10, 0), v3_entry(0x1f, 0xf0000000), v3_entry(0x11, 0xe0000000)};

    memcpy(body + 8, entries, sizeof(entries));
    memset(body + 8 + sizeof(entries), 0xa5, PAGE_BYTES);
    record(f, V3_PAGE_DATA, body, sizeof(body));
}

static void put_tsc(struct saved_file *f)
{
    record(f, V3_X86_TSC_INFO, NULL, V3_TSC_INFO_BYTES);
}

/* Of 32 bits and without SHARED_INFO, which makes it short enough to be fuzzed. */
static void put_pv(struct saved_file *f)
{
    /* From memory; GUEST_OS. */
    static const char kernel_notes[] = "\2\0\0\0\0\0\0\0\4\0\0\0\6\0\0\0\6\0\0\0Xen\0linux\0\0\0";
    static const uint8_t info[V3_PV_INFO_BYTES] = {4, 3};
    static const uint64_t frames[] = {0x1full << 32, 7};

    record(f, V3_X86_PV_INFO, info, sizeof(info));
    record(f, V3_X86_CPUID_POLICY, NULL, V3_CPUID_LEAF_BYTES);
    record(f, V3_KERNEL_NOTES, kernel_notes, sizeof(kernel_notes) - 1);
    record(f, V3_STATIC_DATA_END, NULL, 0);
    record(f, V3_X86_PV_P2M_FRAMES, frames, sizeof(frames));
    put_pages(f);
    put_tsc(f);
    record(f, V3_X86_PV_VCPU_BASIC, NULL, V3_VCPU_BYTES + V3_VCPU_BASIC_32_BYTES);
    record(f, V3_X86_PV_VCPU_EXTENDED, NULL, V3_VCPU_BYTES + V3_VCPU_EXTENDED_MAX_BYTES);
    record(f, V3_OPTIONAL | 5, NULL, 3);
}

static void put_hvm(struct saved_file *f)
{
    static const uint64_t params[] = {1, 1, 0xfeffc};

    record(f, V3_STATIC_DATA_END, NULL, 0);
    put_pages(f);
    put_tsc(f);
    record(f, V3_HVM_CONTEXT, NULL, 104);
    record(f, V3_HVM_PARAMS, params, sizeof(params));
}

void saved_file_make(struct saved_file *f, enum saved_type type, const struct image_note *note)
{
    static const uint8_t device[8 + 16] = {2};

    f->len_bytes = f->border_count = 0;
    put_front(f, note);
    put_headers(f, type == SAVED_PV ? V3_GUEST_PV : V3_GUEST_HVM);
    if (type == SAVED_PV)
        put_pv(f);
    else
        put_hvm(f);
    record(f, V3_END, NULL, 0);
    if (type == SAVED_HVM) {
        record(f, 2, device, sizeof(device));
        record(f, 3, device, sizeof(device));
    }
    record(f, 0, NULL, 0);
}
