/* SPDX-License-Identifier: MIT */
/* Connections whole: control, then lanes that prove that they belong to it. Every step that
 * somebody leaves out or gets wrong ends in no channel at either end. */
#include "tests/unit/hosts.h"

#include "base/io.h"
#include "crypto/peer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

static const uint8_t session[PEER_SESSION_BYTES] = {1, 2, 3};
static const uint8_t other_session[PEER_SESSION_BYTES] = {1, 2, 4};
static const uint8_t key[PEER_KEY_BYTES] = {9, 8, 7};
static const uint8_t other_key[PEER_KEY_BYTES] = {9, 8, 6};

/* What one end of a connection was given, and what became of it. */
struct side {
    struct peer_params p;
    struct channel *ch;
    struct tls_peer peer;
    struct err err;
    int rc;
};

struct meeting {
    unsigned closes, came; /* so many that come are closed at once; so many came */
    struct host a, b;      /* client, server */
    struct side client, server;
    struct tcp_address at;
    int listener;
};

static int make_meeting(void **state)
{
    struct meeting *m = calloc(1, sizeof(*m));
    struct err e = ERR_INIT;

    make_host_dir(&m->a);
    make_host_dir(&m->b);
    open_host(&m->a);
    open_host(&m->b);
    let_trust(&m->a, &m->b);
    let_trust(&m->b, &m->a);
    strcpy(m->at.host, "127.0.0.1");
    m->listener = tcp_listen(&m->at, &m->at.port, &e);
    *state = m;
    return m->listener < 0;
}

static void forget(struct meeting *m)
{
    channel_close(m->client.ch);
    channel_close(m->server.ch);
    m->client.ch = m->server.ch = NULL;
}

static int drop_meeting(void **state)
{
    struct meeting *m = *state;

    forget(m);
    close(m->listener);
    drop_host(&m->a);
    drop_host(&m->b);
    free(m);
    return 0;
}

static struct side side_of(struct tls_context *tls, const struct host *peer, uint16_t lane)
{
    struct side s = {.p = {.tls = tls,
                         .lane = lane,
                         .stall_ns = TEST_LIMIT_NS,
                         .deadline_ns = deadline_in(TEST_LIMIT_NS)}};

    if (lane == LANE_CONTROL)
        return s;
    memset(s.p.token, 0x5a, sizeof(s.p.token));
    s.p.session = session;
    s.p.key = key;
    s.p.expected_fingerprint = tls ? tls_own_fingerprint(peer->tls) : NULL;
    return s;
}

static void aim(struct meeting *m, uint16_t lane)
{
    forget(m);
    m->client = side_of(m->a.tls, &m->b, lane);
    m->server = side_of(m->b.tls, &m->a, lane);
}

/* The first that is not closed. -1: nobody came. */
static int take_in(struct meeting *m)
{
    for (;;) {
        if (io_wait(m->listener, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)))
            return -1;

        const int fd = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (++m->came > m->closes)
            return fd;
        close(fd);
    }
}

/* As the acceptor does it: read the preamble, then hand both on. */
static void *run_server(void *arg)
{
    struct meeting *m = arg;
    struct preamble_reader reader = {.have_bytes = 0};
    struct preamble preamble;
    int fed = 0;

    const int fd = take_in(m);

    while (fed == 0 && !io_wait(fd, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)))
        fed = preamble_read(&reader, fd, &preamble, &m->server.err);
    if (fed == 1)
        m->server.rc = peer_accept(
            fd, &preamble, &m->server.p, &m->server.ch, &m->server.peer, &m->server.err);
    else
        close(fd);
    return NULL;
}

static void meet_by(struct meeting *m, __typeof__(peer_connect) *connect)
{
    struct side *c = &m->client;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_server, m), 0);
    c->rc = connect(&m->at, &c->p, &c->ch, &c->peer, &c->err);
    pthread_join(thread, NULL);
}

static void meet(struct meeting *m)
{
    meet_by(m, peer_connect);
}

