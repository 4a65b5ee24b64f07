/* SPDX-License-Identifier: MIT */
/* libxc's plain stream: what we write is byte for byte the format, what we read is checked, and
 * nothing is read ahead. */
#include "base/bytes.h"
#include "base/deadline.h"
#include "transport/pages.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    int fd; /* a file: what was written to it can be read from any place */
    struct v3_stream s;
    struct err e;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->fd = memfd_create("stream", MFD_CLOEXEC);
    assert_true(f->fd >= 0);
    v3_stream_init(&f->s, f->fd, NULL, NS_PER_S, "the stream");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    v3_stream_destroy(&f->s);
    close(f->fd);
    free(f);
    return 0;
}

/* The file holds exactly these bytes, and is read from its start. */
static void put(struct fixture *f, const void *bytes, size_t len_bytes)
{
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(pwrite(f->fd, bytes, len_bytes, 0), len_bytes);
    assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
}

static void assert_refuses(struct fixture *f, int rc, const char *because)
{
    assert_true(rc < 0);
    assert_int_equal(f->e.class, ERR_PEER);
    if (!strstr(f->e.text, because))
        fail_msg("'%s' does not say '%s'", f->e.text, because);
    f->e = (struct err)ERR_INIT;
}

static const uint8_t image_and_domain[40] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* marker */
    'X', 'E', 'N', 'F', 0, 0, 0, 3,                 /* id, version: big-endian */
    0, 0, 0, 0, 0, 0, 0, 0,                         /* options, reserved */
    2, 0, 0, 0, 12, 0, 0, 0,                        /* HVM, page shift */
    4, 0, 0, 0, 17, 0, 0, 0,                        /* Xen 4.17 */
};

static void test_headers_are_what_xen_writes(void **state)
{
    struct fixture *f = *state;
    struct v3_headers h = {.guest_type = V3_GUEST_HVM, .xen_major = 4, .xen_minor = 17};
    uint8_t bytes[41];

    assert_int_equal(v3_write_headers(&f->s, &h, &f->e), 0);
    assert_int_equal(pread(f->fd, bytes, sizeof(bytes), 0), 40);
    assert_memory_equal(bytes, image_and_domain, 40);
    assert_int_equal(f->s.moved_bytes, 40);

    put(f, image_and_domain, 40);
    memset(&h, 0, sizeof(h));
    assert_int_equal(v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(h.version, 3);
    assert_int_equal(h.guest_type, V3_GUEST_HVM);
    assert_int_equal(h.xen_major, 4);
    assert_int_equal(h.xen_minor, 17);
}

static void test_version_2_is_read_others_are_not(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[40];
    struct v3_headers h;

    memcpy(bytes, image_and_domain, 40);
    bytes[15] = 2;
    put(f, bytes, 40);
    assert_int_equal(v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(h.version, 2);
    bytes[15] = 1;
    put(f, bytes, 40);
    assert_refuses(f, v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), "version 1");
    bytes[15] = 4;
    put(f, bytes, 40);
    assert_refuses(f, v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), "version 4");
}

static void test_other_headers_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned at;
        uint8_t value;
        const char *because;
    } spoiled[] = {
        {7, 0, "convert-legacy-stream"},
        {8, 'Y', "not a Xen migration stream"},
        {17, 1, "big-endian"},
        {24, 0, "guest type 0"},
        {24, 3, "guest type 3"},
        {28, 13, "2^13"},
    };
    struct v3_headers h;

    for (unsigned i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
        uint8_t bytes[40];

        memcpy(bytes, image_and_domain, 40);
        bytes[spoiled[i].at] = spoiled[i].value;
        put(f, bytes, 40);
        assert_refuses(f, v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), spoiled[i].because);
    }
    for (unsigned cut = 0; cut < 40; cut++) {
        put(f, image_and_domain, cut);
        assert_refuses(f, v3_read_headers(&f->s, &h, DEADLINE_NEVER, &f->e), "the stream: the ");
    }
}

