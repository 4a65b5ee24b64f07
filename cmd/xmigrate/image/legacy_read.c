/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/legacy_read.h"

#include "base/bitmap.h"
#include "base/bytes.h"
#include "cmd/xmigrate/image/legacy_toolstack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE_BYTES = 21 /* of QEMU's record */ };
#define MAX_CONTEXT_BYTES  (32u << 20)
#define MAX_EMULATOR_BYTES (1u << 30)

/* HVM parameters that are no chunks of their own. */
enum { PARAM_STORE_PFN = 1, PARAM_IOREQ_PFN = 5, PARAM_BUFIOREQ_PFN = 6 };
enum { PARAM_ACPI_IOPORTS = 19, PARAM_IOREQ_SERVER_PFN = 32, PARAM_NR_IOREQ_SERVER_PAGES = 33 };

static const struct {
    const char *name;
    uint8_t param; /* the chunk is that HVM parameter; 0: it is something else */
} kinds[LEGACY_KINDS] = {
    [0] = {"end", 0},
    [1] = {"enable_verify_mode", 0},
    [2] = {"vcpu_info", 0},
    [3] = {"hvm_ident_pt", 12},
    [4] = {"hvm_vm86_tss", 15},
    [5] = {"tmem", 0},
    [6] = {"tmem_extra", 0},
    [7] = {"tsc_info", 0},
    [8] = {"hvm_console_pfn", 17},
    [9] = {"last_checkpoint", 0},
    [10] = {"hvm_acpi_ioports_location", PARAM_ACPI_IOPORTS},
    [11] = {"hvm_viridian", 9},
    [12] = {"compressed_data", 0},
    [13] = {"enable_compression", 0},
    [14] = {"hvm_generation_id_addr", 34},
    [15] = {"hvm_paging_ring_pfn", 27},
    [16] = {"hvm_monitor_ring_pfn", 28},
    [17] = {"hvm_sharing_ring_pfn", 29},
    [18] = {"toolstack", 0},
    [19] = {"hvm_ioreq_server_pfn", PARAM_IOREQ_SERVER_PFN},
    [20] = {"hvm_nr_ioreq_server_pages", PARAM_NR_IOREQ_SERVER_PAGES},
    [21] = {"hvm_x87_fip_width", 36},
};

const char *legacy_name(unsigned kind)
{
    return kinds[kind].name;
}

/* ---- chunks ---- */

static int read_vcpu_info(struct legacy_reader *r, struct err *e)
{
    uint32_t max_id;
    int rc = legacy_take_u32(r, &max_id, e);

    if (!rc && max_id >= LEGACY_MAX_VCPUS)
        rc = err_damaged(e, "vcpu_info: the last vCPU would be %d", (int32_t)max_id);
    if (rc)
        return rc;
    memset(r->l->online, 0, sizeof(r->l->online));
    rc = file_take(&r->file, r->l->online, (max_id / 64 + 1) * sizeof(r->l->online[0]), e);
    if (!rc && bitmap_next(r->l->online, LEGACY_MAX_VCPUS, (uint64_t)max_id + 1) < LEGACY_MAX_VCPUS)
        rc = err_damaged(e, "vcpu_info: a vCPU after the last, which is %u, is online", max_id);
    return rc;
}

static int read_tsc_info(struct legacy_reader *r, struct err *e)
{
    struct v3_tsc_info *tsc = &r->l->tsc;
    int rc = legacy_take_u32(r, &tsc->mode, e);

    if (!rc)
        rc = legacy_take_u64(r, &tsc->nsec, e);
    if (!rc)
        rc = legacy_take_u32(r, &tsc->khz, e);
    if (!rc)
        rc = legacy_take_u32(r, &tsc->incarnation, e);
    r->l->has_tsc = true;
    return rc;
}

