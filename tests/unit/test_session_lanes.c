/* SPDX-License-Identifier: MIT */
/* The connections of a session: all come, each where it belongs; what is not expected, is there
 * already, hangs or belongs to somebody else changes nothing and keeps nobody waiting. */
#include "tests/unit/hosts.h"

#include "base/io.h"
#include "cmd/session_lanes.h"
#include "crypto/token.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static const uint8_t id[PEER_SESSION_BYTES] = {1, 2, 3};
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

    /* What the destination saw, in the order in which it ended. */
    unsigned expected, ended;
    uint16_t lanes[CONNECTIONS];
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

/* Its preamble is here or will be at once. */
static void accept_next(struct meeting *m)
{
    struct preamble_reader reader = {.have_bytes = 0};
    struct preamble preamble;
    const unsigned i = m->ended;
    const int fd = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int fed = 0;

    while (fed == 0 && !io_wait(fd, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)))
        fed = preamble_read(&reader, fd, &preamble, &m->e[i]);
    m->lanes[i] = preamble.lane;
    m->rc[i] = session_lanes_accept(&m->to, &m->dest, fd, &preamble, &m->e[i]);
    if (m->rc[i])
        m->ended++;
}

static void *run_dest(void *arg)
{
    struct meeting *m = arg;

    while (m->ended < m->expected) {
        struct err e = ERR_INIT;
        unsigned i = m->ended;

        if (!m->to.under_way)
            session_lanes_expect(&m->to, &e);
        if (session_lanes_wait(&m->to, &m->dest, m->listener, deadline_in(TEST_LIMIT_NS), &e))
            break;
        if (!io_wait(m->listener, POLLIN, NULL, now_ns()))
            accept_next(m);
        while (m->to.under_way && (i = m->ended) < CONNECTIONS &&
               (m->rc[i] = session_lanes_settle(&m->to, &m->dest, &m->lanes[i], &m->e[i])))
            m->ended++;
    }
    return NULL;
}

static void expect_connections(struct meeting *m, unsigned count)
{
    m->expected = m->ended + count;
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

/* One was, and says so. */
static void assert_refused(const struct meeting *m, const char *words)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < m->ended; i++)
        refused += m->rc[i] == -EPROTO && strstr(m->e[i].text, words);
    assert_int_equal(refused, 1);
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void all_come_each_where_it_belongs(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;
    unsigned progress = 0;

    expect_connections(m, 4);
    assert_int_equal(session_lanes_connect(&m->from, &m->source, &m->at, count, &progress, &e), 0);
    pthread_join(m->thread, NULL);
    assert_int_equal(progress, 4);
    assert_true(session_lanes_are_all(&m->to, &m->dest));
    assert_joined(m->from.trunk, m->to.trunk);
    for (unsigned i = 0; i < 3; i++)
        assert_joined(m->from.lanes[i], m->to.lanes[i]);
    assert_null(m->to.lanes[3]);
    assert_ptr_equal(m->from.lanes[0]->cancel, &m->cancel);
    assert_ptr_equal(m->to.trunk->cancel, &m->cancel);
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
    expect_connections(m, 4);
    assert_true(connect_all(m, &e) < 0);
    assert_refused(m, "not expected");
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
    assert_refused(m, "not expected");
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

static void a_stranger_leaves_the_place_free(void **state)
{
    struct meeting *m = *state;
    struct session stranger = m->source;
    struct session_lanes strange = {0};
    struct err e = ERR_INIT, none = ERR_INIT;

    stranger.key = other_key; /* its tokens are wrong, too */
    stranger.lanes = 0;
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

/* A stranger's connection to one of the places, which says so much of what it should. */
static int connect_stranger(struct meeting *m, uint16_t lane, const void *said, size_t said_bytes)
{
    struct preamble p = {.major = WIRE_MAJOR, .minor = WIRE_MINOR, .insecure = true, .lane = lane};
    uint8_t bytes[PREAMBLE_BYTES];
    struct err e = ERR_INIT;
    const int fd = tcp_connect(&m->at, NULL, deadline_in(TEST_LIMIT_NS), &e);

    assert_int_equal(lane_token(key, id, lane, p.token, &e), 0);
    preamble_encode(&p, bytes);
    assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(send(fd, said, said_bytes, 0), said_bytes);
    return fd;
}

static void silent_strangers_keep_nobody_waiting(void **state)
{
    enum { STRANGERS = 3 };
    static const uint16_t lanes[STRANGERS] = {LANE_TRUNK, 0, 0};
    struct meeting *m = *state;
    const int64_t begin_ns = now_ns();
    struct err e = ERR_INIT;
    int fd[STRANGERS];

    for (unsigned i = 0; i < STRANGERS; i++)
        fd[i] = connect_stranger(m, lanes[i], "half of a proof", i ? sizeof("half") : 0);
    expect_connections(m, 4);
    assert_int_equal(connect_all(m, &e), 0);
    assert_true(now_ns() - begin_ns < 3 * NS_PER_S);
    assert_joined(m->from.trunk, m->to.trunk);
    assert_joined(m->from.lanes[0], m->to.lanes[0]);
    /* And they are not there any more. */
    for (unsigned i = 0; i < STRANGERS; i++) {
        char answer[PREAMBLE_ANSWER_BYTES + 1];

        assert_false(io_wait(fd[i], POLLIN, NULL, deadline_in(TEST_LIMIT_NS)));
        assert_true(recv(fd[i], answer, sizeof(answer), MSG_WAITALL) <= PREAMBLE_ANSWER_BYTES);
        close(fd[i]);
    }
}

/* Of those that wait the oldest goes, and the threads are as many as before. */
static void strangers_are_bounded(void **state)
{
    enum { STRANGERS = SESSION_LANES_WAITING + 2 };
    struct meeting *m = *state;
    struct err e = ERR_INIT;
    int fd[STRANGERS];

    assert_int_equal(session_lanes_expect(&m->to, &e), 0);
    for (unsigned i = 0; i < STRANGERS; i++) {
        fd[i] = connect_stranger(m, 1, "", 0);
        assert_false(io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)));
        accept_next(m);
    }
    for (unsigned i = 0; i < STRANGERS; i++) {
        char answer[PREAMBLE_ANSWER_BYTES + 1];
        ssize_t n;

        io_wait(fd[i], POLLIN, NULL, deadline_in(TEST_LIMIT_NS));
        n = recv(fd[i], answer, PREAMBLE_ANSWER_BYTES, MSG_WAITALL);
        if (i < STRANGERS - SESSION_LANES_WAITING) {
            if (n > 0)
                n = recv(fd[i], answer, 1, MSG_WAITALL);
            assert_true(n == 0 || errno == ECONNRESET); /* dropped */
        } else {
            assert_int_equal(n, PREAMBLE_ANSWER_BYTES);
            assert_int_equal(recv(fd[i], answer, 1, MSG_DONTWAIT), -1);
            assert_int_equal(errno, EAGAIN); /* still there */
        }
        close(fd[i]);
    }
    assert_int_equal(m->to.count, 0);
}