static void test_records_are_padded_and_read_without_reading_ahead(void **state)
{
    struct fixture *f = *state;
    static const uint8_t expected[] = {7, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0};
    uint8_t one[] = {1, 2}, two[] = {3, 4, 5}, bytes[64];
    struct v3_record record;

    assert_int_equal(v3_write_record(&f->s, V3_SHARED_INFO,
                         (struct iovec[]){{one, sizeof(one)}, {two, sizeof(two)}}, 2, &f->e),
        0);
    assert_int_equal(pread(f->fd, bytes, sizeof(bytes), 0), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(v3_write_record(&f->s, V3_END, NULL, 0, &f->e), 0);
    assert_int_equal(pwrite(f->fd, "libxl's", 7, 24), 7);

    lseek(f->fd, 0, SEEK_SET);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_SHARED_INFO);
    assert_int_equal(record.len_bytes, 5);
    assert_memory_equal(record.body, "\1\2\3\4\5", 5);
    assert_int_equal((uintptr_t)record.body % 8, 0);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_END);
    assert_int_equal(lseek(f->fd, 0, SEEK_CUR), 24);
}

static void test_a_stream_that_ends_early_is_an_error(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[] = {7, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0};
    struct v3_record record;

    for (unsigned cut = 0; cut < sizeof(bytes); cut++) {
        put(f, bytes, cut);
        assert_refuses(f, v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), "the stream");
    }
}

/* A record of 3 MiB and 16 bytes; the next one is not touched. */
static void test_a_long_p2m_list_comes_in_parts(void **state)
{
    struct fixture *f = *state;
    const size_t total = (3 << 20) + 16;
    uint8_t *bytes = calloc(1, 8 + total + 16);
    struct v3_record record;
    size_t at = 0;

    put_le32(bytes, V3_X86_PV_P2M_FRAMES);
    put_le32(bytes + 4, (uint32_t)total);
    for (size_t i = 0; i < total; i++)
        bytes[8 + i] = (uint8_t)(i * 2654435761u >> 24);
    put_le32(bytes + 8 + total, V3_VERIFY);
    put(f, bytes, 8 + total + 8);
    f->s.in_parts = true;
    do {
        assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
        assert_int_equal(record.type, V3_X86_PV_P2M_FRAMES);
        assert_memory_equal(record.body, bytes + 8 + at, record.len_bytes);
        at += record.len_bytes;
    } while (record.more);
    assert_int_equal(at, total);
    assert_true(f->s.cap_bytes <= 1 << 20);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_VERIFY);
    assert_false(record.more);
    free(bytes);
}

static void test_unknown_records_are_skipped_only_when_optional(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[32] = {0x42, 0, 0, 0x80, 9, 0, 0, 0, [24] = V3_VERIFY};
    struct v3_record record;

    put(f, bytes, 32);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_VERIFY);
    bytes[3] = 0;
    put(f, bytes, 32);
    assert_refuses(f, v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), "0x42");
}

static void test_lengths_are_checked_before_anything_is_read(void **state)
{
    struct fixture *f = *state;
    struct v3_record record;

    for (uint32_t type = 0; type <= V3_X86_MSR_POLICY; type++) {
        uint8_t header[8];

        put_le32(header, type);
        put_le32(header + 4, (uint32_t)v3_limit_bytes(type) + 1);
        put(f, header, 8);
        assert_refuses(f, v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), v3_name(type));
        assert_int_equal(f->s.cap_bytes, 0);
    }
}

