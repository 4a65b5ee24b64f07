/* SPDX-License-Identifier: MIT */
/* An image as a plain stream, out and in: the real ends over a pipe. Here an out is used twice. */
#include "base/bitmap.h"
#include "base/bytes.h"
#include "engine/in/plain.h"
#include "engine/out/plain_file.h"
#include "tests/unit/fake_xen.h"
#include "tests/unit/image_ends.h"
#include "transport/v3_stream.h"

#include <endian.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    struct image_ends x;
    struct v3_stream stream; /* for tests that write records of their own */
    struct arrival arrival;
    struct err e;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT};
    ends_open_plain(&f.x);
    v3_stream_init(&f.stream, f.x.stream[1], &f.x.out_cancel, 20 * NS_PER_S, "the test's stream");
    ends_receive(&f.x);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ends_close(&f.x);
    v3_stream_destroy(&f.stream);
    return 0;
}

static void send_head(void)
{
    assert_int_equal(f.x.out->ops->begin(f.x.out, &f.x.guest, &f.x.maps, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_STATIC_DATA_END, &f.e), 0);
}

static void commit(enum out_commit kind)
{
    assert_int_equal(f.x.out->ops->commit(f.x.out, kind, 20 * NS_PER_S, &f.arrival, &f.e), 0);
}

static void check_kept(const uint8_t *kept, const uint8_t *sent)
{
    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn++)
        if (!ends_is_hole(pfn))
            assert_memory_equal(
                kept + pfn * FAKE_PAGE_BYTES, sent + pfn * FAKE_PAGE_BYTES, FAKE_PAGE_BYTES);
}

/* Rounds and states, a checkpoint, more of both, and the guest is handed over. */
static void test_an_out_commits_more_than_once(void **state)
{
    (void)state;
    static const uint32_t states[] = {V3_STATIC_DATA_END, V3_HVM_CONTEXT, V3_HVM_CONTEXT};
    const size_t bytes = (size_t)ENDS_FRAMES * FAKE_PAGE_BYTES;
    uint8_t *sent = malloc(bytes);

    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    ends_write(&f.x, 7, 2);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_HVM_CONTEXT, &f.e), 0);
    memcpy(sent, fake_xen_page(FAKE_SOURCE, 0), bytes);
    commit(COMMIT_CHECKPOINT);

    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn += 2)
        ends_write(&f.x, pfn, 3);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_HVM_CONTEXT, &f.e), 0);
    commit(COMMIT_HANDOVER);

    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    assert_int_equal(f.x.checkpoints, 1);
    check_kept(f.x.at_checkpoint, sent);
    ends_check_memory(&f.x);
    assert_int_equal(f.x.state_count, 3);
    assert_memory_equal(f.x.states, states, sizeof(states));
    free(sent);
}

/* As many as it takes. */
static void test_checkpoints_may_follow_each_other(void **state)
{
    (void)state;
    send_head();
    ends_write_all(&f.x, 1);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(ends_round(&f.x, false, &f.e), 0);
        commit(COMMIT_CHECKPOINT);
        ends_write(&f.x, 100 * i, 1 + i);
    }
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    commit(COMMIT_HANDOVER);
    ends_join(&f.x);
    assert_int_equal(f.x.checkpoints, 5);
    ends_check_memory(&f.x);
}

/* From VERIFY on pages are compared, and nothing in the guest changes. */
static void test_verify_stores_nothing(void **state)
{
    (void)state;
    const uint64_t *page = (const uint64_t *)fake_xen_page(FAKE_DEST, 512);

    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);

    const uint64_t before = *(const uint64_t *)fake_xen_page(FAKE_SOURCE, 512);

    assert_int_equal(f.x.out->ops->verify(f.x.out, &f.e), 0);
    ends_write(&f.x, 512, 2);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    commit(COMMIT_HANDOVER);
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    assert_int_equal(*page, before);
    assert_int_not_equal(before, *(const uint64_t *)fake_xen_page(FAKE_SOURCE, 512));
}

/* ---- in a file ---- */

enum { LANES = 3 };

static void open_file(void)
{
    static const struct log none = {LOG_ERROR, NULL, NULL};
    struct image_ends *x = &f.x;

    f = (struct fixture){.e = ERR_INIT};
    ends_open_guest(x);
    x->stream[0] = memfd_create("a file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    x->stream[1] = dup(x->stream[0]); /* as libxl has it: with the same position */

    const struct out_plain_file_params p = {x->stream[1], LANES, &x->out_cancel, &none};

    assert_int_equal(out_plain_file_open(&p, &x->out, &f.e), 0);
    assert_int_equal(in_plain_open(x->stream[0], &x->in_cancel, &none, &x->in, &f.e), 0);
}

/* What is behind and before the image is others'. */
static void test_lanes_fill_a_file(void **state)
{
    static const uint32_t states[] = {V3_STATIC_DATA_END, V3_HVM_CONTEXT};
    char behind[8] = "";

    (void)state;
    open_file();
    assert_int_equal(write(f.x.stream[1], "before", 6), 6);
    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn += 3)
        ends_write(&f.x, pfn, 2);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_HVM_CONTEXT, &f.e), 0);
    commit(COMMIT_HANDOVER);
    assert_int_equal(f.x.out->ops->wire_bytes(f.x.out) + 6, lseek(f.x.stream[1], 0, SEEK_CUR));
    assert_int_equal(write(f.x.stream[1], "behind", 6), 6);

    assert_int_equal(lseek(f.x.stream[0], 6, SEEK_SET), 6);
    ends_receive(&f.x);
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    ends_check_memory(&f.x);
    assert_int_equal(f.x.state_count, 2);
    assert_memory_equal(f.x.states, states, sizeof(states));
    assert_int_equal(read(f.x.stream[0], behind, sizeof(behind)), 6);
    assert_string_equal(behind, "behind");
}

