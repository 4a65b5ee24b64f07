/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/scan.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "cmd/xmigrate/image/file_reader.h"
#include "cmd/xmigrate/image/libxl_stream.h"
#include "transport/v3.h"
#include "transport/v3_stream.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBXC_MARK  UINT64_MAX
#define LIBXC_IDENT 0x58454e46u /* "XENF" */

enum { PAGE_SHIFT = 12, ENTRIES_AT_ONCE = 1024 };
enum { EMULATOR_UNKNOWN = 0, EMULATOR_UPSTREAM = 2 };
#define MAX_EMULATOR_BYTES (1u << 30)

struct reader {
    struct file_reader file;
    struct image *image;
    bool was_legacy; /* converted: an old stream does not name its device model */
    bool static_end, has_p2m, has_tsc;
    bool has_emulator; /* a record of its, which may not have been the one with its state */
};

/* Bodies are filled up to 8 bytes with zeros. */
static int take_padding(struct reader *r, uint64_t body_bytes, struct err *e)
{
    uint8_t pad[8] = {0};
    const size_t n = (size_t)(-body_bytes & 7);
    int rc = file_take(&r->file, pad, n, e);

    for (size_t i = 0; i < n && !rc; i++)
        if (pad[i])
            rc = err_damaged(e, "a record is filled up with other bytes than zeros");
    return rc;
}

/* libxl's and libxc's begin with the same two words. */
static int take_record_header(struct reader *r, uint32_t *type, uint32_t *len_bytes, struct err *e)
{
    uint8_t h[LIBXL_RECORD_HEADER_BYTES];

    r->file.item_at = r->file.at;

    const int rc = file_take(&r->file, h, sizeof(h), e);

    if (rc)
        return rc;
    *type = get_le32(h);
    *len_bytes = get_le32(h + 4);
    return 0;
}

/* ---- xl's front, and libxl's header ---- */

static int read_front(struct reader *r, struct err *e)
{
    uint8_t header[XL_FILE_HEADER_BYTES];
    struct xl_front front;
    int rc = file_take(&r->file, header, sizeof(header), e);

    if (!rc)
        rc = xl_file_read_header(header, &front, e);
    if (rc)
        return rc;
    r->file.item_at = r->file.at;
    rc = file_take_body(&r->file, front.optional_bytes, e);
    if (!rc)
        rc = xl_file_keep_config(r->file.body, &front, &r->image->config, &r->image->note, e);
    r->image->config_is_text = !front.json;
    r->image->stream_bytes = r->file.at;
    if (!rc && !front.stream_v2)
        rc = err_set(e, ERR_REFUSED, EOPNOTSUPP, "it is of a Xen before 4.6");
    return rc;
}

static int read_libxl_header(struct reader *r, struct err *e)
{
    uint8_t h[LIBXL_HEADER_BYTES];
    int rc = file_take(&r->file, h, sizeof(h), e);

    if (rc)
        return rc;

    const uint32_t version = be32toh(get_le32(h + 8)), options = be32toh(get_le32(h + 12));

    if (be64toh(get_le64(h)) != LIBXL_IDENT)
        return err_damaged(e, "libxl's stream does not begin here");
    if (version != LIBXL_VERSION)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "libxl's stream has version %u", version);
    if (options & LIBXL_OPTION_BIG_ENDIAN)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "libxl's stream has the other byte order");
    r->was_legacy = options & LIBXL_OPTION_LEGACY;
    return options & ~(uint32_t)LIBXL_OPTION_LEGACY
               ? err_damaged(e, "libxl's stream has options that nobody knows (0x%x)", options)
               : 0;
}

/* ---- libxc's stream ---- */