static void test_page_data_is_what_xen_writes(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = V3_MAX_BATCH_PAGES };
    uint8_t *memory = malloc(COUNT * PAGE_BYTES);
    uint64_t entries[COUNT];
    const void *pages[COUNT];
    struct v3_record record;
    struct v3_page_data got;
    unsigned data_pages = 0;

    for (size_t i = 0; i < COUNT * (size_t)PAGE_BYTES; i++)
        memory[i] = (uint8_t)(i * 2654435761u >> 24);
    for (unsigned i = 0; i < COUNT; i++) {
        /* Some without content, some next to each other in memory, some not, PFNs falling. */
        entries[i] = v3_entry(5000 - i, i % 10 == 3 ? 0xf0000000 : i % 7 == 1 ? 0x90000000 : 0);
        pages[i] = i % 10 == 3 ? NULL : memory + (size_t)(i % 5 == 0 ? COUNT - 1 - i : i) * 4096;
    }
    assert_int_equal(v3_write_pages(&f->s, entries, pages, COUNT, &f->e), 0);
    assert_int_equal(v3_write_pages(&f->s, entries, pages, COUNT + 1, &f->e), -EINVAL);
    assert_int_equal(f->e.class, ERR_INTERNAL);
    f->e = (struct err)ERR_INIT;

    lseek(f->fd, 0, SEEK_SET);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_PAGE_DATA);
    assert_int_equal(v3_decode_page_data(record.body, record.len_bytes, 5001, &got, &f->e), 0);
    assert_int_equal(got.count, COUNT);
    assert_memory_equal(got.entries, entries, sizeof(entries));
    for (unsigned i = 0; i < COUNT; i++)
        if (pages[i])
            assert_memory_equal(
                got.pages + (size_t)data_pages++ * PAGE_BYTES, pages[i], PAGE_BYTES);
    assert_int_equal(got.data_pages, data_pages);
    assert_int_equal(lseek(f->fd, 0, SEEK_CUR), 8 + 8 + COUNT * 8 + data_pages * 4096);
    assert_refuses(f, v3_decode_page_data(record.body, record.len_bytes, 5000, &got, &f->e),
        "beyond the guest's last frame");
    free(memory);
}

