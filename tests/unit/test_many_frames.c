/* SPDX-License-Identifier: MIT */
/* Frame numbers above 2^32, of a guest whose address space is larger than 16 TiB: in bitmaps,
 * walks, extents, records and files. Only what is touched of a bitmap of a GiB costs memory. */
#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/deadline.h"
#include "cmd/xmigrate/image/scan.h"
#include "dirtylog/extents.h"
#include "engine/in/extent_map.h"
#include "tests/unit/memory_channel.h"
#include "tests/unit/saved_file.h"
#include "transport/compact/chain.h"
#include "transport/compact/check.h"
#include "transport/compact/ends.h"
#include "transport/compact/writer.h"
#include "transport/page_decoder.h"
#include "transport/pages.h"
#include "transport/trunk.h"
#include "transport/v3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* On both sides of 2^32, and the last of 20 TiB. */
#define LIMIT  (1ull << 32)
#define FRAMES (5ull << 30)

static const uint64_t some[] = {0, LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + EXTENT_FRAMES, FRAMES - 1};
enum { SOME = sizeof(some) / sizeof(some[0]) };

static uint64_t *sparse_bitmap(void)
{
    uint64_t *map = mmap(NULL, bitmap_words(FRAMES) * sizeof(*map), PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    /* Its zeros are read as large pages of zeros, where that is possible. */
    madvise(map, bitmap_words(FRAMES) * sizeof(*map), MADV_HUGEPAGE);
    for (unsigned i = 0; i < SOME; i++)
        bitmap_set(map, some[i]);
    return map;
}

static void bitmaps_and_walks_go_on(void **state)
{
    uint64_t *map = sparse_bitmap(), pfns[EXTENT_FRAMES];
    struct frame_share share;
    unsigned found = 0;

    (void)state;
    assert_int_equal(bitmap_next(map, FRAMES, 1), LIMIT - 1);
    assert_int_equal(bitmap_next(map, FRAMES, LIMIT + 2), LIMIT + EXTENT_FRAMES);
    assert_false(bitmap_test(map, LIMIT + 2));
    frame_share_begin(&share, map, 0, FRAMES);

    struct frame_walk walk = frame_walk_begin(&share);

    for (unsigned n; (n = frame_walk_next(&walk, pfns, EXTENT_FRAMES));)
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(pfns[i], some[found++]);
    assert_int_equal(found, SOME);
    munmap(map, bitmap_words(FRAMES) * sizeof(*map));
}

static void extents_are_told_apart(void **state)
{
    struct extent_map m;
    struct err e = ERR_INIT;
    uint32_t slots[SOME];

    (void)state;
    assert_int_equal(extent_map_init(&m, WIRE_MAX_FRAMES, 1 << 20, &e), 0);
    for (unsigned i = 0; i < SOME; i++)
        slots[i] = extent_map_add(&m, some[i] / EXTENT_FRAMES);
    assert_int_equal(extent_map_find(&m, some[4] / EXTENT_FRAMES), slots[4]);
    assert_int_equal(extent_map_find(&m, some[5] / EXTENT_FRAMES), slots[5]);
    assert_int_equal(m.added, 5); /* LIMIT and LIMIT + 1 are in one */
    assert_int_equal(slots[2], slots[3]);
    assert_int_equal(extent_map_find(&m, (WIRE_MAX_FRAMES - 1) / EXTENT_FRAMES), EXTENT_NO_SLOT);
    assert_int_not_equal(extent_map_add(&m, (WIRE_MAX_FRAMES - 1) / EXTENT_FRAMES), EXTENT_NO_SLOT);
    extent_map_destroy(&m);
}

/* PAGES, from encoder to decoder. */
static void page_records_name_them(void **state)
{
    static uint8_t page[PAGE_BYTES], arrived[SOME][PAGE_BYTES] __attribute__((aligned(16)));
    const struct page_rules rules = {.frame_count = FRAMES, .codecs = ~0u};
    const void *pages[SOME];
    void *into[SOME];
    struct page_encoder *enc;
    struct page_decoder *dec;
    struct page_body body;
    struct page_front front;
    struct memory_channel wire;
    struct err e = ERR_INIT;
    size_t len_bytes = 0;

    (void)state;
    memset(page, 0x5a, sizeof(page));
    for (unsigned i = 0; i < SOME; i++) {
        pages[i] = page;
        into[i] = arrived[i];
    }
    memory_channel_init(&wire);
    assert_int_equal(page_encoder_create(~0u, NULL, &enc, &e), 0);
    assert_int_equal(page_decoder_create(&rules, &dec, &e), 0);
    assert_int_equal(page_encode(enc, CODEC_NONE, some, pages, SOME, &body, &e), 0);
    for (int i = 0; i < body.iov_count; i++) {
        memory_channel_put(&wire, body.iov[i].iov_base, body.iov[i].iov_len);
        len_bytes += body.iov[i].iov_len;
    }
    assert_int_equal(page_recv_front(dec, &wire.ch, len_bytes, &front, &e), 0);
    assert_int_equal(front.count, SOME);
    for (unsigned i = 0; i < SOME; i++)
        assert_int_equal(v3_entry_pfn(front.entries[i]), some[i]);
    assert_int_equal(page_recv_contents(dec, &wire.ch, into, &e), 0);
    assert_memory_equal(arrived[SOME - 1], page, PAGE_BYTES);
    page_encoder_destroy(enc);
    page_decoder_destroy(dec);
    memory_channel_destroy(&wire);
}

static void a_head_names_as_many_as_there_can_be(void **state)
{
    struct trunk_head head = {
        .guest_type = V3_GUEST_HVM,
        .codecs = CODEC_BIT(CODEC_NONE),
        .lane_count = 1,
        .frame_count = WIRE_MAX_FRAMES,
        .page_count = LIMIT + 1,
    };
    struct memory_channel m;
    struct trunk_reader reader;
    struct trunk_message got;
    struct err e = ERR_INIT;

    (void)state;
    memory_channel_init(&m);
    assert_int_equal(trunk_reader_init(&reader, &m.ch, &e), 0);
    assert_int_equal(trunk_send_head(&m.ch, &head, &e), 0);
    assert_int_equal(trunk_recv(&reader, &got, DEADLINE_NEVER, &e), 0);
    assert_int_equal(got.head.frame_count, WIRE_MAX_FRAMES);
    assert_int_equal(got.head.page_count, LIMIT + 1);
    head.frame_count++;
    memory_channel_reset(&m);
    assert_int_equal(trunk_send_head(&m.ch, &head, &e), 0);
    assert_int_not_equal(trunk_recv(&reader, &got, DEADLINE_NEVER, &e), 0);
    trunk_reader_destroy(&reader);
    memory_channel_destroy(&m);
}

/* libxc's stream. */
static void page_data_names_them(void **state)
{
    uint64_t body[1 + SOME] = {SOME};
    struct v3_page_data pages;
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned i = 0; i < SOME; i++)
        body[1 + i] = v3_entry(some[i], (uint32_t)V3_PAGE_XALLOC << 28);
    assert_int_equal(v3_decode_page_data(body, sizeof(body), FRAMES, &pages, &e), 0);
    assert_int_equal(v3_entry_pfn(pages.entries[SOME - 1]), FRAMES - 1);
    assert_int_equal(v3_entry_type(pages.entries[SOME - 1]), V3_PAGE_XALLOC);
    assert_int_not_equal(v3_decode_page_data(body, sizeof(body), FRAMES - 1, &pages, &e), 0);
}