static void *run_source(void *arg)
{
    struct meeting *m = arg;
    struct err e = ERR_INIT;
    const int rc = session_lanes_connect(&m->from, &m->source, &m->at, NULL, NULL, &e);

    return (void *)(intptr_t)rc;
}

/* It may be through, and its taker may not have come yet. */
static void a_crowd_of_strangers_does_not_drop_what_is_proven(void **state)
{
    enum { STRANGERS = SESSION_LANES_WAITING, OURS = 4 };
    struct meeting *m = *state;
    struct err e = ERR_INIT;
    int fd[STRANGERS];
    uint16_t lane;
    void *rc;

    assert_int_equal(session_lanes_expect(&m->to, &e), 0);
    assert_int_equal(pthread_create(&m->thread, NULL, run_source, m), 0);
    for (unsigned i = 0; i < OURS; i++) {
        assert_false(io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)));
        accept_next(m);
    }
    pthread_join(m->thread, &rc);
    assert_null(rc);
    sleep_until_ns(deadline_in(100 * NS_PER_MS)); /* the last of its threads has ended */
    for (unsigned i = 0; i < STRANGERS; i++) {
        fd[i] = connect_stranger(m, 1, "", 0);
        assert_false(io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)));
        accept_next(m);
    }
    for (unsigned i = 0; i < OURS; i++)
        assert_int_equal(session_lanes_settle(&m->to, &m->dest, &lane, &e), 1);
    assert_true(session_lanes_are_all(&m->to, &m->dest));
    for (unsigned i = 0; i < STRANGERS; i++)
        close(fd[i]);
}

static void a_silent_stranger_is_given_up_after_a_while(void **state)
{
    struct meeting *m = *state;

    m->dest.connect_ns = 200 * NS_PER_MS; /* that holds, however slow control was */
    m->dest.control_handshake_ns = NS_PER_S;
    const int fd = connect_stranger(m, 1, "", 0);

    expect_connections(m, 1);
    pthread_join(m->thread, NULL);
    assert_int_equal(m->rc[0], -ETIMEDOUT);
    assert_null(m->to.lanes[1]);
    close(fd);
}

/* --- a destination that hangs or is not there --- */

static void assert_unmade(struct meeting *m, const char *words, int64_t within_ns)
{
    const int64_t begin_ns = now_ns();
    struct err e = ERR_INIT;
    const int rc = session_lanes_connect(&m->from, &m->source, &m->at, NULL, NULL, &e);

    assert_true(rc < 0);
    assert_true(now_ns() - begin_ns < within_ns);
    assert_says(&e, "127.0.0.1");
    assert_says(&e, words);
    assert_null(m->from.under_way);
}

static void a_destination_that_is_not_there_is_named(void **state)
{
    struct meeting *m = *state;

    close(m->listener);
    m->listener = -1;
    assert_unmade(m, "nothing listens there", TEST_LIMIT_NS / 2);
}

/* It is connected to by the kernel alone. */
static void a_destination_that_says_nothing_is_given_up(void **state)
{
    struct meeting *m = *state;

    m->source.connect_ns = 200 * NS_PER_MS;
    assert_unmade(m, "timed out", TEST_LIMIT_NS / 2);
}