static void test_a_file_is_one_image(void **state)
{
    (void)state;
    open_file();
    assert_int_not_equal(
        f.x.out->ops->commit(f.x.out, COMMIT_CHECKPOINT, NS_PER_S, &f.arrival, &f.e), 0);
    assert_int_equal(f.e.class, ERR_REFUSED);
}

/* As a full disk does. */
static void test_a_file_that_cannot_be_written_ends_the_round(void **state)
{
    (void)state;
    open_file();
    send_head();
    assert_int_equal(fcntl(f.x.stream[1], F_ADD_SEALS, F_SEAL_WRITE), 0);
    ends_write_all(&f.x, 1);
    assert_int_not_equal(ends_round(&f.x, false, &f.e), 0);
    assert_non_null(strstr(f.e.text, "writing the file: Operation not permitted"));
}

/* ---- streams of others ---- */

/* By hand: we write version 3 only. The image header is big-endian. */
static void write_headers(uint32_t version)
{
    uint8_t b[V3_IMAGE_HEADER_BYTES + V3_DOMAIN_HEADER_BYTES] = {0};

    put_le64(b, UINT64_MAX);
    put_le32(b + 8, htobe32(0x58454e46)); /* XENF */
    put_le32(b + 12, htobe32(version));
    put_le32(b + V3_IMAGE_HEADER_BYTES, V3_GUEST_HVM);
    put_le16(b + V3_IMAGE_HEADER_BYTES + 4, 12); /* pages of 4 KiB */
    assert_int_equal(write(f.x.stream[1], b, sizeof(b)), sizeof(b));
}

static void write_record(uint32_t type)
{
    assert_int_equal(v3_write_record(&f.stream, type, NULL, 0, &f.e), 0);
}

static void write_page(uint64_t pfn)
{
    static const uint8_t page[FAKE_PAGE_BYTES] = {1, 2, 3};
    const uint64_t entry = v3_entry(pfn, 0);
    const void *pages[] = {page};

    assert_int_equal(v3_write_pages(&f.stream, &entry, pages, 1, &f.e), 0);
}

/* Version 2 knows no STATIC_DATA_END: the story sees one all the same, once, before the pages. */
static void test_version_2_gets_the_mark_that_it_lacks(void **state)
{
    (void)state;
    write_headers(2);
    write_page(3);
    write_page(4);
    write_record(V3_END);
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    assert_int_equal(f.x.state_count, 1);
    assert_int_equal(f.x.states[0], V3_STATIC_DATA_END);
    assert_int_equal(f.x.page_events, 2);
    assert_int_equal(fake_xen_populated(3), 1);
    assert_int_equal(fake_xen_page(FAKE_DEST, 4)[2], 3);
}

static void test_version_3_gets_none(void **state)
{
    (void)state;
    write_headers(3);
    write_page(3);
    write_record(V3_END);
    ends_join(&f.x);
    assert_int_equal(f.x.state_count, 0);
    assert_int_equal(f.x.page_events, 1);
}

static void test_a_frame_beyond_the_last(void **state)
{
    (void)state;
    write_headers(3);
    write_page(ENDS_FRAMES);
    ends_join(&f.x);
    assert_int_equal(f.x.in_error.class, ERR_PEER);
}

static void test_records_that_have_no_place(void **state)
{
    (void)state;
    write_headers(3);
    write_record(V3_CHECKPOINT_DIRTY_PFN_LIST);
    ends_join(&f.x);
    assert_int_equal(f.x.in_error.class, ERR_PEER);
    assert_non_null(strstr(f.x.in_error.text, "a checkpointed stream (Remus or COLO)"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_out_commits_more_than_once),
        TEST(test_checkpoints_may_follow_each_other),
        TEST(test_verify_stores_nothing),
        cmocka_unit_test_teardown(test_lanes_fill_a_file, tear_down),
        cmocka_unit_test_teardown(test_a_file_is_one_image, tear_down),
        cmocka_unit_test_teardown(test_a_file_that_cannot_be_written_ends_the_round, tear_down),
        TEST(test_version_2_gets_the_mark_that_it_lacks),
        TEST(test_version_3_gets_none),
        TEST(test_a_frame_beyond_the_last),
        TEST(test_records_that_have_no_place),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