/* 2^32 frames are the most of a PV guest's: their last one is 32 bits long. */
static void p2m_frames_do_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(v3_p2m_frame_count(0, UINT32_MAX, 8), LIMIT / 512);
    assert_int_equal(v3_p2m_frame_count(0, UINT32_MAX, 4), LIMIT / 1024);
    assert_true(v3_limit_bytes(V3_X86_PV_P2M_FRAMES) >= (int64_t)(8 + LIMIT / 512 * 8));
}

static int scan_with(uint64_t pfn, struct image *image, struct err *e)
{
    static struct saved_file file;
    const int fd = memfd_create("saved", MFD_CLOEXEC);

    saved_file_make(&file, SAVED_PVH, NULL);
    /* The first entry of its only PAGE_DATA. */
    put_le64(file.bytes + file.borders[5] + 16, pfn);
    assert_int_equal(pwrite(fd, file.bytes, file.len_bytes, 0), (ssize_t)file.len_bytes);

    const int rc = image_scan(fd, "F", image, e);

    image_clear(image);
    close(fd);
    return rc;
}

static void a_saved_file_has_them(void **state)
{
    struct image image;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(scan_with(FRAMES - 1, &image, &e), 0);
    assert_int_equal(image.max_pfn, FRAMES - 1);
    assert_int_equal(scan_with(WIRE_MAX_FRAMES - 1, &image, &e), 0);
    assert_int_not_equal(scan_with(WIRE_MAX_FRAMES, &image, &e), 0);
}

static const struct file_secret none;

