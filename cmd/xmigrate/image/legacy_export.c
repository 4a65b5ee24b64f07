/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/legacy_export.h"

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/deadline.h"
#include "base/io.h"
#include "cmd/xmigrate/image/legacy_read.h"
#include "cmd/xmigrate/image/legacy_toolstack.h"
#include "cmd/xmigrate/image/libxl_stream.h"
#include "transport/v3_stream.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 };

/* For a piece of the file. */
#define STALL_NS (60 * NS_PER_S)

struct writer {
    const struct legacy *l;
    struct file_reader from;
    int fd;
    const struct cancel *cancel;
    struct v3_stream stream;
    uint64_t *lost;   /* a PV guest's frames that had no memory at the end; or NULL */
    uint64_t *newest; /* where a frame's contents are in the new file; with compressed pages */
    uint64_t data_pages;
};

/* Into w->from.body. */
static int take_piece(struct writer *w, const struct legacy_piece *p, struct err *e)
{
    w->from.at = p->at;
    return file_take_body(&w->from, p->len_bytes, e);
}

static int put_record(
    struct writer *w, uint32_t type, const void *body, size_t len_bytes, struct err *e)
{
    const struct iovec part = {(void *)body, len_bytes};

    return v3_write_record(&w->stream, type, &part, len_bytes ? 1 : 0, e);
}

static int put_piece(struct writer *w, uint32_t type, const struct legacy_piece *p, struct err *e)
{
    const int rc = take_piece(w, p, e);

    return rc ? rc : put_record(w, type, w->from.body, p->len_bytes, e);
}

/* ---- pages ---- */

static int find_lost(struct writer *w, struct err *e)
{
    const struct legacy_piece *p = &w->l->lost;
    const unsigned width = w->l->tools_width;
    int rc;

    if (!p->len_bytes)
        return 0;
    w->lost = bitmap_alloc(w->l->frame_count);
    rc = w->lost ? take_piece(w, p, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (uint64_t at = 0; at < p->len_bytes && !rc; at += width) {
        const uint64_t pfn = get_le32(w->from.body + at);

        if (pfn >= w->l->frame_count)
            return err_damaged(e, "the file became another meanwhile");
        bitmap_set(w->lost, pfn);
    }
    return rc;
}

static void note_places(struct writer *w, const uint64_t *entries, unsigned count)
{
    uint64_t at = (uint64_t)lseek(w->fd, 0, SEEK_CUR) + V3_PAGE_FRONT_BYTES + count * 8ull;

    for (unsigned i = 0; i < count; i++)
        if (v3_type_has_data(v3_entry_type(entries[i]))) {
            w->newest[v3_entry_pfn(entries[i])] = at;
            at += PAGE_BYTES;
        }
}

static int put_pages(
    void *arg, const uint64_t *entries, const void *const *pages, unsigned count, struct err *e)
{
    struct writer *w = arg;
    uint64_t kept[LEGACY_MAX_BATCH];
    const void *contents[LEGACY_MAX_BATCH];
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        if (w->lost && bitmap_test(w->lost, v3_entry_pfn(entries[i])))
            continue;
        w->data_pages += v3_type_has_data(v3_entry_type(entries[i]));
        kept[n] = entries[i];
        contents[n++] = pages[i];
    }
    if (!n)
        return 0;
    if (w->newest)
        note_places(w, kept, n);
    return v3_write_pages(&w->stream, kept, contents, n, e);
}

static int fetch_page(void *arg, uint64_t pfn, uint8_t page[static PAGE_BYTES], struct err *e)
{
    const struct writer *w = arg;

    if (!w->newest[pfn]) {
        memset(page, 0, PAGE_BYTES); /* a lost one's, which is not written either */
        return 0;
    }

    const int rc = io_preadv_full(w->fd, &(struct iovec){page, PAGE_BYTES}, 1, w->newest[pfn]);

    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot read the new file") : 0;
}

static int put_memory(struct writer *w, const char *from, struct err *e)
{
    const struct legacy_sink sink = {put_pages, fetch_page, w};
    struct legacy again;
    int rc;

    if (w->l->packed_pages && !(w->newest = calloc(w->l->frame_count, sizeof(w->newest[0]))))
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    rc = find_lost(w, e);
    if (rc)
        return rc;
    rc = legacy_walk(w->from.fd, from, &again, &sink, e);
    if (!rc && (again.file_bytes != w->l->file_bytes || again.data_pages != w->l->data_pages))
        rc = err_damaged(e, "%s became another file meanwhile", from);
    legacy_clear(&again);
    return rc;
}

/* ---- a guest's state ---- */

