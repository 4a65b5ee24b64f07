/* SPDX-License-Identifier: MIT */
/* Records and the trunk's messages: both ways, every cut, every reserved bit, every limit. */
#include "base/bytes.h"
#include "base/deadline.h"
#include "tests/unit/memory_channel.h"
#include "tests/unit/wire_peer.h"
#include "transport/pages.h"
#include "transport/trunk.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
    struct memory_channel m;
    struct trunk_reader reader;
    struct trunk_message got;
    struct err e;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    memory_channel_init(&f->m);
    assert_int_equal(trunk_reader_init(&f->reader, &f->m.ch, &f->e), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    trunk_reader_destroy(&f->reader);
    memory_channel_destroy(&f->m);
    free(f);
    return 0;
}

static int receive(struct fixture *f)
{
    f->e = (struct err)ERR_INIT;
    return trunk_recv(&f->reader, &f->got, DEADLINE_NEVER, &f->e);
}

static void assert_received(struct fixture *f, enum record_type type)
{
    if (receive(f))
        fail_msg("%s", f->e.text);
    assert_int_equal(f->got.type, type);
}

/* What is in the channel is refused with these words. */
static void assert_refused(struct fixture *f, const char *because)
{
    assert_int_equal(receive(f), -EPROTO);
    assert_int_equal(f->e.class, ERR_PEER);
    if (!strstr(f->e.text, because))
        fail_msg("'%s' does not say '%s'", f->e.text, because);
    memory_channel_reset(&f->m);
}

/* One record in the channel, from the start. */
static void put_record(struct fixture *f, uint32_t type, const void *body, uint32_t len_bytes)
{
    uint8_t header[8];

    put_le32(header, type);
    put_le32(header + 4, len_bytes);
    memory_channel_reset(&f->m);
    memory_channel_put(&f->m, header, sizeof(header));
    memory_channel_put(&f->m, body, len_bytes);
}

static const struct trunk_head head = {.guest_type = V3_GUEST_PV,
    .codecs = CODEC_BIT(CODEC_NONE) | CODEC_BIT(CODEC_LZ4),
    .xen_major = 4,
    .xen_minor = 17,
    .lane_count = 4,
    .frame_count = 0x100000000,
    .page_count = 0xfffffffe};

static void test_head_is_what_the_format_says(void **state)
{
    struct fixture *f = *state;
    static const uint8_t expected[] = {
        0x01, 0, 0, 0, 40, 0, 0, 0,         /* HEAD, 40 bytes */
        1, 0, 0, 0, 1, 0, 0, 0,             /* PV, LZ4 */
        4, 0, 0, 0, 17, 0, 0, 0,            /* Xen 4.17 */
        4, 0, 0, 0, 0, 0, 0, 0,             /* lanes */
        0, 0, 0, 0, 1, 0, 0, 0,             /* frames: 2^32 */
        0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0, /* pages */
    };

    assert_int_equal(trunk_send_head(&f->m.ch, &head, &f->e), 0);
    assert_int_equal(f->m.len_bytes, sizeof(expected));
    assert_memory_equal(f->m.bytes, expected, sizeof(expected));
    assert_received(f, RECORD_HEAD);
    assert_int_equal(f->got.head.guest_type, V3_GUEST_PV);
    assert_int_equal(f->got.head.codecs, head.codecs);
    assert_int_equal(f->got.head.xen_minor, 17);
    assert_int_equal(f->got.head.lane_count, 4);
    assert_int_equal(f->got.head.frame_count, 0x100000000);
    assert_int_equal(f->got.head.page_count, 0xfffffffe);
    assert_int_equal(receive(f), -ENODATA);
    assert_false(err_is_set(&f->e));
}