/* 0 is what a parameter is without us. */
static void set_param(struct legacy *l, uint64_t index, uint64_t value)
{
    unsigned i = 0;

    while (i < l->param_count && l->params[i].index != index)
        i++;
    if (i < l->param_count)
        l->params[i].value = value;
    else if (value)
        l->params[l->param_count++] = (struct v3_hvm_param){index, value};
}

static uint64_t param(const struct legacy *l, uint64_t index)
{
    for (unsigned i = 0; i < l->param_count; i++)
        if (l->params[i].index == index)
            return l->params[i].value;
    return 0;
}

static int read_param(struct legacy_reader *r, unsigned kind, struct err *e)
{
    uint32_t padding;
    uint64_t value;
    int rc = r->l->guest_type == V3_GUEST_PV
                 ? err_damaged(e, "%s in a PV guest's stream", kinds[kind].name)
                 : legacy_take_u32(r, &padding, e);

    if (!rc)
        rc = legacy_take_u64(r, &value, e);
    if (!rc && kinds[kind].param == PARAM_ACPI_IOPORTS && value > 1)
        rc = err_damaged(e, "%s: 0x%" PRIx64, kinds[kind].name, value);
    if (!rc)
        set_param(r->l, kinds[kind].param, value);
    return rc;
}

static int read_toolstack(struct legacy_reader *r, struct err *e)
{
    uint32_t len_bytes;
    int rc = legacy_take_u32(r, &len_bytes, e);

    if (!rc && len_bytes > LEGACY_MAX_TOOLSTACK_BYTES)
        rc = err_damaged(e, "toolstack of %u bytes", len_bytes);
    r->l->toolstack = (struct legacy_piece){r->file.at, len_bytes};
    if (!rc)
        rc = file_take_body(&r->file, len_bytes, e);
    return rc || !len_bytes
               ? rc
               : legacy_read_toolstack(r->file.body, len_bytes, r->l->tools_width, NULL, e);
}

static int enable_compression(const struct legacy_reader *r, struct err *e)
{
    return r->l->checkpoints ? err_damaged(e, "enable_compression after the first checkpoint") : 0;
}

static int read_chunk(struct legacy_reader *r, int32_t marker, struct err *e)
{
    if (marker > LEGACY_MAX_BATCH || marker < LEGACY_LOWEST)
        return err_damaged(e, "%d is neither a marker nor a number of pages", marker);
    if (marker > 0)
        return legacy_read_batch(r, (unsigned)marker, e);
    r->l->chunks[-marker] += marker != LEGACY_END;
    switch ((enum legacy_chunk)marker) {
    case LEGACY_END:
        return legacy_end_packed(r, e);
    case LEGACY_VERIFY_MODE:
        r->verify = true;
        return 0;
    case LEGACY_LAST_CHECKPOINT:
        r->last = true;
        return 0;
    case LEGACY_ENABLE_COMPRESSION:
        return enable_compression(r, e);
    case LEGACY_VCPU_INFO:
        return read_vcpu_info(r, e);
    case LEGACY_TMEM:
        return legacy_read_tmem(r, e);
    case LEGACY_TMEM_EXTRA:
        return legacy_read_tmem_extra(r, e);
    case LEGACY_TSC_INFO:
        return read_tsc_info(r, e);
    case LEGACY_COMPRESSED_DATA:
        return legacy_read_packed(r, e);
    case LEGACY_TOOLSTACK:
        return read_toolstack(r, e);
    default:
        return read_param(r, (unsigned)-marker, e);
    }
}

static int read_chunks(struct legacy_reader *r, struct err *e)
{
    uint32_t marker = 1;
    int rc = 0;

    while (!rc && marker != LEGACY_END) {
        r->file.item_at = r->file.at;
        rc = legacy_take_u32(r, &marker, e);
        if (!rc)
            rc = read_chunk(r, (int32_t)marker, e);
    }
    return rc;
}

/* ---- the tail ---- */