static int put_p2m(struct writer *w, struct err *e)
{
    const unsigned width = w->l->tools_width;
    const size_t count = w->l->p2m.len_bytes / width;
    uint8_t range[V3_P2M_FRAMES_BYTES];
    uint64_t *pfns = calloc(count, sizeof(pfns[0]));
    int rc = pfns ? take_piece(w, &w->l->p2m, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    for (size_t i = 0; i < count && !rc; i++)
        pfns[i] = get_le32(w->from.body + i * width); /* the upper half is zero */
    v3_encode_p2m_frames(0, (uint32_t)(w->l->frame_count - 1), range);

    const struct iovec parts[] = {{range, sizeof(range)}, {pfns, count * sizeof(pfns[0])}};

    if (!rc)
        rc = v3_write_record(&w->stream, V3_X86_PV_P2M_FRAMES, parts, 2, e);
    free(pfns);
    return rc;
}

static int put_vcpu_part(struct writer *w, uint32_t type, uint32_t id, const uint8_t *blob,
    size_t len_bytes, struct err *e)
{
    uint8_t head[V3_VCPU_BYTES];
    const struct iovec parts[] = {{head, sizeof(head)}, {(void *)blob, len_bytes}};

    v3_encode_vcpu(id, head);
    return v3_write_record(&w->stream, type, parts, 2, e);
}

static int put_vcpu(struct writer *w, uint32_t id, const uint8_t *p, struct err *e)
{
    const struct legacy *l = w->l;
    const size_t basic_bytes = l->guest_width == 8 ? V3_VCPU_BASIC_64_BYTES
                                                   : V3_VCPU_BASIC_32_BYTES;
    int rc = put_vcpu_part(w, V3_X86_PV_VCPU_BASIC, id, p, basic_bytes, e);

    p += basic_bytes;
    if (!rc && l->extended)
        rc = put_vcpu_part(w, V3_X86_PV_VCPU_EXTENDED, id, p, LEGACY_EXTENDED_BYTES, e);
    p += l->extended ? LEGACY_EXTENDED_BYTES : 0;
    if (!rc && l->xsave_bytes > LEGACY_XSAVE_HEADER_BYTES)
        rc = put_vcpu_part(w, V3_X86_PV_VCPU_XSAVE, id, p + LEGACY_XSAVE_HEADER_BYTES,
            l->xsave_bytes - LEGACY_XSAVE_HEADER_BYTES, e);
    return rc;
}

static int put_vcpus(struct writer *w, struct err *e)
{
    const struct legacy *l = w->l;
    int rc = take_piece(w, &l->vcpu_tail, e);
    const uint8_t *p = w->from.body;
    uint64_t id = bitmap_next(l->online, LEGACY_MAX_VCPUS, 0);

    for (; id < LEGACY_MAX_VCPUS && !rc; id = bitmap_next(l->online, LEGACY_MAX_VCPUS, id + 1)) {
        rc = put_vcpu(w, (uint32_t)id, p, e);
        p += l->vcpu_tail.len_bytes / l->vcpus;
    }
    return rc;
}

static int put_pv_info(struct writer *w, struct err *e)
{
    const uint8_t width = (uint8_t)w->l->guest_width;
    uint8_t info[V3_PV_INFO_BYTES];

    v3_encode_pv_info(&(struct v3_pv_info){width, width == 8 ? 4 : 3}, info);
    return put_record(w, V3_X86_PV_INFO, info, sizeof(info), e);
}

static int put_params(struct writer *w, struct err *e)
{
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];

    return put_record(
        w, V3_HVM_PARAMS, body, v3_encode_hvm_params(w->l->params, w->l->param_count, body), e);
}

static int put_tsc(struct writer *w, struct err *e)
{
    uint8_t tsc[V3_TSC_INFO_BYTES];

    v3_encode_tsc_info(&w->l->tsc, tsc);
    return put_record(w, V3_X86_TSC_INFO, tsc, sizeof(tsc), e);
}

/* ---- libxc's stream ---- */

static int put_head(struct writer *w, struct err *e)
{
    /* What it was is not known: a version 0 says that it was converted. */
    const struct v3_headers h = {.guest_type = w->l->guest_type, .xen_minor = 1};
    const bool pv = w->l->guest_type == V3_GUEST_PV;
    int rc = v3_write_headers(&w->stream, &h, e);

    if (!rc && pv)
        rc = put_pv_info(w, e);
    if (!rc)
        rc = put_record(w, V3_STATIC_DATA_END, NULL, 0, e);
    return rc || !pv ? rc : put_p2m(w, e);
}

static int put_tail(struct writer *w, struct err *e)
{
    const struct legacy *l = w->l;
    const bool pv = l->guest_type == V3_GUEST_PV;
    int rc = put_tsc(w, e);

    if (!rc)
        rc = pv ? put_vcpus(w, e) : put_params(w, e);
    if (!rc)
        rc = pv ? put_piece(w, V3_SHARED_INFO, &l->shared_info, e)
                : put_piece(w, V3_HVM_CONTEXT, &l->context, e);
    return rc ? rc : put_record(w, V3_END, NULL, 0, e);
}