static void test_bad_heads_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned at;
        uint64_t value;
        unsigned bytes;
        const char *because;
    } spoiled[] = {
        {0, 0, 4, "type of guest"},
        {0, 3, 4, "type of guest"},
        {4, 8, 4, "reserved"},
        {4, 0x80000000, 4, "reserved"},
        {16, 0, 4, "lanes"},
        {16, 65, 4, "lanes"},
        {20, 1, 4, "reserved"},
        {24, 0, 8, "frames"},
        {24, 0x100000001, 8, "frames"}, /* of a PV guest */
        {32, 0x100000001, 8, "more pages"},
    };

    for (unsigned i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
        memory_channel_reset(&f->m);
        assert_int_equal(trunk_send_head(&f->m.ch, &head, &f->e), 0);
        memcpy(f->m.bytes + 8 + spoiled[i].at, &spoiled[i].value, spoiled[i].bytes);
        assert_refused(f, spoiled[i].because);
    }
}

static void test_rounds_lanes_and_end_arrive(void **state)
{
    struct fixture *f = *state;
    struct trunk_lanes_done done = {.lane_count = MAX_LANES};

    for (uint64_t i = 0; i < MAX_LANES; i++)
        done.lanes[i] = (struct lane_totals){i, i << 32, ~i, i * 7};
    assert_int_equal(
        trunk_send_round(&f->m.ch,
            &(struct trunk_round){.round = 7, .page_count = 1ull << 32, .last = true}, &f->e),
        0);
    assert_int_equal(trunk_send_lanes_done(&f->m.ch, &done, &f->e), 0);
    assert_int_equal(trunk_send_end(&f->m.ch, &f->e), 0);

    assert_received(f, RECORD_ROUND);
    assert_int_equal(f->got.round.round, 7);
    assert_int_equal(f->got.round.page_count, 1ull << 32);
    assert_true(f->got.round.last);
    assert_received(f, RECORD_LANES_DONE);
    assert_int_equal(f->got.lanes_done.lane_count, MAX_LANES);
    assert_memory_equal(f->got.lanes_done.lanes, done.lanes, sizeof(done.lanes));
    assert_received(f, RECORD_END);
}

static void test_bad_rounds_lanes_and_ends_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t body[8 + 64 * 32] = {0};

    put_le32(body + 16, 2);
    put_record(f, RECORD_ROUND, body, 24);
    assert_refused(f, "reserved");
    put_le32(body + 16, 0);
    put_le32(body + 20, 1);
    put_record(f, RECORD_ROUND, body, 24);
    assert_refused(f, "reserved");
    put_le32(body + 20, 0);
    put_le64(body + 8, WIRE_MAX_FRAMES + 1);
    put_record(f, RECORD_ROUND, body, 24);
    assert_refused(f, "number of pages");
    put_record(f, RECORD_ROUND, body, 23);
    assert_refused(f, "length");

    memset(body, 0, sizeof(body));
    put_record(f, RECORD_LANES_DONE, body, 8);
    assert_refused(f, "number of lanes");
    put_le32(body, 65);
    put_record(f, RECORD_LANES_DONE, body, sizeof(body));
    assert_refused(f, "number of lanes");
    put_le32(body, UINT32_MAX);
    put_record(f, RECORD_LANES_DONE, body, sizeof(body));
    assert_refused(f, "number of lanes");
    put_le32(body, 2);
    put_record(f, RECORD_LANES_DONE, body, 8 + 32);
    assert_refused(f, "length");
    put_record(f, RECORD_LANES_DONE, body, 8 + 3 * 32);
    assert_refused(f, "length");
    put_le32(body + 4, 1);
    put_record(f, RECORD_LANES_DONE, body, 8 + 64);
    assert_refused(f, "reserved");

    put_record(f, RECORD_END, body, 1);
    assert_refused(f, "at most 0");
}