/* Pages go where they belong, and what follows them stays on the descriptor. */
static void test_contents_are_read_apart_from_their_entries(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = V3_MAX_BATCH_PAGES };
    static uint8_t memory[COUNT][PAGE_BYTES], got[COUNT][PAGE_BYTES];
    static struct iovec parts[COUNT];
    uint64_t entries[COUNT];
    const void *pages[COUNT];
    struct v3_record record;
    struct v3_page_data p;

    for (unsigned i = 0; i < COUNT; i++) {
        memset(memory[i], (int)(i % 251), PAGE_BYTES);
        entries[i] = v3_entry(i, 0);
        pages[i] = memory[i];
        parts[i] = (struct iovec){got[COUNT - 1 - i], PAGE_BYTES};
    }
    assert_int_equal(v3_write_pages(&f->s, entries, pages, COUNT, &f->e), 0);
    assert_int_equal(v3_write_record(&f->s, V3_END, NULL, 0, &f->e), 0);
    lseek(f->fd, 0, SEEK_SET);
    f->s.pages_apart = true;
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(f->s.contents_bytes, sizeof(memory));
    assert_int_equal(v3_decode_page_entries(
                         record.body, record.len_bytes, f->s.contents_bytes, COUNT, &p, &f->e),
        0);
    assert_memory_equal(p.entries, entries, sizeof(entries));
    assert_int_equal(v3_read_contents(&f->s, parts, COUNT - 1, &f->e), 0);
    /* Not before all of them are taken, and no more than there are. */
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), -EBUSY);
    f->e = (struct err)ERR_INIT;
    assert_int_equal(
        v3_read_contents(&f->s, &(struct iovec){got, 2 * PAGE_BYTES}, 1, &f->e), -EMSGSIZE);
    f->e = (struct err)ERR_INIT;
    assert_int_equal(v3_read_contents(&f->s, &(struct iovec){got[0], PAGE_BYTES}, 1, &f->e), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_memory_equal(got[COUNT - 1 - i], memory[i], PAGE_BYTES);
    assert_int_equal(v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(record.type, V3_END);
}

static void test_entries_that_do_not_fit_their_contents_are_refused(void **state)
{
    struct fixture *f = *state;
    const uint64_t body[] = {2, v3_entry(1, 0), v3_entry(2, 0)};
    struct v3_page_data p;

    assert_int_equal(v3_decode_page_entries(body, sizeof(body), 2 * PAGE_BYTES, 3, &p, &f->e), 0);
    for (uint64_t more = 0; more < 4 * PAGE_BYTES; more += PAGE_BYTES / 2)
        if (more != 2 * PAGE_BYTES)
            assert_refuses(
                f, v3_decode_page_entries(body, sizeof(body), more, 3, &p, &f->e), "bytes");
    for (size_t len = 0; len < sizeof(body); len++)
        assert_refuses(
            f, v3_decode_page_entries(body, len, 2 * PAGE_BYTES, 3, &p, &f->e), "bad PAGE_DATA");
    /* Cut anywhere. */
    f->s.pages_apart = true;
    for (uint32_t len = 0; len < 16 + 8; len++) {
        const uint32_t head[] = {V3_PAGE_DATA, 16 + PAGE_BYTES};
        uint8_t bytes[24] = {0};
        struct v3_record record;

        memcpy(bytes, head, sizeof(head));
        bytes[8] = 1;
        put(f, bytes, len);
        assert_refuses(f, v3_read_record(&f->s, &record, DEADLINE_NEVER, &f->e), "the stream");
    }
}

static void test_bad_page_data_is_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t words[2 + 512] = {1, 0x1234};
    struct v3_page_data got;
    const size_t right = 16 + PAGE_BYTES;

    assert_int_equal(v3_decode_page_data(words, right, 1 << 20, &got, &f->e), 0);
    for (size_t len = 0; len < right; len++)
        assert_refuses(f, v3_decode_page_data(words, len, 1 << 20, &got, &f->e), "bad PAGE_DATA");
    assert_refuses(f, v3_decode_page_data(words, right + 8, 1 << 20, &got, &f->e), "bytes");
    words[0] = 0;
    assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "no pages");
    words[0] = 0xffffffff;
    assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "bytes");
    words[0] = 1ull << 32 | 1;
    assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "reserved");
    words[0] = 1;
    for (unsigned bit = 52; bit < 60; bit++) {
        words[1] = 1ull << bit | 0x1234;
        assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "reserved");
    }
    for (uint64_t type = 5; type <= 8; type++) {
        words[1] = type << 60 | 0x1234;
        assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "not known");
    }
    words[1] = 0xfull << 60 | 0x1234; /* has no content, so the page is too much */
    assert_refuses(f, v3_decode_page_data(words, right, 1 << 20, &got, &f->e), "bytes");
}

static void test_page_types_are_as_xen_defines_them(void **state)
{
    static const char with_data[] = "1111100001111000";
    static const char populated[] = "1111100001111010";
    static const char levels[] = "0123400001234000";

    (void)state;
    for (unsigned type = 0; type < 16; type++) {
        assert_int_equal(v3_type_is_known(type), type < 5 || type > 8);
        assert_int_equal(v3_type_has_data(type), with_data[type] - '0');
        assert_int_equal(v3_type_is_populated(type), populated[type] - '0');
        assert_int_equal(v3_type_table_level(type), levels[type] - '0');
        assert_int_equal(v3_entry_pfinfo(v3_entry(77, type << 28)), type << 28);
        assert_int_equal(v3_entry_type(v3_entry(77, type << 28)), type);
        assert_int_equal(v3_entry_pfn(v3_entry(77, type << 28)), 77);
    }
}