static int read_libxc_headers(struct reader *r, struct err *e)
{
    uint8_t h[V3_IMAGE_HEADER_BYTES + V3_DOMAIN_HEADER_BYTES], *d = h + V3_IMAGE_HEADER_BYTES;
    struct image *m = r->image;
    int rc = file_take(&r->file, h, sizeof(h), e);

    if (rc)
        return rc;
    if (get_le64(h) != LIBXC_MARK || be32toh(get_le32(h + 8)) != LIBXC_IDENT)
        return err_damaged(e, "libxc's stream does not begin here");
    m->version = be32toh(get_le32(h + 12));
    if (m->version < 2 || m->version > 3)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "libxc's stream has version %u, and 2 and 3 are read", m->version);
    if (h[16] || h[17])
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "libxc's stream has the other byte order");
    m->guest_type = get_le32(d);
    if (m->guest_type != V3_GUEST_PV && m->guest_type != V3_GUEST_HVM)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "the guest is of a type that x86 does not have (%u)", m->guest_type);
    if ((get_le32(d + 4) & 0xffff) != PAGE_SHIFT)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "the guest's page size is not 4 KiB");
    m->xen_major = get_le32(d + 8);
    m->xen_minor = get_le32(d + 12);
    return 0;
}

static int check_entry(struct reader *r, uint64_t entry, uint64_t *data_pages, struct err *e)
{
    const uint64_t pfn = v3_entry_pfn(entry);
    const unsigned type = v3_entry_type(entry);

    if ((entry & V3_ENTRY_RESERVED_MASK) || !v3_type_is_known(type) || pfn >= WIRE_MAX_FRAMES)
        return err_damaged(e, "PAGE_DATA: 0x%016" PRIx64 " is no frame with a type", entry);
    *data_pages += v3_type_has_data(type);
    if (pfn > r->image->max_pfn)
        r->image->max_pfn = pfn;
    return 0;
}

static int read_entries(struct reader *r, uint32_t count, uint64_t *data_pages, struct err *e)
{
    uint64_t entries[ENTRIES_AT_ONCE];
    int rc = 0;

    while (count && !rc) {
        const uint32_t n = count < ENTRIES_AT_ONCE ? count : ENTRIES_AT_ONCE;

        rc = file_take(&r->file, entries, n * sizeof(entries[0]), e);
        for (uint32_t i = 0; i < n && !rc; i++)
            rc = check_entry(r, entries[i], data_pages, e);
        count -= n;
    }
    return rc;
}

static int read_pages(struct reader *r, uint32_t len_bytes, struct err *e)
{
    uint8_t front[8];
    uint64_t data_pages = 0;

    if (len_bytes < sizeof(front))
        return err_damaged(e, "PAGE_DATA of %u bytes", len_bytes);

    int rc = file_take(&r->file, front, sizeof(front), e);
    const uint64_t count = rc ? 0 : get_le32(front);

    if (!rc && (!count || get_le32(front + 4) || count > (len_bytes - sizeof(front)) / 8))
        rc = err_damaged(
            e, "PAGE_DATA of %u bytes says that it has %" PRIu64 " frames", len_bytes, count);
    if (!rc)
        rc = read_entries(r, (uint32_t)count, &data_pages, e);
    if (!rc && len_bytes != sizeof(front) + count * 8 + data_pages * PAGE_BYTES)
        rc = err_damaged(e,
            "PAGE_DATA of %u bytes has %" PRIu64 " frames, %" PRIu64 " with contents", len_bytes,
            count, data_pages);
    if (!rc)
        rc = file_skip(&r->file, data_pages * PAGE_BYTES, e);
    r->image->data_pages += data_pages;
    return rc;
}

static int read_pv_info(struct reader *r, size_t len_bytes, struct err *e)
{
    struct v3_pv_info info;
    const int rc = v3_decode_pv_info(r->file.body, len_bytes, &info, e);

    if (!rc)
        r->image->guest_width = info.guest_width;
    return rc;
}

static int read_vcpu(struct reader *r, uint32_t type, size_t len_bytes, struct err *e)
{
    struct v3_vcpu vcpu;
    const int rc = v3_decode_vcpu(type, r->file.body, len_bytes, r->image->guest_width, &vcpu, e);

    if (!rc && type == V3_X86_PV_VCPU_BASIC)
        r->image->vcpus++;
    return rc;
}

/* What another kind of guest has, and a PV guest's before its width is known. */
static int check_fits(const struct reader *r, uint32_t type, struct err *e)
{
    const bool pv = r->image->guest_type == V3_GUEST_PV;
    const bool is_pv = type >= V3_X86_PV_INFO && type <= V3_SHARED_INFO;
    const bool is_hvm = type == V3_HVM_CONTEXT || type == V3_HVM_PARAMS;

    if ((is_pv || type == V3_X86_PV_VCPU_MSRS) && !pv)
        return err_damaged(e, "%s in an HVM guest's stream", v3_name(type));
    if (is_hvm && pv)
        return err_damaged(e, "%s in a PV guest's stream", v3_name(type));
    if ((is_pv || type == V3_X86_PV_VCPU_MSRS) && type != V3_X86_PV_INFO && !r->image->guest_width)
        return err_damaged(e, "%s before X86_PV_INFO", v3_name(type));
    return 0;
}