static void test_results_arrive(void **state)
{
    struct fixture *f = *state;
    struct trunk_result good = {.finish_ns = 123456789012, .populated_pages = 1ull << 33};
    struct trunk_result bad = {.finish_ns = 5};

    err_set(&bad.failure, ERR_LOCAL, ENOMEM, "no memory");
    strcpy(bad.failure.text, "no memory for pfn 0x1234\x1b[2J\n\xff"); /* as a hostile peer would */
    bad.failure.side = SIDE_DESTINATION;
    assert_int_equal(trunk_send_result(&f->m.ch, &good, &f->e), 0);
    assert_int_equal(trunk_send_result(&f->m.ch, &bad, &f->e), 0);

    assert_received(f, RECORD_RESULT);
    assert_false(err_is_set(&f->got.result.failure));
    assert_int_equal(f->got.result.finish_ns, 123456789012);
    assert_int_equal(f->got.result.populated_pages, 1ull << 33);
    assert_received(f, RECORD_RESULT);
    assert_int_equal(f->got.result.failure.class, ERR_LOCAL);
    assert_int_equal(f->got.result.failure.side, SIDE_DESTINATION);
    assert_int_equal(f->got.result.failure.code, ENOMEM);
    assert_string_equal(f->got.result.failure.text, "no memory for pfn 0x1234?[2J??");
}

static void test_a_failure_without_a_code_stays_a_failure(void **state)
{
    struct fixture *f = *state;
    struct trunk_result bad = {.failure = {.class = ERR_LOCAL, .text = "why not"}};

    assert_int_equal(trunk_send_result(&f->m.ch, &bad, &f->e), 0);
    assert_received(f, RECORD_RESULT);
    assert_int_equal(f->got.result.failure.code, EIO);
    assert_string_equal(f->got.result.failure.text, "why not");
}

static void test_the_longest_text_of_a_failure_fits(void **state)
{
    struct fixture *f = *state;
    struct trunk_result bad = {.failure = {.class = ERR_GUEST, .code = EIO}};

    memset(bad.failure.text, 'x', ERR_TEXT_BYTES - 1);
    assert_int_equal(trunk_send_result(&f->m.ch, &bad, &f->e), 0);
    assert_received(f, RECORD_RESULT);
    assert_string_equal(f->got.result.failure.text, bad.failure.text);
}

static void test_bad_results_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t body[40] = {0};

    put_record(f, RECORD_RESULT, body, 31);
    assert_refused(f, "length");
    put_record(f, RECORD_RESULT, body, 33);
    assert_refused(f, "success and failure");
    put_le32(body, 8);
    put_record(f, RECORD_RESULT, body, 34);
    assert_refused(f, "class");
    put_le32(body, 4);
    put_record(f, RECORD_RESULT, body, 32);
    assert_received(f, RECORD_RESULT);
    assert_string_equal(f->got.result.failure.text, "the peer gave no reason");
    put_le32(body + 4, 3);
    put_record(f, RECORD_RESULT, body, 34);
    assert_refused(f, "class");
    put_le32(body + 4, 2);
    put_le32(body + 12, 1);
    put_record(f, RECORD_RESULT, body, 34);
    assert_refused(f, "reserved");
    put_le32(body + 12, 0);
    put_le64(body + 16, 1ull << 63);
    put_record(f, RECORD_RESULT, body, 34);
    assert_refused(f, "time");
}

static void test_a_state_arrives_as_it_was(void **state)
{
    struct fixture *f = *state;
    uint8_t info[8] = {8, 4}, start[4] = {1, 2, 3, 4}, rest[4] = {5, 6, 7, 8};
    const struct iovec whole = {info, sizeof(info)};
    const struct iovec parts[] = {{start, 4}, {NULL, 0}, {rest, 4}};

    assert_int_equal(trunk_send_state(&f->m.ch, V3_X86_PV_INFO, &whole, 1, &f->e), 0);
    assert_int_equal(trunk_send_state(&f->m.ch, V3_X86_PV_P2M_FRAMES, parts, 3, &f->e), 0);
    assert_int_equal(trunk_send_state(&f->m.ch, V3_STATIC_DATA_END, NULL, 0, &f->e), 0);

    assert_received(f, RECORD_STATE);
    assert_int_equal(f->got.state.v3_type, V3_X86_PV_INFO);
    assert_int_equal(f->got.state.len_bytes, 8);
    assert_memory_equal(f->got.state.body, info, 8);
    assert_received(f, RECORD_STATE);
    assert_int_equal(f->got.state.v3_type, V3_X86_PV_P2M_FRAMES);
    assert_memory_equal(f->got.state.body, "\1\2\3\4\5\6\7\10", 8);
    assert_int_equal((uintptr_t)f->got.state.body % 8, 0);
    assert_received(f, RECORD_STATE);
    assert_int_equal(f->got.state.v3_type, V3_STATIC_DATA_END);
    assert_int_equal(f->got.state.len_bytes, 0);
}