static void test_pv_info(void **state)
{
    struct fixture *f = *state;
    uint8_t body[8];
    struct v3_pv_info info;

    v3_encode_pv_info(&(struct v3_pv_info){.guest_width = 8, .pt_levels = 4}, body);
    assert_memory_equal(body, "\10\4\0\0\0\0\0", 8);
    assert_int_equal(v3_decode_pv_info(body, 8, &info, &f->e), 0);
    assert_int_equal(info.guest_width, 8);
    assert_int_equal(info.pt_levels, 4);
    assert_int_equal(v3_decode_pv_info("\4\3\0\0\0\0\0", 8, &info, &f->e), 0);
    assert_refuses(f, v3_decode_pv_info("\4\4\0\0\0\0\0", 8, &info, &f->e), "guest width 4");
    assert_refuses(f, v3_decode_pv_info("\2\4\0\0\0\0\0", 8, &info, &f->e), "guest width 2");
    assert_refuses(f, v3_decode_pv_info("\10\4\0\0\0\0\1", 8, &info, &f->e), "reserved");
    assert_refuses(f, v3_decode_pv_info(body, 7, &info, &f->e), "7 bytes");
}

static void test_p2m_frames(void **state)
{
    struct fixture *f = *state;
    uint64_t words[5];
    struct v3_p2m_frames frames;

    assert_int_equal(v3_p2m_frame_count(0, 511, 8), 1);
    assert_int_equal(v3_p2m_frame_count(0, 512, 8), 2);
    assert_int_equal(v3_p2m_frame_count(511, 512, 8), 2);
    assert_int_equal(v3_p2m_frame_count(0, 1023, 4), 1);
    assert_int_equal(v3_p2m_frame_count(0, UINT32_MAX, 8), 1ull << 23);

    v3_encode_p2m_frames(500, 1600, (uint8_t *)words);
    for (uint64_t i = 1; i < 5; i++)
        words[i] = i << 40;
    assert_int_equal(v3_decode_p2m_frames(words, 40, false, 8, &frames, &f->e), 0);
    assert_int_equal(frames.start_pfn, 500);
    assert_int_equal(frames.end_pfn, 1600);
    assert_int_equal(frames.count, 4);
    assert_int_equal(frames.pfns[3], 4ull << 40);
    assert_refuses(f, v3_decode_p2m_frames(words, 39, false, 8, &frames, &f->e), "39 bytes");
    assert_refuses(f, v3_decode_p2m_frames(words, 32, false, 8, &frames, &f->e), "32 bytes");
    assert_refuses(f, v3_decode_p2m_frames(words, 7, false, 8, &frames, &f->e), "7 bytes");
    assert_refuses(f, v3_decode_p2m_frames(words, 40, false, 4, &frames, &f->e), "40 bytes");
    v3_encode_p2m_frames(0, UINT32_MAX, (uint8_t *)words);
    assert_refuses(f, v3_decode_p2m_frames(words, 40, false, 8, &frames, &f->e), "40 bytes");
    v3_encode_p2m_frames(2, 1, (uint8_t *)words);
    assert_refuses(
        f, v3_decode_p2m_frames(words, 16, false, 8, &frames, &f->e), "from pfn 0x2 to 0x1");
}