static int decode_state(struct reader *r, uint32_t type, size_t len_bytes, struct err *e)
{
    struct v3_p2m_frames frames;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    struct v3_tsc_info tsc;

    switch (type) {
    case V3_X86_PV_INFO:
        return read_pv_info(r, len_bytes, e);
    case V3_X86_PV_P2M_FRAMES:
        r->has_p2m = true;
        return v3_decode_p2m_frames(
            r->file.body, len_bytes, false, r->image->guest_width, &frames, e);
    case V3_X86_PV_VCPU_BASIC:
    case V3_X86_PV_VCPU_EXTENDED:
    case V3_X86_PV_VCPU_XSAVE:
    case V3_X86_PV_VCPU_MSRS:
        return read_vcpu(r, type, len_bytes, e);
    case V3_X86_TSC_INFO:
        r->has_tsc = true;
        return v3_decode_tsc_info(r->file.body, len_bytes, &tsc, e);
    case V3_HVM_PARAMS:
        return v3_decode_hvm_params(r->file.body, len_bytes, params, e) < 0 ? -e->code : 0;
    case V3_KERNEL_NOTES:
        return kernel_notes_decode(r->file.body, len_bytes, &r->image->kernel, e);
    case V3_STATIC_DATA_END:
        r->static_end = true;
        return v3_check_blob(type, len_bytes, e);
    default:
        return v3_check_blob(type, len_bytes, e);
    }
}

/* A state record: whole, into memory. */
static int read_state(struct reader *r, uint32_t type, uint32_t len_bytes, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = check_fits(r, type, e);

    if (!rc)
        rc = file_take_body(&r->file, len_bytes, e);
    if (rc || !decode_state(r, type, len_bytes, &why))
        return rc;
    return err_set(e, ERR_REFUSED, EBADMSG, "%s", why.text);
}

static int read_libxc_record(struct reader *r, bool *end, struct err *e)
{
    uint32_t type, len_bytes;
    int rc = take_record_header(r, &type, &len_bytes, e);

    if (rc)
        return rc;
    r->image->records++;
    *end = type == V3_END;
    if (v3_is_skipped(type))
        rc = file_skip(&r->file, len_bytes, e);
    else if (v3_limit_bytes(type) < 0)
        rc = err_set(e, ERR_REFUSED, EOPNOTSUPP, "libxc's record 0x%x is not known", type);
    else if (len_bytes > v3_limit_bytes(type))
        rc = err_damaged(e, "%s of %u bytes", v3_name(type), len_bytes);
    else if (type == V3_CHECKPOINT || type == V3_CHECKPOINT_DIRTY_PFN_LIST)
        rc = err_set(e, ERR_REFUSED, EOPNOTSUPP, "it is the stream of a Remus or COLO pair");
    else if (type == V3_PAGE_DATA)
        rc = read_pages(r, len_bytes, e);
    else if (type == V3_TOOLSTACK)
        rc = file_skip(&r->file, len_bytes, e);
    else
        rc = read_state(r, type, len_bytes, e);
    return rc ? rc : take_padding(r, len_bytes, e);
}

static int check_libxc_whole(const struct reader *r, struct err *e)
{
    const struct image *m = r->image;

    if (m->version >= 3 && !r->static_end)
        return err_damaged(e, "libxc's stream ends without STATIC_DATA_END");
    if (!m->data_pages)
        return err_damaged(e, "libxc's stream ends without a page");
    if (!r->has_tsc)
        return err_damaged(e, "libxc's stream ends without X86_TSC_INFO");
    if (m->guest_type == V3_GUEST_PV && (!r->has_p2m || !m->vcpus))
        return err_damaged(e, "libxc's stream ends without what a PV guest needs");
    return 0;
}

static int read_libxc(struct reader *r, struct err *e)
{
    bool end = false;

    r->file.item_at = r->file.at;

    int rc = read_libxc_headers(r, e);

    while (!rc && !end)
        rc = read_libxc_record(r, &end, e);
    return rc ? rc : check_libxc_whole(r, e);
}