static void test_a_large_state_is_cut_and_put_together(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {
        (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, 8 + (64 << 20)};
    const size_t max_bytes = 8 + (64 << 20);
    uint8_t *body = malloc(max_bytes);

    for (size_t i = 0; i < max_bytes; i++)
        body[i] = (uint8_t)(i * 2654435761u >> 24);
    for (unsigned i = 0; i < 5; i++) {
        const struct iovec parts[] = {{body, 5}, {body + 5, lengths[i] - 5}};
        struct peer_record record;
        size_t pos = 0, at = 0;

        memory_channel_reset(&f->m);
        assert_int_equal(trunk_send_state(&f->m.ch, V3_X86_PV_P2M_FRAMES, parts, 2, &f->e), 0);
        /* By the format page: type, MORE, at most 1 MiB each. */
        while (peer_next_record(f->m.bytes, f->m.len_bytes, &pos, &record)) {
            assert_int_equal(record.type, 2);
            assert_true(record.len_bytes <= 8 + (1 << 20));
            assert_int_equal(get_le32(record.body), 3);
            assert_memory_equal(record.body + 8, body + at, record.len_bytes - 8);
            at += record.len_bytes - 8;
            assert_int_equal(get_le32(record.body + 4), at < lengths[i]);
        }
        assert_int_equal(at, lengths[i]);
        assert_received(f, RECORD_STATE);
        assert_int_equal(f->got.state.len_bytes, lengths[i]);
        assert_memory_equal(f->got.state.body, body, lengths[i]);
        assert_int_equal(receive(f), -ENODATA);
    }
    free(body);
}

/* As it is cut, so that nobody has to have the whole of it in memory. */
static void test_a_long_p2m_list_is_taken_in_parts(void **state)
{
    struct fixture *f = *state;
    const size_t total = 8 + (64 << 20);
    uint8_t *body = malloc(total);
    const struct iovec part = {body, total};
    size_t at = 0;

    for (size_t i = 0; i < total; i++)
        body[i] = (uint8_t)(i * 2654435761u >> 24);
    assert_int_equal(trunk_send_state(&f->m.ch, V3_X86_PV_P2M_FRAMES, &part, 1, &f->e), 0);
    f->reader.in_parts = true;
    do {
        assert_received(f, RECORD_STATE);
        assert_int_equal(f->got.state.v3_type, V3_X86_PV_P2M_FRAMES);
        assert_memory_equal(f->got.state.body, body + at, f->got.state.len_bytes);
        at += f->got.state.len_bytes;
    } while (f->got.state.more);
    assert_int_equal(at, total);
    assert_int_equal(receive(f), -ENODATA);
    assert_true(f->reader.cap_bytes <= 2 << 20);
    free(body);
}

static void test_parts_that_do_not_follow_each_other_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t type, flags, len_bytes;
        const char *says;
    } second[] = {
        {V3_X86_PV_INFO, 0, 8, "not continued"},
        {V3_X86_PV_P2M_FRAMES, 2, 8, "reserved bits"},
        {V3_X86_PV_P2M_FRAMES, 1, 0, "empty"},
        {V3_X86_PV_P2M_FRAMES, 1, 12, "whole words"},
        {0, 0, 0, "ended inside a state"},
    };

    f->reader.in_parts = true;
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        uint8_t bytes[64] = {2, 0, 0, 0, 16, 0, 0, 0, V3_X86_PV_P2M_FRAMES, 0, 0, 0, 1};
        size_t n = 24;

        memory_channel_reset(&f->m);
        if (second[i].type) {
            put_le32(bytes + 24, 2);
            put_le32(bytes + 28, 8 + second[i].len_bytes);
            put_le32(bytes + 32, second[i].type);
            put_le32(bytes + 36, second[i].flags);
            n = 40 + second[i].len_bytes;
        }
        memory_channel_put(&f->m, bytes, n);
        assert_received(f, RECORD_STATE);
        assert_true(f->got.state.more);
        assert_int_equal(receive(f), -EPROTO);
        if (!strstr(f->e.text, second[i].says))
            fail_msg("\"%s\" does not say \"%s\"", f->e.text, second[i].says);
        f->e = (struct err)ERR_INIT;
        f->reader.part_bytes = 0;
    }
}