/* ---- xl's front, and libxl's records ---- */

/* The configuration stays as it is. */
static int put_front(struct writer *w, struct err *e)
{
    const struct legacy_piece front = {0, w->l->stream_bytes};
    struct {
        uint64_t ident;
        uint32_t version, options;
    } libxl = {htobe64(LIBXL_IDENT), htobe32(LIBXL_VERSION), htobe32(LIBXL_OPTION_LEGACY)};
    int rc = take_piece(w, &front, e);

    if (rc)
        return rc;
    xl_file_set_stream_v2(w->from.body);
    rc = v3_write_bytes(&w->stream, w->from.body, front.len_bytes, e);
    return rc ? rc : v3_write_bytes(&w->stream, &libxl, sizeof(libxl), e);
}

static int put_libxl_header(struct writer *w, uint32_t type, uint32_t len_bytes, struct err *e)
{
    const uint32_t header[] = {type, len_bytes};

    return v3_write_bytes(&w->stream, header, sizeof(header), e);
}

static int put_emulator_header(struct writer *w, uint32_t type, uint64_t len_bytes, struct err *e)
{
    static const uint8_t which[LIBXL_EMULATOR_BYTES]; /* not known, and 0 */
    const int rc = put_libxl_header(w, type, (uint32_t)(sizeof(which) + len_bytes), e);

    return rc ? rc : v3_write_bytes(&w->stream, which, sizeof(which), e);
}

static int put_padding(struct writer *w, uint64_t len_bytes, struct err *e)
{
    static const uint8_t zeros[8];

    return v3_write_bytes(&w->stream, zeros, -len_bytes & 7, e);
}

static int put_physmap(struct writer *w, struct err *e)
{
    const struct legacy_piece *p = &w->l->toolstack;
    const size_t cap_bytes = p->len_bytes * LEGACY_TOOLSTACK_GROWTH;
    struct bytes_out out = bytes_out_init(malloc(cap_bytes ?: 1), cap_bytes);
    int rc = out.buf ? take_piece(w, p, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (!rc && p->len_bytes)
        rc = legacy_read_toolstack(w->from.body, p->len_bytes, w->l->tools_width, &out, e);
    if (!rc && out.overflow)
        rc = err_set(e, ERR_INTERNAL, ENOSPC, "the physmap is longer than it can be");
    if (!rc && out.len_bytes) {
        rc = put_emulator_header(w, LIBXL_EMULATOR_XENSTORE, out.len_bytes, e);
        if (!rc)
            rc = v3_write_bytes(&w->stream, out.buf, out.len_bytes, e);
        if (!rc)
            rc = put_padding(w, out.len_bytes, e);
    }
    free(out.buf);
    return rc;
}

static int put_emulator(struct writer *w, struct err *e)
{
    struct legacy_piece p = w->l->emulator;
    int rc = put_emulator_header(w, LIBXL_EMULATOR_CONTEXT, p.len_bytes, e);

    while (p.len_bytes && !rc) {
        const struct legacy_piece part = {
            p.at, p.len_bytes < PIECE_BYTES ? p.len_bytes : PIECE_BYTES};

        rc = take_piece(w, &part, e);
        if (!rc)
            rc = v3_write_bytes(&w->stream, w->from.body, part.len_bytes, e);
        p.at += part.len_bytes;
        p.len_bytes -= part.len_bytes;
    }
    return rc ? rc : put_padding(w, w->l->emulator.len_bytes, e);
}

static int put_libxl_tail(struct writer *w, struct err *e)
{
    int rc = 0;

    if (w->l->guest_type == V3_GUEST_HVM) {
        rc = put_physmap(w, e);
        if (!rc)
            rc = put_emulator(w, e);
    }
    return rc ? rc : put_libxl_header(w, LIBXL_END, 0, e);
}

/* ---- all of it ---- */

static int put_all(struct writer *w, const char *from, struct err *e)
{
    int rc = put_front(w, e);

    if (!rc)
        rc = put_libxl_header(w, LIBXL_LIBXC_CONTEXT, 0, e);
    if (!rc)
        rc = put_head(w, e);
    if (!rc)
        rc = put_memory(w, from, e);
    if (!rc)
        rc = put_tail(w, e);
    return rc ? rc : put_libxl_tail(w, e);
}

int legacy_export(const struct legacy *l, int from_fd, const char *from, int fd,
    const struct cancel *cancel, uint64_t *data_pages, struct err *e)
{
    struct writer w = {.l = l, .fd = fd, .cancel = cancel};
    int rc = file_open(&w.from, from_fd, from, e);

    v3_stream_init(&w.stream, fd, cancel, STALL_NS, "the new file");
    if (!rc)
        rc = put_all(&w, from, e);
    *data_pages = w.data_pages;
    v3_stream_destroy(&w.stream);
    file_close(&w.from);
    free(w.lost);
    free(w.newest);
    return rc;
}