/* ---- libxl's records ---- */

static int read_emulator(struct reader *r, uint32_t type, uint32_t len_bytes, struct err *e)
{
    uint8_t which[LIBXL_EMULATOR_BYTES];

    if (len_bytes < sizeof(which) || len_bytes > MAX_EMULATOR_BYTES)
        return err_damaged(e, "a device model's record of %u bytes", len_bytes);

    int rc = file_take(&r->file, which, sizeof(which), e);

    r->has_emulator = true;
    if (!rc && get_le32(which) != EMULATOR_UPSTREAM &&
        !(r->was_legacy && get_le32(which) == EMULATOR_UNKNOWN))
        rc = err_set(e, ERR_REFUSED, EOPNOTSUPP, "its device model (%u) is not upstream QEMU",
            get_le32(which));
    if (!rc && type == LIBXL_EMULATOR_CONTEXT)
        r->image->emulator_bytes += len_bytes - sizeof(which);
    return rc ? rc : file_skip(&r->file, len_bytes - sizeof(which), e);
}

static int read_libxl_record(struct reader *r, bool *end, struct err *e)
{
    uint32_t type, len_bytes;
    int rc = take_record_header(r, &type, &len_bytes, e);

    if (rc)
        return rc;
    switch (type) {
    case LIBXL_END:
        *end = true;
        return len_bytes ? err_damaged(e, "libxl's END has %u bytes", len_bytes) : 0;
    case LIBXL_LIBXC_CONTEXT:
        if (len_bytes || r->image->version)
            return err_damaged(e, "libxl's LIBXC_CONTEXT is not where it should be");
        return read_libxc(r, e);
    case LIBXL_EMULATOR_XENSTORE:
    case LIBXL_EMULATOR_CONTEXT:
        rc = read_emulator(r, type, len_bytes, e);
        return rc ? rc : take_padding(r, len_bytes, e);
    case LIBXL_CHECKPOINT_END:
    case LIBXL_CHECKPOINT_STATE:
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "it is the stream of a Remus or COLO pair");
    default:
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "libxl's record 0x%x is not known", type);
    }
}

static int read_all(struct reader *r, struct err *e)
{
    bool end = false;
    int rc = read_front(r, e);

    r->file.item_at = rc ? r->file.item_at : r->file.at;
    if (!rc)
        rc = read_libxl_header(r, e);
    while (!rc && !end)
        rc = read_libxl_record(r, &end, e);
    if (!rc && !r->image->version)
        rc = err_damaged(e, "the stream ends without a guest");
    if (!rc && r->has_emulator && !r->image->emulator_bytes)
        rc = err_damaged(e, "the stream ends without the device model's state");
    if (!rc && file_left_bytes(&r->file)) {
        r->file.item_at = r->file.at;
        rc = err_damaged(e, "%" PRIu64 " bytes follow its end", file_left_bytes(&r->file));
    }
    return rc;
}

/* ---- for its owner ---- */

static int scan(int fd, const char *path, struct image *image,
    int (*read)(struct reader *r, struct err *e), struct err *e)
{
    struct reader r = {.image = image};

    *image = (struct image){0};
    if (file_open(&r.file, fd, path, e))
        return -e->code;
    image->file_bytes = r.file.file_bytes;

    const int rc = read(&r, e);

    file_close(&r.file);
    if (rc) {
        image->damage_at = r.file.item_at;
        err_prepend(e, "%s: at byte %" PRIu64, path, r.file.item_at);
    }
    return rc;
}

int image_scan(int fd, const char *path, struct image *image, struct err *e)
{
    return scan(fd, path, image, read_all, e);
}

int image_read_front(int fd, const char *path, struct image *image, struct err *e)
{
    return scan(fd, path, image, read_front, e);
}

void image_clear(struct image *image)
{
    free(image->config);
    image->config = NULL;
}

/* A FIFO without a writer would be waited for. */
int image_open(const char *path, struct err *e)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_sys(e, ERR_REFUSED, errno, "%s", path);
    if (!fstat(fd, &st) && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return err_set(e, ERR_REFUSED, EINVAL, "%s is not a regular file", path);
}