static void test_states_beyond_their_limit_are_not_sent(void **state)
{
    struct fixture *f = *state;
    uint8_t body[5000] = {0};
    const struct iovec part = {body, 4097};

    assert_int_equal(trunk_send_state(&f->m.ch, V3_SHARED_INFO, &part, 1, &f->e), -EMSGSIZE);
    assert_int_equal(trunk_send_state(&f->m.ch, V3_PAGE_DATA, &part, 1, &f->e), -EMSGSIZE);
    assert_int_equal(trunk_send_state(&f->m.ch, V3_END, NULL, 0, &f->e), -EMSGSIZE);
    assert_int_equal(f->m.len_bytes, 0);
}

static void test_bad_states_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t body[8 + 4097] = {0};
    static const uint32_t not_states[] = {V3_END, V3_PAGE_DATA, V3_TOOLSTACK, V3_VERIFY,
        V3_CHECKPOINT, V3_CHECKPOINT_DIRTY_PFN_LIST, 0x13, 0x80000007, 0xffffffff};

    put_record(f, RECORD_STATE, body, 7);
    assert_refused(f, "length");
    for (unsigned i = 0; i < sizeof(not_states) / sizeof(not_states[0]); i++) {
        put_le32(body, not_states[i]);
        put_record(f, RECORD_STATE, body, 8);
        assert_refused(f, "not a state");
    }
    put_le32(body, V3_SHARED_INFO);
    put_record(f, RECORD_STATE, body, 8 + 4097);
    assert_refused(f, "SHARED_INFO is too long, at most 4096");
    for (unsigned bit = 1; bit < 32; bit++) {
        put_le32(body + 4, 1u << bit);
        put_record(f, RECORD_STATE, body, 8 + 16);
        assert_refused(f, "reserved");
    }
}

/* The first part says MORE; then comes something else. */
static void start_state(struct fixture *f, uint32_t part_bytes)
{
    uint8_t body[8 + 4096] = {0};

    put_le32(body, V3_SHARED_INFO);
    put_le32(body + 4, 1);
    put_record(f, RECORD_STATE, body, 8 + part_bytes);
}

static void continue_state(
    struct fixture *f, uint32_t type, uint32_t v3_type, uint32_t flags, uint32_t part_bytes)
{
    uint8_t record[16 + 4096] = {0};

    put_le32(record, type);
    put_le32(record + 4, 8 + part_bytes);
    put_le32(record + 8, v3_type);
    put_le32(record + 12, flags);
    memory_channel_put(&f->m, record, 16 + part_bytes);
}

static void test_states_that_do_not_go_on_are_refused(void **state)
{
    struct fixture *f = *state;

    start_state(f, 0);
    assert_refused(f, "empty part");
    start_state(f, 100);
    assert_refused(f, "ended inside");
    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_HVM_CONTEXT, 0, 10);
    assert_refused(f, "not continued");
    start_state(f, 100);
    continue_state(f, RECORD_ROUND, 0, 0, 16);
    assert_refused(f, "not continued");
    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_SHARED_INFO, 4, 10);
    assert_refused(f, "reserved");
    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_SHARED_INFO, 1, 0);
    assert_refused(f, "empty part");
    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_SHARED_INFO, 1, 4096);
    assert_refused(f, "too long");
    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_SHARED_INFO, 0, 3996);
    assert_received(f, RECORD_STATE);
    assert_int_equal(f->got.state.len_bytes, 4096);
}

