/* SPDX-License-Identifier: MIT */
/* The way in against senders that break the rules of docs/wire.md: each is told why, and nothing
 * keeps running. */
#include "tests/unit/fake_xen.h"
#include "tests/unit/image_ends.h"
#include "transport/pages.h"
#include "transport/trunk.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { LANES = 2 };

struct fixture {
    struct image_ends x;
    struct page_encoder *encoder;
    struct trunk_lanes_done done;
    uint8_t page[PAGE_BYTES];
    struct err e;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT, .done.lane_count = LANES};
    ends_open_lanes(&f.x, LANES);
    assert_int_equal(page_encoder_create(CODEC_BIT(CODEC_LZ4), &f.encoder, &f.e), 0);
    ends_receive(&f.x);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    page_encoder_destroy(f.encoder);
    ends_close(&f.x);
    return 0;
}

/* ---- what a source sends, one thing at a time ---- */

static void send_head_of(unsigned lane_count)
{
    const struct trunk_head head = {
        .guest_type = V3_GUEST_HVM,
        .codecs = CODEC_BIT(CODEC_NONE) | CODEC_BIT(CODEC_LZ4),
        .xen_major = 4,
        .xen_minor = 17,
        .lane_count = lane_count,
        .frame_count = ENDS_FRAMES,
        .page_count = ENDS_FRAMES,
    };

    assert_int_equal(trunk_send_head(f.x.out_trunk, &head, &f.e), 0);
}

static void send_state(uint32_t v3_type)
{
    uint64_t body = 0;
    const struct iovec part = {&body, v3_type == V3_STATIC_DATA_END ? 0 : sizeof(body)};

    assert_int_equal(trunk_send_state(f.x.out_trunk, v3_type, &part, 1, &f.e), 0);
}

static void send_round_mark(unsigned round)
{
    const struct trunk_round mark = {round, 1, false};

    assert_int_equal(trunk_send_round(f.x.out_trunk, &mark, &f.e), 0);
}

/* Two pages from that one on. */
static void send_pages(unsigned lane, uint64_t pfn, uint8_t what)
{
    const uint64_t entries[] = {v3_entry(pfn, 0), v3_entry(pfn + 1, 0)};
    const void *pages[] = {f.page, f.page};
    struct page_body body;

    memset(f.page, what, sizeof(f.page));
    assert_int_equal(page_encode(f.encoder, CODEC_LZ4, entries, pages, 2, &body, &f.e), 0);
    assert_int_equal(
        record_send(f.x.out_lanes[lane], RECORD_PAGES, body.iov, body.iov_count, &f.e), 0);
    f.done.lanes[lane].records++;
    f.done.lanes[lane].entries += 2;
    f.done.lanes[lane].data_pages += 2;
}

static void send_barrier(unsigned lane, uint64_t number)
{
    assert_int_equal(lane_send_border(f.x.out_lanes[lane], number, &f.e), 0);
}

static void send_lane_end(unsigned lane)
{
    assert_int_equal(lane_send_end(f.x.out_lanes[lane], &f.done.lanes[lane], &f.e), 0);
    assert_int_equal(channel_finish(f.x.out_lanes[lane], &f.e), 0);
}

static void send_lanes_done(void)
{
    assert_int_equal(trunk_send_lanes_done(f.x.out_trunk, &f.done, &f.e), 0);
}

static void send_end(void)
{
    assert_int_equal(trunk_send_end(f.x.out_trunk, &f.e), 0);
    assert_int_equal(channel_finish(f.x.out_trunk, &f.e), 0);
}

static void begin_pages(void)
{
    send_head_of(LANES);
    send_state(V3_STATIC_DATA_END);
    send_round_mark(1);
}

/* What the source is told, which is the destination's own first cause. */
static void expect_failure(enum err_class class, const char *text)
{
    struct trunk_reader reader;
    struct trunk_message m;

    assert_int_equal(trunk_reader_init(&reader, f.x.out_trunk, &f.e), 0);
    assert_int_equal(trunk_recv(&reader, &m, deadline_in(20 * NS_PER_S), &f.e), 0);
    assert_int_equal(m.type, RECORD_RESULT);
    assert_non_null(strstr(m.result.failure.text, text));
    assert_int_equal(m.result.failure.class, class);
    trunk_reader_destroy(&reader);
    ends_join(&f.x);
    assert_string_equal(f.x.in_error.text, m.result.failure.text);
}

/* It failed while lanes ran: the others were woken by that. */
static void expect_lanes_failure(const char *text)
{
    expect_failure(ERR_PEER, text);
    assert_true(cancel_is_fired(&f.x.in_cancel));
}

static void check_page(uint64_t pfn, uint8_t what)
{
    memset(f.page, what, sizeof(f.page));
    assert_memory_equal(fake_xen_page(FAKE_DEST, pfn), f.page, PAGE_BYTES);
}

/* ---- what may be ---- */

/* All lanes end with that round, and so does the image, which is good. */
static void end_image_after(uint64_t round)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        send_barrier(lane, round);
        send_lane_end(lane);
    }
    send_lanes_done();
    send_end();
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
}

/* In another round the extent may come on another lane. Its record waits at the lane's end, until
 * the one that it replaces is in place. */
static void test_an_extent_may_change_lanes_between_rounds(void **state)
{
    (void)state;
    begin_pages();
    send_barrier(0, 1);
    send_round_mark(2);
    send_pages(0, 100, 2);
    send_pages(1, 100, 1);
    send_barrier(1, 1);
    end_image_after(2);
    check_page(100, 2);
    check_page(101, 2);
    assert_int_equal(f.x.arrival.populated_pages, 2);
}