static void assert_talk(struct meeting *m)
{
    struct err e = ERR_INIT;
    char got[6];

    if (m->client.rc || m->server.rc)
        fail_msg("%s / %s", m->client.err.text, m->server.err.text);
    assert_int_equal(channel_send(m->client.ch, &(struct iovec){"hello", 6}, 1, &e), 0);
    assert_int_equal(channel_recv(m->server.ch, got, 6, deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_string_equal(got, "hello");
}

static void assert_refused(const struct meeting *m)
{
    assert_true(m->client.rc < 0 && m->server.rc < 0);
    assert_true(err_is_set(&m->client.err) && err_is_set(&m->server.err));
    assert_null(m->client.ch);
    assert_null(m->server.ch);
}

static void test_control_trunk_and_lanes_open(void **state)
{
    static const uint16_t lanes[] = {LANE_CONTROL, LANE_TRUNK, 0, 63};
    struct meeting *m = *state;

    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        aim(m, lanes[i]);
        meet(m);
        assert_talk(m);
        assert_string_equal(m->client.peer.fingerprint, tls_own_fingerprint(m->b.tls));
        assert_string_equal(m->server.peer.fingerprint, tls_own_fingerprint(m->a.tls));
        assert_string_equal(m->server.peer.name, "peer");
    }
    assert_int_equal(strncmp(m->client.ch->name, "lane 63 to 127.0.0.1:", 21), 0);
    assert_int_equal(strncmp(m->server.ch->name, "lane 63 from 127.0.0.1:", 23), 0);
}

static void test_a_lane_without_the_key_is_refused(void **state)
{
    struct meeting *m = *state;

    aim(m, 3);
    m->client.p.key = other_key;
    meet(m);
    assert_refused(m);
    assert_int_equal(m->server.rc, -EACCES);
    assert_says(&m->server.err, "does not prove that it belongs to this migration");
    assert_says(&m->client.err, "closed without proving that it belongs to this migration");
}

/* The server that holds another key says nothing, so the client does not talk to it either. */
/* Somebody between the two may swap the tokens of two lanes. */
static void test_a_lane_of_another_session_is_refused(void **state)
{
    struct meeting *m = *state;

    aim(m, 3);
    m->client.p.session = other_session;
    meet(m);
    assert_refused(m);
    assert_says(&m->server.err, "does not prove that it belongs to this migration");
}

static void test_a_server_without_the_key_is_refused(void **state)
{
    struct meeting *m = *state;

    aim(m, LANE_TRUNK);
    m->server.p.key = other_key;
    meet(m);
    assert_refused(m);
}

/* Another host, and this one trusts it, as it does this one. */
static void make_third_host(struct host *third, struct host *friend)
{
    make_host_dir(third);
    open_host(third);
    let_trust(third, friend);
    let_trust(friend, third);
}

static void test_a_lane_from_another_trusted_host_is_refused(void **state)
{
    struct meeting *m = *state;
    struct host third;

    make_third_host(&third, &m->b);
    aim(m, 3);
    m->client.p.tls = third.tls; /* with key and all */
    meet(m);
    assert_refused(m);
    assert_says(&m->server.err, "but the migration is with");
    drop_host(&third);
}

static void test_a_lane_to_another_trusted_host_is_refused(void **state)
{
    struct meeting *m = *state;
    struct host third;

    make_third_host(&third, &m->a);
    aim(m, 3);
    m->server.p.tls = third.tls;
    meet(m);
    assert_refused(m);
    assert_says(&m->client.err, "but the migration is with");
    drop_host(&third);
}

static void test_control_may_be_for_one_trusted_host_alone(void **state)
{
    struct meeting *m = *state;
    struct host third;

    make_third_host(&third, &m->a);
    aim(m, LANE_CONTROL);
    m->client.p.expected_fingerprint = tls_own_fingerprint(m->b.tls);
    meet(m);
    assert_talk(m);
    aim(m, LANE_CONTROL);
    m->client.p.expected_fingerprint = tls_own_fingerprint(m->b.tls);
    m->server.p.tls = third.tls;
    meet(m);
    assert_refused(m);
    assert_says(&m->client.err, "somebody else answers there");
    drop_host(&third);
}

static void test_what_the_router_passed_on_wrongly_is_refused(void **state)
{
    struct meeting *m = *state;

    aim(m, 3);
    m->client.p.token[0] ^= 1;
    meet(m);
    assert_refused(m);
    assert_says(&m->client.err, "no longer knows this migration");

    aim(m, 3);
    m->client.p.lane = 4;
    meet(m);
    assert_refused(m);
}

static void test_an_untrusted_host_gets_no_control(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    assert_int_equal(trust_remove(m->b.dir, "peer", &e), 0);
    open_host_again(&m->b);
    aim(m, LANE_CONTROL);
    meet(m);
    assert_refused(m);
    assert_int_equal(m->client.err.class, ERR_REFUSED);
    assert_says(&m->server.err, "which is not trusted here");
    assert_says(&m->client.err, "does not trust this host's identity");
}

static void test_plaintext_needs_both_ends_and_still_the_proof(void **state)
{
    struct meeting *m = *state;

    aim(m, LANE_CONTROL);
    m->client.p.tls = NULL;
    meet(m);
    assert_refused(m);
    assert_says(&m->client.err, "--insecure");
    assert_says(&m->server.err, "--insecure");

    aim(m, LANE_CONTROL);
    m->server.p.tls = NULL;
    meet(m);
    assert_refused(m);
    assert_says(&m->client.err, "--insecure");
    assert_says(&m->server.err, "--insecure");

    aim(m, 3);
    m->client.p.tls = m->server.p.tls = NULL;
    meet(m);
    assert_talk(m);
    assert_string_equal(m->client.peer.fingerprint, "");

    aim(m, 3);
    m->client.p.tls = m->server.p.tls = NULL;
    m->client.p.key = other_key;
    meet(m);
    assert_refused(m);
}

static void test_a_lane_must_be_given_what_proves_it(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    aim(m, 3);
    m->client.p.key = NULL;
    assert_int_equal(
        peer_connect(&m->at, &m->client.p, &m->client.ch, &m->client.peer, &e), -EINVAL);
    assert_int_equal(e.class, ERR_INTERNAL);
    aim(m, 3);
    m->client.p.expected_fingerprint = NULL;
    assert_int_equal(
        peer_connect(&m->at, &m->client.p, &m->client.ch, &m->client.peer, &e), -EINVAL);
}

/* A crowded host closes those that have not proven who they are. */
static void test_who_is_turned_away_comes_again(void **state)
{
    struct meeting *m = *state;

    aim(m, LANE_CONTROL);
    m->closes = 3;
    meet_by(m, peer_connect_patiently);
    assert_talk(m);
    assert_int_equal(m->came, 4);
}

static void test_who_is_turned_away_again_and_again_says_so(void **state)
{
    struct meeting *m = *state;

    aim(m, LANE_CONTROL);
    m->closes = 7;
    m->server.p.deadline_ns = deadline_in(TEST_LIMIT_NS);
    m->server.p.tls = NULL; /* and the eighth time it is told why */
    meet_by(m, peer_connect_patiently);
    assert_refused(m);
    assert_int_equal(m->came, 8);
    assert_says(&m->client.err, "--insecure");
    assert_says(&m->client.err, "tried 8 times");
}

/* One that is no friend stays away. */
static void test_who_is_refused_does_not_come_again(void **state)
{
    struct meeting *m = *state;
    struct err e = ERR_INIT;

    assert_int_equal(trust_remove(m->b.dir, "peer", &e), 0);
    open_host_again(&m->b);
    aim(m, LANE_CONTROL);
    meet_by(m, peer_connect_patiently);
    assert_refused(m);
    assert_int_equal(m->came, 1);
    assert_says(&m->client.err, "does not trust this host's identity");
}

/* A port that accepts and says nothing, at each step up to TLS. */
static void test_a_silent_server_ends_at_the_deadline(void **state)
{
    struct meeting *m = *state;

    aim(m, LANE_CONTROL);
    m->client.p.deadline_ns = deadline_in(100 * NS_PER_MS);
    m->client.rc = peer_connect(
        &m->at, &m->client.p, &m->client.ch, &m->client.peer, &m->client.err);
    assert_int_equal(m->client.rc, -ETIMEDOUT);
    assert_null(m->client.ch);
}

#define MEETING(f) cmocka_unit_test_setup_teardown(f, make_meeting, drop_meeting)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEETING(test_control_trunk_and_lanes_open),
        MEETING(test_a_lane_without_the_key_is_refused),
        MEETING(test_a_lane_of_another_session_is_refused),
        MEETING(test_a_server_without_the_key_is_refused),
        MEETING(test_a_lane_from_another_trusted_host_is_refused),
        MEETING(test_a_lane_to_another_trusted_host_is_refused),
        MEETING(test_control_may_be_for_one_trusted_host_alone),
        MEETING(test_what_the_router_passed_on_wrongly_is_refused),
        MEETING(test_an_untrusted_host_gets_no_control),
        MEETING(test_who_is_turned_away_comes_again),
        MEETING(test_who_is_turned_away_again_and_again_says_so),
        MEETING(test_who_is_refused_does_not_come_again),
        MEETING(test_plaintext_needs_both_ends_and_still_the_proof),
        MEETING(test_a_lane_must_be_given_what_proves_it),
        MEETING(test_a_silent_server_ends_at_the_deadline),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