static void test_memory_follows_what_comes(void **state)
{
    struct fixture *f = *state;
    const size_t first_bytes = f->reader.cap_bytes;

    start_state(f, 100);
    continue_state(f, RECORD_STATE, V3_SHARED_INFO, 0, 100);
    assert_received(f, RECORD_STATE);
    assert_true(first_bytes <= 4096);
    assert_int_equal(f->reader.cap_bytes, first_bytes);

    /* Only one part can be announced. */
    const uint8_t header[8] = {RECORD_STATE, 0, 0, 0, 8, 0, 16, 0};

    memory_channel_put(&f->m, header, sizeof(header));
    assert_int_equal(receive(f), -EBADMSG);
    assert_int_equal(f->reader.cap_bytes, 8 + (1 << 20));
}

static void test_optional_records_are_skipped(void **state)
{
    struct fixture *f = *state;
    uint8_t *noise = calloc(1, 65537);

    put_record(f, 0x80000099, noise, 65536);
    assert_int_equal(trunk_send_end(&f->m.ch, &f->e), 0);
    assert_received(f, RECORD_END);
    put_record(f, 0x80000099, noise, 65537);
    assert_refused(f, "at most 65536");
    free(noise);
}

static void test_records_of_a_lane_are_refused_on_the_trunk(void **state)
{
    struct fixture *f = *state;
    uint8_t body[64] = {0};

    put_record(f, RECORD_PAGES, body, 64);
    assert_refused(f, "PAGES");
    put_record(f, 0x55, body, 64);
    assert_refused(f, "0x55");
    /* Its length is legal for PAGES, and more than a trunk would ever read. */
    put_record(f, RECORD_PAGES, body, 64);
    put_le32(f->m.bytes + 4, 2 << 20);
    assert_refused(f, "PAGES");
}

static void test_every_cut_is_an_error(void **state)
{
    struct fixture *f = *state;
    uint8_t info[8] = {8, 4};
    const struct iovec part = {info, sizeof(info)};

    assert_int_equal(trunk_send_state(&f->m.ch, V3_X86_PV_INFO, &part, 1, &f->e), 0);
    for (size_t cut = f->m.len_bytes - 1; cut > 0; cut--) {
        f->m.len_bytes = cut;
        f->m.pos_bytes = 0;
        assert_int_equal(receive(f), -EBADMSG);
        assert_int_equal(f->e.class, ERR_PEER);
    }
}