static void test_vcpu_records(void **state)
{
    struct fixture *f = *state;
    uint8_t body[8 + V3_VCPU_BASIC_64_BYTES + 8] = {0};
    struct v3_vcpu vcpu;
    static const struct {
        uint32_t type;
        unsigned width;
        size_t blob_bytes;
        bool right;
    } cases[] = {
        {V3_X86_PV_VCPU_BASIC, 8, 0x1430, true},
        {V3_X86_PV_VCPU_BASIC, 8, 0x1431, false},
        {V3_X86_PV_VCPU_BASIC, 8, 0xaf0, false},
        {V3_X86_PV_VCPU_BASIC, 4, 0xaf0, true},
        {V3_X86_PV_VCPU_BASIC, 4, 0x1430, false},
        {V3_X86_PV_VCPU_EXTENDED, 8, 128, true},
        {V3_X86_PV_VCPU_EXTENDED, 8, 129, false},
        {V3_X86_PV_VCPU_XSAVE, 8, 16, true},
        {V3_X86_PV_VCPU_XSAVE, 8, 15, false},
        {V3_X86_PV_VCPU_MSRS, 8, 32, true},
        {V3_X86_PV_VCPU_MSRS, 8, 33, false},
        {V3_X86_PV_VCPU_MSRS, 8, 0, true},
        {V3_X86_PV_VCPU_XSAVE, 8, 0, true},
        {V3_SHARED_INFO, 8, 16, false},
    };

    v3_encode_vcpu(5, body);
    body[8] = 0xaa;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int rc = v3_decode_vcpu(
            cases[i].type, body, 8 + cases[i].blob_bytes, cases[i].width, &vcpu, &f->e);

        if (cases[i].right) {
            assert_int_equal(rc, 0);
            assert_int_equal(vcpu.vcpu_id, 5);
            assert_int_equal(vcpu.blob_bytes, cases[i].blob_bytes);
            assert_ptr_equal(vcpu.blob, body + 8);
        } else {
            assert_refuses(f, rc, "bytes");
        }
    }
    assert_refuses(f, v3_decode_vcpu(V3_X86_PV_VCPU_MSRS, body, 7, 8, &vcpu, &f->e), "7 bytes");
    v3_encode_vcpu(V3_MAX_VCPUS, body);
    assert_refuses(f, v3_decode_vcpu(V3_X86_PV_VCPU_MSRS, body, 8, 8, &vcpu, &f->e), "vcpu 8192");
    v3_encode_vcpu(0, body);
    body[4] = 1;
    assert_refuses(f, v3_decode_vcpu(V3_X86_PV_VCPU_MSRS, body, 8, 8, &vcpu, &f->e), "reserved");
}

static void test_tsc_info(void **state)
{
    struct fixture *f = *state;
    const struct v3_tsc_info tsc = {2, 2400000, 0x123456789abcdef0, 3};
    struct v3_tsc_info got;
    uint8_t body[32] = {0};

    v3_encode_tsc_info(&tsc, body);
    assert_int_equal(get_le32(body), 2);
    assert_int_equal(get_le64(body + 8), 0x123456789abcdef0);
    assert_int_equal(v3_decode_tsc_info(body, 24, &got, &f->e), 0);
    assert_int_equal(got.mode, 2);
    assert_int_equal(got.khz, 2400000);
    assert_int_equal(got.nsec, tsc.nsec);
    assert_int_equal(got.incarnation, 3);
    assert_refuses(f, v3_decode_tsc_info(body, 23, &got, &f->e), "23 bytes");
    assert_refuses(f, v3_decode_tsc_info(body, 25, &got, &f->e), "25 bytes");
    body[20] = 1;
    assert_refuses(f, v3_decode_tsc_info(body, 24, &got, &f->e), "reserved");
}

static void test_hvm_params(void **state)
{
    struct fixture *f = *state;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS], got[V3_MAX_HVM_PARAMS];
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES + 16];

    for (unsigned i = 0; i < V3_MAX_HVM_PARAMS; i++)
        params[i] = (struct v3_hvm_param){i, ~(uint64_t)i};
    assert_int_equal(v3_encode_hvm_params(params, V3_MAX_HVM_PARAMS, body), 8 + 256 * 16);
    assert_int_equal(v3_decode_hvm_params(body, 8 + 256 * 16, got, &f->e), 256);
    assert_memory_equal(got, params, sizeof(params));
    assert_int_equal(v3_encode_hvm_params(params, 2, body), 40);
    assert_int_equal(v3_decode_hvm_params(body, 40, got, &f->e), 2);
    assert_refuses(f, v3_decode_hvm_params(body, 39, got, &f->e), "39 bytes");
    assert_refuses(f, v3_decode_hvm_params(body, 56, got, &f->e), "56 bytes");
    assert_refuses(f, v3_decode_hvm_params(body, 7, got, &f->e), "7 bytes");
    put_le32(body + 4, 1);
    assert_refuses(f, v3_decode_hvm_params(body, 40, got, &f->e), "reserved");
    put_le32(body + 4, 0);
    put_le32(body, 257);
    assert_refuses(f, v3_decode_hvm_params(body, 8 + 257 * 16, got, &f->e), "257");
    put_le32(body, 0x10000001);
    assert_refuses(f, v3_decode_hvm_params(body, 24, got, &f->e), "268435457");
    put_le32(body, 0);
    assert_int_equal(v3_decode_hvm_params(body, 8, got, &f->e), 0);
}