static void *answer_preambles(void *arg)
{
    struct meeting *m = arg;
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < 4; i++) {
        io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS));
        m->rc[i] = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        preamble_answer(m->rc[i], i == m->expected ? PREAMBLE_BUSY : PREAMBLE_OK, NULL,
            deadline_in(TEST_LIMIT_NS), &e);
    }
    return NULL;
}

/* No proof comes; or one is refused, and that is said, although others hang. */
static void connect_to_answers(struct meeting *m, unsigned busy, const char *words)
{
    m->expected = busy;
    assert_int_equal(pthread_create(&m->thread, NULL, answer_preambles, m), 0);
    assert_unmade(m, words, TEST_LIMIT_NS / 2);
    pthread_join(m->thread, NULL);
    for (unsigned i = 0; i < 4; i++)
        close(m->rc[i]);
}

static void a_destination_that_proves_nothing_is_given_up(void **state)
{
    struct meeting *m = *state;

    m->source.connect_ns = 300 * NS_PER_MS;
    connect_to_answers(m, CONNECTIONS, "the peer is silent");
}

/* A host that was slow with control's handshake is slow with these, too. */
static void slow_paths_and_slow_hosts_get_longer_to_prove_it(void **state)
{
    (void)state;
    assert_int_equal(session_lanes_answer_ns(0, 0), 5 * NS_PER_S);
    assert_int_equal(session_lanes_answer_ns(100 * NS_PER_MS, 200 * NS_PER_MS), 5 * NS_PER_S);
    assert_int_equal(session_lanes_answer_ns(NS_PER_S, 0), 12 * NS_PER_S);
    assert_int_equal(session_lanes_answer_ns(NS_PER_S, 2 * NS_PER_S), 16 * NS_PER_S);
    assert_int_equal(session_lanes_answer_ns(0, 3 * NS_PER_S), 24 * NS_PER_S);
}

static void the_first_that_fails_ends_all(void **state)
{
    connect_to_answers(*state, 3, "too many connections");
}

static void *cancel_later(void *arg)
{
    struct meeting *m = arg;

    sleep_until_ns(deadline_in(100 * NS_PER_MS));
    cancel_fire(&m->cancel);
    return NULL;
}

static void cancel_ends_all_at_once(void **state)
{
    struct meeting *m = *state;
    const int64_t begin_ns = now_ns();
    struct err e = ERR_INIT;

    assert_int_equal(pthread_create(&m->thread, NULL, cancel_later, m), 0);
    assert_int_equal(connect_all(m, &e), -ECANCELED);
    assert_true(now_ns() - begin_ns < TEST_LIMIT_NS / 2);
    assert_int_equal(e.class, ERR_CANCELLED);
}

static void a_cap_holds_for_all_together(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    m->source.bits_per_s = 1000000000;
    expect_connections(m, 4);
    assert_int_equal(connect_all(m, &e), 0);
    assert_true(m->from.paced);
    assert_ptr_equal(m->from.lanes[0]->throttle_arg, &m->from.bucket);
    assert_ptr_equal(m->from.trunk->throttle_arg, &m->from.bucket);
    assert_true(m->from.lanes[0]->slice_bytes);
    assert_false(m->to.paced);
    /* It may be lifted, and set, while they are open. */
    session_lanes_cap(&m->from, 0);
    assert_int_equal(m->from.lanes[0]->slice_bytes, 0);
    assert_int_equal(m->from.trunk->slice_bytes, 0);
    session_lanes_cap(&m->from, 8000000);
    assert_int_equal(m->from.lanes[0]->slice_bytes, bucket_slice_bytes(8000000));
    assert_int_equal(m->from.bucket.bits_per_s, 8000000);
    session_lanes_close(&m->from);
    assert_false(m->from.paced);
}

#define ON_MEETING(f) cmocka_unit_test_setup_teardown(f, make_meeting, drop_meeting)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_MEETING(all_come_each_where_it_belongs),
        ON_MEETING(lanes_come_without_a_trunk),
        ON_MEETING(a_trunk_that_is_not_expected_is_refused),
        ON_MEETING(a_lane_too_many_is_refused),
        ON_MEETING(a_second_one_of_a_number_changes_nothing),
        ON_MEETING(a_stranger_leaves_the_place_free),
        ON_MEETING(silent_strangers_keep_nobody_waiting),
        ON_MEETING(strangers_are_bounded),
        ON_MEETING(a_crowd_of_strangers_does_not_drop_what_is_proven),
        ON_MEETING(a_silent_stranger_is_given_up_after_a_while),
        ON_MEETING(a_destination_that_is_not_there_is_named),
        ON_MEETING(a_destination_that_says_nothing_is_given_up),
        ON_MEETING(a_destination_that_proves_nothing_is_given_up),
        cmocka_unit_test(slow_paths_and_slow_hosts_get_longer_to_prove_it),
        ON_MEETING(the_first_that_fails_ends_all),
        ON_MEETING(cancel_ends_all_at_once),
        ON_MEETING(a_cap_holds_for_all_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
