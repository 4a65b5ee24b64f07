/* SPDX-License-Identifier: MIT */
/* The way in against senders that break the rules of docs/wire.md: each is told why, and nothing
 * keeps running. */
#include "tests/unit/fake_xen.h"
#include "tests/unit/image_ends.h"
#include "transport/aux.h"
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
    struct page_encoder *delta_encoder; /* of what send_page() sends */
    struct sent_pages sent;
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
    assert_int_equal(page_encoder_create(CODEC_BIT(CODEC_LZ4), NULL, &f.encoder, &f.e), 0);
    assert_int_equal(sent_pages_init(&f.sent, 1 << 20, ENDS_FRAMES, &f.e), 0);
    assert_int_equal(page_encoder_create(0, &f.sent, &f.delta_encoder, &f.e), 0);
    page_encoder_set_deltas(
        f.delta_encoder, &(struct page_deltas){.keep = true, .most_bytes = PAGE_BYTES / 2});
    ends_receive(&f.x);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    page_encoder_destroy(f.encoder);
    page_encoder_destroy(f.delta_encoder);
    sent_pages_destroy(&f.sent);
    ends_close(&f.x);
    return 0;
}

/* ---- what a source sends, one thing at a time ---- */

static void send_head_of(unsigned lane_count)
{
    const struct trunk_head head = {
        .guest_type = V3_GUEST_HVM,
        .codecs = CODEC_BIT(CODEC_NONE) | CODEC_BIT(CODEC_LZ4),
        .deltas = true,
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

/* One page, which differs from the one before in `what`. The first is sent as it is, then
 * differences. on_wire: or is it lost? */
static void send_version(unsigned lane, uint64_t pfn, uint8_t what, bool on_wire)
{
    const uint64_t entry = v3_entry(pfn, 0);
    const void *page = f.page;
    struct page_body body;

    for (unsigned i = 0; i < PAGE_BYTES; i++)
        f.page[i] = (uint8_t)(i * i >> 3);
    f.page[99] = what;
    assert_int_equal(page_encode(f.delta_encoder, CODEC_NONE, &entry, &page, 1, &body, &f.e), 0);
    if (!on_wire)
        return;
    assert_int_equal(
        record_send(f.x.out_lanes[lane], RECORD_PAGES, body.iov, body.iov_count, &f.e), 0);
    f.done.lanes[lane].records++;
    f.done.lanes[lane].entries++;
    f.done.lanes[lane].data_pages++;
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

static void begin_pages_after_head(void)
{
    send_state(V3_STATIC_DATA_END);
    send_round_mark(1);
}

static void begin_pages(void)
{
    send_head_of(LANES);
    begin_pages_after_head();
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

/* The one that it is a difference to comes on another lane, and is waited for. */
static void test_a_difference_is_to_what_another_lane_brings(void **state)
{
    (void)state;
    begin_pages();
    send_barrier(0, 1);
    send_version(1, 100, 1, true);
    send_version(0, 100, 2, true);
    send_barrier(1, 1);
    end_image_after(2);
    assert_memory_equal(fake_xen_page(FAKE_DEST, 100), f.page, PAGE_BYTES);
    assert_int_equal(f.page[99], 2);
}

static void test_a_difference_to_another_version(void **state)
{
    (void)state;
    begin_pages();
    send_version(0, 100, 1, true);
    send_version(0, 100, 2, false);
    send_version(0, 100, 3, true);
    expect_lanes_failure("is to another page than is here");
}

static void test_a_difference_to_what_was_replaced(void **state)
{
    (void)state;
    begin_pages();
    send_version(0, 100, 1, true);
    send_version(0, 100, 2, true);
    send_pages(0, 100, 7); /* something else, unknown to the sender of differences */
    send_version(0, 100, 3, true);
    expect_lanes_failure("is to another page than is here");
}

static void test_a_difference_to_a_frame_without_memory(void **state)
{
    (void)state;
    begin_pages();
    send_version(0, 100, 1, false);
    send_version(0, 100, 2, true);
    expect_lanes_failure("a difference to frame 0x64, which is no plain page here");
}

/* Others have it mapped: whatever it is a difference to, it is dropped. */
static void test_a_difference_to_a_ring_is_dropped(void **state)
{
    (void)state;
    f.x.foreign = 100;
    begin_pages();
    send_version(0, 100, 1, true);
    send_version(0, 100, 2, false);
    send_version(0, 100, 3, true);
    for (unsigned lane = 0; lane < LANES; lane++)
        send_barrier(lane, 1);
    assert_int_equal(trunk_send_prepare(f.x.out_trunk, &f.e), 0);
    send_round_mark(2);
    end_image_after(2);
    assert_memory_not_equal(fake_xen_page(FAKE_DEST, 100), f.page, PAGE_BYTES);
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

/* ---- auxiliary data ---- */

static void send_aux_source(void)
{
    struct aux_source s = {.name = "some", .most_entries = 10, .most_bytes = 100};

    assert_int_equal(aux_send_source(f.x.out_trunk, &s, &f.e), 0);
}

static void send_aux(unsigned lane, unsigned count)
{
    struct aux_batch b = {.count = count};

    assert_int_equal(aux_send_batch(f.x.out_lanes[lane], &b, &f.e), 0);
}

static void test_auxiliary_data_comes_with_its_round(void **state)
{
    const struct aux_totals totals = {2, 4, 0, 0};

    (void)state;
    send_head_of(LANES);
    send_aux_source();
    begin_pages_after_head();
    send_aux(1, 3);
    send_barrier(1, 1);
    send_aux(1, 1);
    send_pages(0, 100, 1);
    send_barrier(0, 1);
    for (unsigned lane = 0; lane < LANES; lane++) {
        send_barrier(lane, 2);
        send_lane_end(lane);
    }
    send_lanes_done();
    assert_int_equal(aux_send_done(f.x.out_trunk, 0, &totals, &f.e), 0);
    send_end();
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    assert_int_equal(f.x.aux_sources, 1);
    assert_int_equal(f.x.aux_ends, 1);
    assert_int_equal(f.x.aux_entries[0], 3);
    assert_int_equal(f.x.aux_entries[1], 1);
}

static void test_auxiliary_data_of_nobody(void **state)
{
    (void)state;
    begin_pages();
    send_aux(0, 1);
    expect_lanes_failure("(AUX) has no place here");
}

static void test_a_batch_that_makes_no_sense(void **state)
{
    uint8_t body[8] = {[4] = 1};

    (void)state;
    send_head_of(LANES);
    send_aux_source();
    begin_pages_after_head();
    assert_int_equal(
        record_send(f.x.out_lanes[1], RECORD_AUX, &(struct iovec){body, sizeof(body)}, 1, &f.e), 0);
    expect_lanes_failure("bad AUX record: its length");
}

static void test_auxiliary_data_behind_the_end(void **state)
{
    (void)state;
    send_head_of(LANES);
    send_aux_source();
    begin_pages_after_head();
    send_barrier(0, 1);
    send_barrier(1, 1);
    assert_int_equal(lane_send_end(f.x.out_lanes[0], &f.done.lanes[0], &f.e), 0);
    send_aux(0, 1);
    expect_lanes_failure("AUX came after LANE_END");
}

static void test_a_source_that_is_announced_late(void **state)
{
    (void)state;
    begin_pages();
    send_aux_source();
    expect_lanes_failure("AUX_SOURCE has no place among the pages");
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
        TEST(test_a_difference_is_to_what_another_lane_brings),
        TEST(test_a_difference_to_another_version),
        TEST(test_a_difference_to_what_was_replaced),
        TEST(test_a_difference_to_a_frame_without_memory),
        TEST(test_a_difference_to_a_ring_is_dropped),
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
        TEST(test_auxiliary_data_comes_with_its_round),
        TEST(test_auxiliary_data_of_nobody),
        TEST(test_a_batch_that_makes_no_sense),
        TEST(test_auxiliary_data_behind_the_end),
        TEST(test_a_source_that_is_announced_late),
        TEST(test_a_lane_that_cannot_start),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