/* A page in each, of its number. */
static void write_compact(int fd, struct file_keys *keys)
{
    static uint8_t contents[SOME][PAGE_BYTES];
    const struct compact_plan plan = {&none, NULL, NULL};
    const struct iovec section = {(void *)"a section", 9};
    const struct compact_rest rest = {"libxl", 5, "{}", "{\"kind\":\"save\"}"};
    struct compact_chain chain = {.count = 0};
    struct compact_counts counts = {0};
    struct compact_writer *w;
    struct compact_lane *lane;
    const void *pages[SOME];
    uint64_t entries[SOME];
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < SOME; i++) {
        put_le64(contents[i], some[i] + 1);
        pages[i] = contents[i];
        entries[i] = v3_entry(some[i], V3_PAGE_NOTAB);
    }
    assert_int_equal(compact_create(fd, &plan, keys, &e), 0);
    assert_int_equal(compact_writer_open(fd, keys, CODEC_LZ4, &chain, &w, &e), 0);
    assert_int_not_equal(compact_writer_begin(w, WIRE_MAX_FRAMES + 1, &e), 0);
    e = (struct err)ERR_INIT;
    assert_int_equal(compact_writer_begin(w, FRAMES, &e), 0);
    assert_int_equal(compact_lane_create(w, &lane, &e), 0);
    assert_int_equal(compact_lane_put(lane, entries, pages, SOME, &counts, &e), 0);
    compact_lane_destroy(lane);
    assert_int_equal(compact_writer_finish(w, &section, &section, &e), 0);
    assert_int_equal(compact_complete(fd, "new", keys, &rest, &e), 0);
    compact_writer_close(w);
}

static void a_compact_file_has_them(void **state)
{
    static uint8_t buffer[EXTENT_FRAMES * PAGE_BYTES];
    const int fd = memfd_create("compact", MFD_CLOEXEC);
    struct compact_chain chain = {.count = 0};
    struct compact_reader *r;
    struct file_keys keys;
    struct err e = ERR_INIT;
    unsigned found = 0;

    (void)state;
    write_compact(fd, &keys);
    assert_int_equal(compact_chain_add(&chain, fd, "F", &none, NULL, &e), 0);
    assert_int_equal(chain.table.frame_count, FRAMES);
    assert_int_equal(compact_reader_create(&chain, true, &r, &e), 0);
    for (uint64_t x = 0; x < chain.table.extent_count; x++) {
        uint64_t entries[EXTENT_FRAMES];
        const unsigned count = compact_entries_of(&chain.table, x, entries);

        if (count)
            assert_int_equal(compact_reader_load(r, x, buffer, &e), 0);
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(v3_entry_pfn(entries[i]), some[found]);
            assert_int_equal(get_le64(compact_page_at(buffer, entries[i])), some[found++] + 1);
        }
    }
    assert_int_equal(found, SOME);
    assert_int_equal(compact_check_pages(&chain, 2, NULL, &e), 0);
    compact_reader_destroy(r);
    compact_chain_close(&chain);
    close(fd);
}

/* Or a file of a few kB would keep a reader busy for a minute. */
static void extents_without_pages_are_passed_over(void **state)
{
    const uint64_t last = COMPACT_MAX_FRAMES / EXTENT_FRAMES - 1;
    const uint64_t made[] = {0, 1, COMPACT_REGION_EXTENTS - 1, 3 * COMPACT_REGION_EXTENTS, last};
    enum { MADE = sizeof(made) / sizeof(made[0]) };
    struct compact_table t;
    struct err e = ERR_INIT;
    uint32_t *extents;
    uint64_t count;

    (void)state;
    assert_int_equal(compact_table_init(&t, COMPACT_MAX_FRAMES, &e), 0);
    assert_int_equal(compact_next_group(&t, 0), t.extent_count);
    for (unsigned i = 0; i < MADE; i++)
        assert_non_null(compact_group_make(&t, made[i]));
    assert_int_equal(compact_list_groups(&t, &extents, &count, &e), 0);
    assert_int_equal(count, MADE);
    for (unsigned i = 0; i < MADE; i++)
        assert_int_equal(extents[i], made[i]);
    assert_int_equal(compact_next_group(&t, last + 1), t.extent_count);
    free(extents);
    compact_table_destroy(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bitmaps_and_walks_go_on),
        cmocka_unit_test(extents_are_told_apart),
        cmocka_unit_test(page_records_name_them),
        cmocka_unit_test(a_head_names_as_many_as_there_can_be),
        cmocka_unit_test(page_data_names_them),
        cmocka_unit_test(p2m_frames_do_not_overflow),
        cmocka_unit_test(a_saved_file_has_them),
        cmocka_unit_test(a_compact_file_has_them),
        cmocka_unit_test(extents_without_pages_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