static void test_what_filled_a_lane_arrives(void **state)
{
    struct fixture *f = *state;
    const struct lane_filled sent = {1ull << 40, 12345};
    struct lane_filled got;
    struct peer_record record;
    uint8_t body[16];
    uint32_t type;
    size_t len_bytes, pos = 0;

    assert_int_equal(lane_send_filled(&f->m.ch, &sent, &f->e), 0);
    assert_true(peer_next_record(f->m.bytes, f->m.len_bytes, &pos, &record));
    assert_int_equal(record.type, 0x14);
    assert_int_equal(get_le64(record.body), 1ull << 40);
    assert_int_equal(get_le64(record.body + 8), 12345);
    assert_int_equal(
        record_recv(&f->m.ch, body, sizeof(body), &type, &len_bytes, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(type, RECORD_FILLED);
    assert_int_equal(lane_decode_filled(&f->m.ch, body, len_bytes, &got, &f->e), 0);
    assert_int_equal(got.bytes, sent.bytes);
    assert_int_equal(got.ns, sent.ns);
    assert_int_equal(lane_decode_filled(&f->m.ch, body, 15, &got, &f->e), -EPROTO);
    body[15] = 0x80; /* a negative time */
    f->e = (struct err)ERR_INIT;
    assert_int_equal(lane_decode_filled(&f->m.ch, body, 16, &got, &f->e), -EPROTO);
}

static void test_lane_ends_arrive_and_are_compared(void **state)
{
    struct fixture *f = *state;
    const struct lane_totals sent = {1, 2, 1ull << 40, 4};
    struct lane_totals got, fewer;
    struct peer_record record;
    uint8_t body[32];
    uint32_t type;
    size_t len_bytes, pos = 0;

    assert_int_equal(lane_send_end(&f->m.ch, &sent, &f->e), 0);
    assert_true(peer_next_record(f->m.bytes, f->m.len_bytes, &pos, &record));
    assert_int_equal(record.type, 0x11);
    assert_int_equal(get_le64(record.body + 16), 1ull << 40);
    assert_int_equal(
        record_recv(&f->m.ch, body, sizeof(body), &type, &len_bytes, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(type, RECORD_LANE_END);
    assert_int_equal(lane_decode_end(&f->m.ch, body, len_bytes, &got, &f->e), 0);
    assert_int_equal(lane_compare_totals(3, &sent, &got, &f->e), 0);
    assert_int_equal(lane_decode_end(&f->m.ch, body, 31, &fewer, &f->e), -EPROTO);

    for (unsigned i = 0; i < 4; i++) {
        fewer = got;
        ((uint64_t *)&fewer)[i]--;
        f->e = (struct err)ERR_INIT;
        assert_int_equal(lane_compare_totals(3, &sent, &fewer, &f->e), -EPROTO);
        assert_non_null(strstr(f->e.text, "lane 3"));
    }
}

static void test_borders_arrive(void **state)
{
    struct fixture *f = *state;
    struct peer_record record;
    uint64_t number = 0;
    uint8_t body[8];
    uint32_t type;
    size_t len_bytes, pos = 0;

    assert_int_equal(lane_send_border(&f->m.ch, 0x0102030405060708, &f->e), 0);
    assert_true(peer_next_record(f->m.bytes, f->m.len_bytes, &pos, &record));
    assert_int_equal(record.type, 0x15);
    assert_int_equal(record.len_bytes, 8);
    assert_memory_equal(record.body, ((const uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
    assert_int_equal(
        record_recv(&f->m.ch, body, sizeof(body), &type, &len_bytes, DEADLINE_NEVER, &f->e), 0);
    assert_int_equal(type, RECORD_BORDER);
    assert_int_equal(lane_decode_border(&f->m.ch, body, len_bytes, &number, &f->e), 0);
    assert_int_equal(number, 0x0102030405060708);
    assert_int_equal(lane_decode_border(&f->m.ch, body, 7, &number, &f->e), -EPROTO);
}

static void test_too_long_records_are_not_sent(void **state)
{
    struct fixture *f = *state;
    uint8_t body[41] = {0};

    assert_int_equal(
        record_send(&f->m.ch, RECORD_HEAD, &(struct iovec){body, 41}, 1, &f->e), -EMSGSIZE);
    assert_int_equal(f->e.class, ERR_INTERNAL);
    assert_int_equal(f->m.len_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_head_is_what_the_format_says),
        TEST(test_bad_heads_are_refused),
        TEST(test_rounds_lanes_and_end_arrive),
        TEST(test_bad_rounds_lanes_and_ends_are_refused),
        TEST(test_results_arrive),
        TEST(test_a_failure_without_a_code_stays_a_failure),
        TEST(test_the_longest_text_of_a_failure_fits),
        TEST(test_bad_results_are_refused),
        TEST(test_a_state_arrives_as_it_was),
        TEST(test_a_large_state_is_cut_and_put_together),
        TEST(test_a_long_p2m_list_is_taken_in_parts),
        TEST(test_parts_that_do_not_follow_each_other_are_refused),
        TEST(test_states_beyond_their_limit_are_not_sent),
        TEST(test_bad_states_are_refused),
        TEST(test_states_that_do_not_go_on_are_refused),
        TEST(test_memory_follows_what_comes),
        TEST(test_optional_records_are_skipped),
        TEST(test_records_of_a_lane_are_refused_on_the_trunk),
        TEST(test_every_cut_is_an_error),
        TEST(test_what_filled_a_lane_arrives),
        TEST(test_lane_ends_arrive_and_are_compared),
        TEST(test_borders_arrive),
        TEST(test_too_long_records_are_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