static int skip_piece(
    struct legacy_reader *r, uint64_t len_bytes, struct legacy_piece *piece, struct err *e)
{
    *piece = (struct legacy_piece){r->file.at, len_bytes};
    return file_skip(&r->file, len_bytes, e);
}

static int read_vcpu(struct legacy_reader *r, struct err *e)
{
    const struct legacy *l = r->l;
    uint64_t header[2];
    int rc = file_skip(&r->file,
        (l->guest_width == 8 ? V3_VCPU_BASIC_64_BYTES : V3_VCPU_BASIC_32_BYTES) +
            (l->extended ? LEGACY_EXTENDED_BYTES : 0),
        e);

    if (rc || !l->xsave_bytes)
        return rc;
    rc = file_take(&r->file, header, sizeof(header), e);
    if (!rc && header[1] != l->xsave_bytes - sizeof(header))
        rc = err_damaged(e, "a vCPU has %" PRIu64 " bytes of state, and the extended info says %zu",
            header[1], l->xsave_bytes - sizeof(header));
    return rc ? rc : file_skip(&r->file, header[1], e);
}

static int read_vcpus(struct legacy_reader *r, struct err *e)
{
    struct legacy *l = r->l;
    int rc = 0;

    l->vcpu_tail.at = r->file.at;
    for (l->vcpus = 0; l->vcpus < bitmap_count(l->online, LEGACY_MAX_VCPUS) && !rc; l->vcpus++) {
        r->file.item_at = r->file.at;
        rc = read_vcpu(r, e);
    }
    l->vcpu_tail.len_bytes = r->file.at - l->vcpu_tail.at;
    return rc;
}

static int read_pv_tail(struct legacy_reader *r, struct err *e)
{
    struct legacy *l = r->l;
    uint32_t count;
    int rc = legacy_take_u32(r, &count, e);

    if (!rc && count > l->frame_count)
        rc = err_damaged(e, "its list of unmapped frames would have %u", count);
    if (!rc)
        rc = legacy_skip_pfns(r, count, &l->lost, "the list of unmapped frames", e);
    l->unmapped = rc ? 0 : count;
    if (!rc)
        rc = read_vcpus(r, e);
    if (rc)
        return rc;
    r->file.item_at = r->file.at;
    return skip_piece(r, PAGE_BYTES, &l->shared_info, e);
}

/* Of one kind of record the length is what the file has left. */
static int read_emulator(struct legacy_reader *r, struct err *e)
{
    char signature[SIGNATURE_BYTES];
    uint32_t len_bytes = 0;
    int rc;

    r->file.item_at = r->file.at;
    rc = file_take(&r->file, signature, sizeof(signature), e);
    if (rc)
        return rc;
    if (!memcmp(signature, "QemuDeviceModelRecord", SIGNATURE_BYTES)) {
        const uint64_t left_bytes = file_left_bytes(&r->file);

        len_bytes = left_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)left_bytes;
    } else if (!memcmp(signature, "DeviceModelRecord0002", SIGNATURE_BYTES) ||
               !memcmp(signature, "RemusDeviceModelState", SIGNATURE_BYTES)) {
        rc = legacy_take_u32(r, &len_bytes, e);
    } else {
        return err_damaged(e, "QEMU's state does not begin here");
    }
    if (!rc && (!len_bytes || len_bytes > MAX_EMULATOR_BYTES))
        rc = err_damaged(e, "QEMU's state would have %u bytes", len_bytes);
    return rc ? rc : skip_piece(r, len_bytes, &r->l->emulator, e);
}