/* The rings are served by others then: what comes for them is dropped, and the rest is not. */
static void test_a_guest_is_prepared_among_the_pages(void **state)
{
    (void)state;
    f.x.foreign = 101;
    begin_pages();
    send_pages(0, 100, 1);
    for (unsigned lane = 0; lane < LANES; lane++)
        send_barrier(lane, 1);
    assert_int_equal(trunk_send_prepare(f.x.out_trunk, &f.e), 0);
    send_round_mark(2);
    send_pages(1, 100, 2);
    end_image_after(2);
    assert_int_equal(f.x.prepares, 1);
    check_page(100, 2);
    assert_memory_not_equal(fake_xen_page(FAKE_DEST, 101), f.page, PAGE_BYTES);
}

static void test_there_need_be_no_round(void **state)
{
    (void)state;
    send_head_of(LANES);
    send_state(V3_STATIC_DATA_END);
    for (unsigned lane = 0; lane < LANES; lane++)
        send_lane_end(lane);
    send_lanes_done();
    send_end();
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    assert_int_equal(f.x.page_events, 1);
}

/* ---- what may not ---- */

static void test_an_extent_on_two_lanes_in_one_round(void **state)
{
    (void)state;
    begin_pages();
    send_pages(0, 100, 1);
    send_pages(1, 200, 1);
    expect_lanes_failure("comes on two lanes in one round");
}

static void test_a_frame_beyond_the_last(void **state)
{
    (void)state;
    begin_pages();
    send_pages(1, ENDS_FRAMES - 1, 1);
    expect_lanes_failure("lane 1");
    assert_int_equal(fake_xen_populated(ENDS_FRAMES - 1), 0);
}

static void test_a_lane_that_ends_before_the_others_barrier(void **state)
{
    (void)state;
    begin_pages();
    send_barrier(0, 1);
    send_lane_end(1);
    expect_lanes_failure("lanes do not end in the same round");
}

static void test_a_barrier_out_of_order(void **state)
{
    (void)state;
    begin_pages();
    send_barrier(0, 2);
    expect_lanes_failure("border 2 of the rounds, where 1 is next");
}

static void test_a_lane_that_breaks_within_a_record(void **state)
{
    (void)state;
    const uint32_t header[] = {RECORD_PAGES, 4096};
    struct iovec part = {(void *)header, sizeof(header)};

    begin_pages();
    assert_int_equal(channel_send(f.x.out_lanes[1], &part, 1, &f.e), 0);
    channel_shutdown(f.x.out_lanes[1]);
    expect_lanes_failure("lane 1");
}

static void test_a_lane_that_lies_about_what_it_sent(void **state)
{
    (void)state;
    begin_pages();
    send_pages(0, 100, 1);
    f.done.lanes[0].entries++;
    send_lane_end(0);
    expect_lanes_failure("lane 0");
}

static void test_a_trunk_that_lies_about_what_a_lane_sent(void **state)
{
    (void)state;
    begin_pages();
    for (unsigned lane = 0; lane < LANES; lane++)
        send_lane_end(lane);
    f.done.lanes[1].records = 1;
    send_lanes_done();
    expect_failure(ERR_PEER, "lane 1");
}

static void test_a_lane_that_goes_on_behind_its_end(void **state)
{
    (void)state;
    begin_pages();
    assert_int_equal(lane_send_end(f.x.out_lanes[0], &f.done.lanes[0], &f.e), 0);
    send_pages(0, 0, 1);
    send_lane_end(1);
    send_lanes_done();
    expect_lanes_failure("PAGES came after LANE_END");
}

static void test_a_trunk_that_goes_on_behind_its_end(void **state)
{
    (void)state;
    begin_pages();
    for (unsigned lane = 0; lane < LANES; lane++)
        send_lane_end(lane);
    send_lanes_done();
    assert_int_equal(trunk_send_end(f.x.out_trunk, &f.e), 0);
    send_round_mark(2);
    expect_failure(ERR_PEER, "ROUND came after END");
}

static void test_another_number_of_lanes(void **state)
{
    (void)state;
    send_head_of(LANES + 1);
    expect_failure(ERR_PEER, "the source sends on 3 lanes, 2 are open");
}

static void test_states_in_the_wrong_place(void **state)
{
    (void)state;
    begin_pages();
    send_state(V3_HVM_CONTEXT);
    expect_lanes_failure("HVM_CONTEXT has no place among the pages");
}

/* The second lane has no handles of its own: the first one, which runs, is stopped. */
static void test_a_lane_that_cannot_start(void **state)
{
    (void)state;
    fake_xen_opens(1);
    begin_pages();
    expect_failure(ERR_LOCAL, "no more handles");
    assert_true(cancel_is_fired(&f.x.in_cancel));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_extent_may_change_lanes_between_rounds),
        TEST(test_a_guest_is_prepared_among_the_pages),
        TEST(test_there_need_be_no_round),
        TEST(test_an_extent_on_two_lanes_in_one_round),
        TEST(test_a_frame_beyond_the_last),
        TEST(test_a_lane_that_ends_before_the_others_barrier),
        TEST(test_a_barrier_out_of_order),
        TEST(test_a_lane_that_breaks_within_a_record),
        TEST(test_a_lane_that_lies_about_what_it_sent),
        TEST(test_a_trunk_that_lies_about_what_a_lane_sent),
        TEST(test_a_lane_that_goes_on_behind_its_end),
        TEST(test_a_trunk_that_goes_on_behind_its_end),
        TEST(test_another_number_of_lanes),
        TEST(test_states_in_the_wrong_place),
        TEST(test_a_lane_that_cannot_start),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
