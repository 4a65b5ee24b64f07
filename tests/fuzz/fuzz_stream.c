/* SPDX-License-Identifier: MIT */
/* A plain v2/v3 stream from a descriptor, with the decoders of all bodies. */
#include "base/deadline.h"
#include "tests/fuzz/fuzz.h"
#include "transport/pages.h"
#include "transport/v3_stream.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int decode(const struct v3_record *r, struct err *e)
{
    struct v3_pv_info info;
    struct v3_p2m_frames frames;
    struct v3_vcpu vcpu;
    struct v3_tsc_info tsc;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    struct v3_page_data pages;

    switch (r->type) {
    case V3_PAGE_DATA:
        if (v3_decode_page_data(r->body, r->len_bytes, 1ull << 32, &pages, e))
            return -1;
        for (uint32_t i = 0; i < pages.count; i++)
            must(v3_entry_pfn(pages.entries[i]) < 1ull << 32);
        must(pages.pages + (size_t)pages.data_pages * PAGE_BYTES ==
             (const uint8_t *)r->body + r->len_bytes);
        return 0;
    case V3_X86_PV_INFO:
        return v3_decode_pv_info(r->body, r->len_bytes, &info, e);
    case V3_X86_PV_P2M_FRAMES:
        if (v3_decode_p2m_frames(r->body, r->len_bytes, false, 8, &frames, e))
            return -1;
        must(8 + frames.count * 8 == r->len_bytes);
        return 0;
    case V3_X86_PV_VCPU_BASIC:
    case V3_X86_PV_VCPU_EXTENDED:
    case V3_X86_PV_VCPU_XSAVE:
    case V3_X86_PV_VCPU_MSRS:
        return v3_decode_vcpu(r->type, r->body, r->len_bytes, 8, &vcpu, e);
    case V3_X86_TSC_INFO:
        return v3_decode_tsc_info(r->body, r->len_bytes, &tsc, e);
    case V3_HVM_PARAMS:
        return v3_decode_hvm_params(r->body, r->len_bytes, params, e) < 0 ? -1 : 0;
    default:
        return v3_check_blob(r->type, r->len_bytes, e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct v3_stream s;
    struct v3_headers h;
    struct v3_record r;
    struct err e = ERR_INIT;
    int rc;

    if (fd < 0)
        fd = memfd_create("stream", MFD_CLOEXEC);
    must(pwrite(fd, data, size, 0) == (ssize_t)size && !ftruncate(fd, (off_t)size));
    must(lseek(fd, 0, SEEK_SET) == 0);
    v3_stream_init(&s, fd, NULL, NS_PER_S, "the stream");
    rc = v3_read_headers(&s, &h, DEADLINE_NEVER, &e);
    while (rc == 0) {
        must(!err_is_set(&e));
        rc = v3_read_record(&s, &r, DEADLINE_NEVER, &e);
        if (rc == 0)
            rc = decode(&r, &e);
        if (rc == 0 && r.type == V3_END)
            break;
    }
    must(rc == 0 || e.class == ERR_PEER);
    /* Memory follows what arrived; nothing was read ahead. */
    must(s.cap_bytes <= 5 * (1 << 20) + size);
    must(rc != 0 || (uint64_t)lseek(fd, 0, SEEK_CUR) == s.moved_bytes);
    v3_stream_destroy(&s);
    return 0;
}