/* Xen would get a ring's parameter that nobody took for one. */
static void test_hvm_params_beyond_32_bits_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct v3_hvm_param ring = {1ull << 32 | 17, 0x1234};
    struct v3_hvm_param got[V3_MAX_HVM_PARAMS];
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];

    assert_int_equal(v3_encode_hvm_params(&ring, 1, body), 24);
    assert_refuses(f, v3_decode_hvm_params(body, 24, got, &f->e), "cannot have");
}

static void test_lengths_of_blobs(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t type;
        size_t right, wrong;
    } cases[] = {
        {V3_SHARED_INFO, 4096, 4095},
        {V3_HVM_CONTEXT, 1, 0},
        {V3_X86_CPUID_POLICY, 48, 47},
        {V3_X86_CPUID_POLICY, 24, 0},
        {V3_X86_MSR_POLICY, 16, 8},
        {V3_X86_MSR_POLICY, 32, 0},
        {V3_STATIC_DATA_END, 0, 1},
        {V3_VERIFY, 0, 8},
        {V3_END, 0, 8},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(v3_check_blob(cases[i].type, cases[i].right, &f->e), 0);
        assert_refuses(
            f, v3_check_blob(cases[i].type, cases[i].wrong, &f->e), v3_name(cases[i].type));
    }
}

/* A pipe nobody reads, and one nobody writes. */
static void test_a_stream_that_stands_still_times_out(void **state)
{
    struct fixture *f = *state;
    struct v3_record record;
    struct v3_stream s;
    uint8_t *big = calloc(1, 1 << 20);
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    v3_stream_init(&s, fds[1], NULL, 20 * NS_PER_MS, "the pipe");
    assert_int_equal(
        v3_write_record(&s, V3_HVM_CONTEXT, &(struct iovec){big, 1 << 20}, 1, &f->e), -ETIMEDOUT);
    assert_refuses(f, -ETIMEDOUT, "the pipe");
    close(fds[0]);
    close(fds[1]);

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    v3_stream_init(&s, fds[0], NULL, 20 * NS_PER_MS, "the pipe");
    assert_int_equal(v3_read_record(&s, &record, deadline_in(20 * NS_PER_MS), &f->e), -ETIMEDOUT);
    f->e = (struct err)ERR_INIT;
    assert_int_equal(write(fds[1], "\7\0\0\0\5\0\0\0", 8), 8);
    assert_int_equal(v3_read_record(&s, &record, DEADLINE_NEVER, &f->e), -ETIMEDOUT);
    v3_stream_destroy(&s);
    close(fds[0]);
    close(fds[1]);
    free(big);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_headers_are_what_xen_writes),
        TEST(test_version_2_is_read_others_are_not),
        TEST(test_other_headers_are_refused),
        TEST(test_records_are_padded_and_read_without_reading_ahead),
        TEST(test_a_stream_that_ends_early_is_an_error),
        TEST(test_a_long_p2m_list_comes_in_parts),
        TEST(test_unknown_records_are_skipped_only_when_optional),
        TEST(test_lengths_are_checked_before_anything_is_read),
        TEST(test_page_data_is_what_xen_writes),
        TEST(test_contents_are_read_apart_from_their_entries),
        TEST(test_entries_that_do_not_fit_their_contents_are_refused),
        TEST(test_bad_page_data_is_refused),
        TEST(test_page_types_are_as_xen_defines_them),
        TEST(test_pv_info),
        TEST(test_p2m_frames),
        TEST(test_vcpu_records),
        TEST(test_tsc_info),
        TEST(test_hvm_params),
        TEST(test_hvm_params_beyond_32_bits_are_refused),
        TEST(test_lengths_of_blobs),
        TEST(test_a_stream_that_stands_still_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