static int read_hvm_tail(struct legacy_reader *r, struct err *e)
{
    static const uint8_t magic[] = {PARAM_IOREQ_PFN, PARAM_BUFIOREQ_PFN, PARAM_STORE_PFN};
    uint64_t pfns[3];
    uint32_t len_bytes;
    int rc = file_take(&r->file, pfns, sizeof(pfns), e);

    for (unsigned i = 0; i < 3 && !rc; i++)
        set_param(r->l, magic[i], pfns[i]);
    if (!rc && !param(r->l, PARAM_IOREQ_SERVER_PFN) != !param(r->l, PARAM_NR_IOREQ_SERVER_PAGES))
        rc = err_damaged(
            e, "of hvm_ioreq_server_pfn and hvm_nr_ioreq_server_pages there is only one");
    if (!rc)
        rc = legacy_take_u32(r, &len_bytes, e);
    if (!rc && (!len_bytes || len_bytes > MAX_CONTEXT_BYTES))
        rc = err_damaged(e, "its HVM context would have %u bytes", len_bytes);
    if (!rc)
        rc = skip_piece(r, len_bytes, &r->l->context, e);
    r->l->vcpus = (unsigned)bitmap_count(r->l->online, LEGACY_MAX_VCPUS);
    return rc ? rc : read_emulator(r, e);
}

/* ---- all of it ---- */

static int read_checkpoint(struct legacy_reader *r, struct err *e)
{
    int rc = read_chunks(r, e);

    if (rc)
        return rc;
    r->file.item_at = r->file.at;
    rc = r->l->guest_type == V3_GUEST_PV ? read_pv_tail(r, e) : read_hvm_tail(r, e);
    if (rc)
        return rc;
    r->l->checkpoints++;
    r->packed = r->l->chunks[-LEGACY_ENABLE_COMPRESSION];
    return 0;
}

static int check_whole(struct legacy_reader *r, struct err *e)
{
    r->file.item_at = r->file.at;
    if (file_left_bytes(&r->file))
        return err_damaged(e, "%" PRIu64 " bytes follow its end", file_left_bytes(&r->file));
    if (!r->l->data_pages)
        return err_damaged(e, "it ends without a page");
    if (!r->l->has_tsc)
        return err_damaged(e, "it ends without tsc_info");
    return r->l->vcpus ? 0 : err_damaged(e, "it ends without a vCPU");
}

static int read_all(struct legacy_reader *r, struct err *e)
{
    int rc = legacy_read_front(r, e);

    if (!rc)
        rc = legacy_read_head(r, e);
    if (rc)
        return rc;
    r->l->online[0] = 1;
    r->seen = bitmap_alloc(r->l->frame_count);
    r->batched = bitmap_alloc(r->l->frame_count);
    if (!r->seen || !r->batched)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    do
        rc = read_checkpoint(r, e);
    while (!rc && !r->last && file_left_bytes(&r->file));
    return rc ? rc : check_whole(r, e);
}

int legacy_walk(
    int fd, const char *path, struct legacy *l, const struct legacy_sink *sink, struct err *e)
{
    struct legacy_reader *r = calloc(1, sizeof(*r));
    int rc = r ? file_open(&r->file, fd, path, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    *l = (struct legacy){0};
    if (rc) {
        free(r);
        return rc;
    }
    l->file_bytes = r->file.file_bytes;
    r->l = l;
    r->sink = sink;
    rc = read_all(r, e);
    if (rc) {
        l->damage_at = r->file.item_at;
        err_prepend(e, "%s: at byte %" PRIu64, path, r->file.item_at);
    }
    file_close(&r->file);
    free(r->seen);
    free(r->batched);
    free(r->buffer);
    free(r->awaited);
    free(r);
    return rc;
}

/* ---- for its owner ---- */

bool legacy_is(int fd)
{
    struct file_reader r;
    uint8_t header[XL_FILE_HEADER_BYTES];
    struct xl_front front;
    struct err ignored = ERR_INIT;

    return !file_open(&r, fd, "", &ignored) && !file_take(&r, header, sizeof(header), &ignored) &&
           !xl_file_read_header(header, &front, &ignored) && !front.stream_v2;
}

int legacy_scan(int fd, const char *path, struct legacy *l, struct err *e)
{
    return legacy_walk(fd, path, l, NULL, e);
}

void legacy_clear(struct legacy *l)
{
    free(l->config);
    l->config = NULL;
}
