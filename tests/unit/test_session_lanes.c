/* SPDX-License-Identifier: MIT */
/* The connections of a session: all come, in order, each where it belongs; what is not expected, is
 * there already or belongs to somebody else changes nothing. */
#include "tests/unit/hosts.h"

#include "base/io.h"
#include "cmd/session_lanes.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static const uint8_t id[PREAMBLE_SESSION_BYTES] = {1, 2, 3};
static const uint8_t key[PEER_KEY_BYTES] = {9, 8, 7};
static const uint8_t other_key[PEER_KEY_BYTES] = {9, 8, 6};

enum { CONNECTIONS = 8 };

struct meeting {
    struct tcp_address at;
    int listener;
    struct cancel cancel;
    struct session source, dest;
    struct session_lanes from, to;
    pthread_t thread;

    /* What the destination saw. */
    unsigned expected, came;
    uint16_t lanes[CONNECTIONS]; /* in the order in which they came */
    int rc[CONNECTIONS];
    struct err e[CONNECTIONS];
};

static int make_meeting(void **state)
{
    struct meeting *m = calloc(1, sizeof(*m));
    struct err e = ERR_INIT;

    strcpy(m->at.host, "127.0.0.1");
    m->listener = tcp_listen(&m->at, &m->at.port, &e);
    assert_int_equal(cancel_init(&m->cancel, &e), 0);
    m->source = m->dest = (struct session){
        .id = id,
        .key = key,
        .cancel = &m->cancel,
        .stall_ns = TEST_LIMIT_NS,
        .connect_ns = TEST_LIMIT_NS,
        .lanes = 3,
        .has_trunk = true,
    };
    *state = m;
    return m->listener < 0;
}

static int drop_meeting(void **state)
{
    struct meeting *m = *state;

    session_lanes_close(&m->from);
    session_lanes_close(&m->to);
    cancel_destroy(&m->cancel);
    close(m->listener);
    free(m);
    return 0;
}

static void *run_dest(void *arg)
{
    struct meeting *m = arg;

    for (; m->came < m->expected; m->came++) {
        struct preamble_reader reader = {.have_bytes = 0};
        struct preamble preamble;
        const unsigned i = m->came;
        int fed = 0;

        io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS));

        const int fd = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        while (fed == 0 && !io_wait(fd, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)))
            fed = preamble_read(&reader, fd, &preamble, &m->e[i]);
        m->lanes[i] = preamble.lane;
        m->rc[i] = session_lanes_accept(&m->to, &m->dest, fd, &preamble, &m->e[i]);
    }
    return NULL;
}

static void expect_connections(struct meeting *m, unsigned count)
{
    m->expected = m->came + count;
    assert_int_equal(pthread_create(&m->thread, NULL, run_dest, m), 0);
}

static int connect_all(struct meeting *m, struct err *e)
{
    const int rc = session_lanes_connect(&m->from, &m->source, &m->at, NULL, NULL, e);

    pthread_join(m->thread, NULL);
    return rc;
}

static void assert_joined(struct channel *from, struct channel *to)
{
    struct err e = ERR_INIT;
    char got[6];

    assert_non_null(from);
    assert_non_null(to);
    assert_int_equal(channel_send(from, &(struct iovec){"hello", 6}, 1, &e), 0);
    assert_int_equal(channel_recv(to, got, 6, deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_string_equal(got, "hello");
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void all_come_in_order_each_where_it_belongs(void **state)
{
    struct meeting *m = *state;
    static const uint16_t order[] = {LANE_TRUNK, 0, 1, 2};
    struct err e = ERR_INIT;
    unsigned progress = 0;

    expect_connections(m, 4);
    assert_int_equal(session_lanes_connect(&m->from, &m->source, &m->at, count, &progress, &e), 0);
    pthread_join(m->thread, NULL);
    assert_int_equal(progress, 3);
    assert_memory_equal(m->lanes, order, sizeof(order));
    assert_joined(m->from.trunk, m->to.trunk);
    for (unsigned i = 0; i < 3; i++)
        assert_joined(m->from.lanes[i], m->to.lanes[i]);
    assert_null(m->to.lanes[3]);
}

static void lanes_come_without_a_trunk(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    m->source.has_trunk = m->dest.has_trunk = false;
    expect_connections(m, 3);
    assert_int_equal(connect_all(m, &e), 0);
    assert_null(m->to.trunk);
    assert_joined(m->from.lanes[2], m->to.lanes[2]);
}

static void a_trunk_that_is_not_expected_is_refused(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    m->dest.has_trunk = false;
    expect_connections(m, 1);
    assert_true(connect_all(m, &e) < 0);
    assert_int_equal(m->rc[0], -EPROTO);
    assert_says(&m->e[0], "not expected");
    assert_null(m->from.trunk);
    assert_null(m->to.trunk);
}

static void a_lane_too_many_is_refused(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    m->source.lanes = 4;
    expect_connections(m, 5);
    assert_true(connect_all(m, &e) < 0);
    assert_int_equal(m->rc[4], -EPROTO);
    assert_joined(m->from.lanes[2], m->to.lanes[2]);
}

static void a_second_one_of_a_number_changes_nothing(void **state)
{
    struct meeting *m = *state;
    struct session_lanes twice = {0};
    struct err e = ERR_INIT;

    expect_connections(m, 4);
    assert_int_equal(connect_all(m, &e), 0);
    expect_connections(m, 1);
    assert_true(session_lanes_connect(&twice, &m->source, &m->at, NULL, NULL, &e) < 0);
    pthread_join(m->thread, NULL);
    session_lanes_close(&twice);
    assert_int_equal(m->rc[4], -EPROTO);
    assert_joined(m->from.trunk, m->to.trunk);
}

/* Anybody can read a session's number off the wire. */
static void a_stranger_leaves_the_place_free(void **state)
{
    struct meeting *m = *state;
    struct session stranger = m->source;
    struct session_lanes strange = {0};
    struct err e = ERR_INIT, none = ERR_INIT;

    stranger.key = other_key;
    expect_connections(m, 1);
    assert_true(session_lanes_connect(&strange, &stranger, &m->at, NULL, NULL, &e) < 0);
    pthread_join(m->thread, NULL);
    session_lanes_close(&strange);
    assert_true(m->rc[0] < 0);
    assert_null(m->to.trunk);
    expect_connections(m, 4);
    assert_int_equal(connect_all(m, &none), 0);
    assert_joined(m->from.trunk, m->to.trunk);
}

static void a_cap_holds_for_all_together(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    m->source.bits_per_s = 1000000000;
    expect_connections(m, 4);
    assert_int_equal(connect_all(m, &e), 0);
    assert_true(m->from.capped);
    assert_ptr_equal(m->from.lanes[0]->throttle_arg, &m->from.bucket);
    assert_ptr_equal(m->from.trunk->throttle_arg, &m->from.bucket);
    assert_false(m->to.capped);
    session_lanes_close(&m->from);
    assert_false(m->from.capped);
}

#define ON_MEETING(f) cmocka_unit_test_setup_teardown(f, make_meeting, drop_meeting)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_MEETING(all_come_in_order_each_where_it_belongs),
        ON_MEETING(lanes_come_without_a_trunk),
        ON_MEETING(a_trunk_that_is_not_expected_is_refused),
        ON_MEETING(a_lane_too_many_is_refused),
        ON_MEETING(a_second_one_of_a_number_changes_nothing),
        ON_MEETING(a_stranger_leaves_the_place_free),
        ON_MEETING(a_cap_holds_for_all_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
