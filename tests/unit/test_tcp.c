/* SPDX-License-Identifier: MIT */
/* TCP: addresses as people write them, connecting and listening that say what is wrong, and the
 * plain channel's contract. */
#include "base/cancel.h"
#include "base/deadline.h"
#include "base/io.h"
#include "tests/unit/hosts.h"
#include "transport/tcp_local.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>

/* Addresses */

struct written {
    const char *text;
    const char *host; /* NULL: refused */
    uint16_t port;
};

static void check_addresses(const struct written *w, size_t count, bool listening)
{
    for (size_t i = 0; i < count; i++) {
        struct tcp_address a;
        struct err e = ERR_INIT;
        const int rc = tcp_parse_address(w[i].text, listening, &a, &e);

        if (!w[i].host) {
            if (rc != -EINVAL || e.class != ERR_USAGE)
                fail_msg("\"%s\" was not refused", w[i].text);
            assert_says(&e, w[i].text);
            continue;
        }
        if (rc || strcmp(a.host, w[i].host) || a.port != w[i].port)
            fail_msg("\"%s\" gave \"%s\" port %u", w[i].text, a.host, a.port);
    }
}

static void test_where_to_connect(void **state)
{
    static const struct written good_and_bad[] = {
        {"host2", "host2", 8002},
        {"host2.example.org:9", "host2.example.org", 9},
        {"192.0.2.7", "192.0.2.7", 8002},
        {"192.0.2.7:65535", "192.0.2.7", 65535},
        {"[::1]:8003", "::1", 8003},
        {"[2001:db8::7]", "2001:db8::7", 8002},
        {"::1", "::1", 8002},
        {"fe80::1%eth0", "fe80::1%eth0", 8002},
        {"[fe80::1%xenbr0]:1", "fe80::1%xenbr0", 1},
        {"", NULL, 0},
        {":8002", NULL, 0},
        {"host2:", NULL, 0},
        {"host2:0", NULL, 0},
        {"host2:65536", NULL, 0},
        {"host2:80x", NULL, 0},
        {"host2:-1", NULL, 0},
        {"root@host2", NULL, 0},
        {"host 2", NULL, 0},
        {"host2/x", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]8002", NULL, 0},
        {"[]:8002", NULL, 0},
        {"[host2]:8002", NULL, 0},
        {"1:2:3", NULL, 0},
        {"::1:8002:", NULL, 0},
    };

    (void)state;
    check_addresses(good_and_bad, sizeof(good_and_bad) / sizeof(good_and_bad[0]), false);
}

static void test_where_to_listen(void **state)
{
    static const struct written good_and_bad[] = {
        {"", "", 8002},
        {":8003", "", 8003},
        {"8003", "", 8003},
        {"0", "", 0},
        {"127.0.0.1:0", "127.0.0.1", 0},
        {"127.0.0.1", "127.0.0.1", 8002},
        {"[::]:8002", "::", 8002},
        {"localhost:8002", "localhost", 8002},
        {":", NULL, 0},
        {"65536", NULL, 0},
        {"127.0.0.1:x", NULL, 0},
    };

    (void)state;
    check_addresses(good_and_bad, sizeof(good_and_bad) / sizeof(good_and_bad[0]), true);
}

static void test_a_host_of_any_length_is_refused_or_kept_whole(void **state)
{
    char text[TCP_HOST_BYTES + 8];
    struct tcp_address a;
    struct err e = ERR_INIT;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[TCP_HOST_BYTES] = '\0';
    assert_int_equal(tcp_parse_address(text, false, &a, &e), -EINVAL);
    text[TCP_HOST_BYTES - 1] = '\0';
    e = (struct err)ERR_INIT;
    assert_int_equal(tcp_parse_address(text, false, &a, &e), 0);
    assert_string_equal(a.host, text);
}

static void test_addresses_are_written_as_they_are_read(void **state)
{
    static const char *const texts[] = {"host2:8002", "[::1]:9"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char text[TCP_ADDRESS_BYTES];
        struct tcp_address a;
        struct err e = ERR_INIT;

        assert_int_equal(tcp_parse_address(texts[i], false, &a, &e), 0);
        tcp_format_address(&a, text);
        assert_string_equal(text, texts[i]);
    }
}

/* Sockets */

static void test_nobody_listens_is_said(void **state)
{
    struct tcp_address a = {.host = "127.0.0.1"};
    struct err e = ERR_INIT;
    const int listener = tcp_listen(&a, &a.port, &e);

    (void)state;
    close(listener); /* now nobody does */
    assert_int_equal(tcp_connect(&a, NULL, deadline_in(TEST_LIMIT_NS), &e), -ECONNREFUSED);
    assert_int_equal(e.class, ERR_PEER);
    assert_says(&e, "xmigrate --listen");
    assert_says(&e, "127.0.0.1:");
}

static void test_an_unknown_host_is_said(void **state)
{
    const struct tcp_address a = {.host = "no-such-host.invalid", .port = 8002};
    struct err e = ERR_INIT;

    (void)state;
    assert_true(tcp_connect(&a, NULL, deadline_in(TEST_LIMIT_NS), &e) < 0);
    assert_says(&e, "no-such-host.invalid");
}

static void test_a_full_backlog_ends_a_connect_at_its_deadline(void **state)
{
    enum { FILL = 8 };
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct tcp_address a = {.host = "127.0.0.1"};
    int fds[FILL], rc = 0, opened = 0;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    a.port = ntohs(sa.sin_port);
    while (opened < FILL && rc >= 0) { /* nobody accepts: soon the kernel drops SYNs */
        rc = tcp_connect(&a, NULL, deadline_in(200 * NS_PER_MS), &e);
        if (rc >= 0)
            fds[opened++] = rc;
    }
    assert_int_equal(rc, -ETIMEDOUT);
    assert_says(&e, "no answer in time");
    while (opened)
        close(fds[--opened]);
    close(listener);
}

static void test_a_port_in_use_is_said(void **state)
{
    struct tcp_address a = {.host = "127.0.0.1"};
    struct err e = ERR_INIT;
    uint16_t port;
    const int first = tcp_listen(&a, &a.port, &e);

    (void)state;
    assert_true(first >= 0 && a.port != 0);
    assert_int_equal(tcp_listen(&a, &port, &e), -EADDRINUSE);
    assert_int_equal(e.class, ERR_LOCAL);
    assert_says(&e, "is in use");
    close(first);
}

static void test_all_addresses_are_ipv4_and_ipv6(void **state)
{
    struct tcp_address a = {.host = ""};
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    struct err e = ERR_INIT;
    const int listener = tcp_listen(&a, &a.port, &e);
    const int v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int count = v6 < 0 ? 1 : 2;

    (void)state;
    if (v6 >= 0)
        close(v6);
    assert_true(listener >= 0);
    for (int i = 0; i < count; i++) {
        struct tcp_address to = {.port = a.port};
        char peer[TCP_ADDRESS_BYTES], wanted[TCP_ADDRESS_BYTES];

        strcpy(to.host, hosts[i]);

        const int fd = tcp_connect(&to, NULL, deadline_in(TEST_LIMIT_NS), &e);

        assert_true(fd >= 0);
        tcp_describe_peer(fd, peer, sizeof(peer));
        tcp_format_address(&to, wanted);
        assert_string_equal(peer, wanted);
        close(fd);
    }
    close(listener);
}

static int get_option(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static void test_a_connection_comes_from_where_it_is_to_and_has_its_dscp(void **state)
{
    struct tcp_address a = {.host = "127.0.0.1", .from = "127.0.0.9", .dscp = 46};
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    struct err e = ERR_INIT;
    const int listener = tcp_listen(&a, &a.port, &e);
    const int fd = tcp_connect(&a, NULL, deadline_in(TEST_LIMIT_NS), &e);

    (void)state;
    assert_true(listener >= 0 && fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&from, &len), 0);
    assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000009);
    assert_int_equal(get_option(fd, IPPROTO_IP, IP_TOS), 46 << 2);
    close(fd);
    strcpy(a.from, "::1");
    assert_int_equal(tcp_connect(&a, NULL, deadline_in(TEST_LIMIT_NS), &e), -EAFNOSUPPORT);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, "--bind"));
    close(listener);
    assert_true(tcp_is_numeric("192.0.2.1") && tcp_is_numeric("2001:db8::1"));
    assert_false(tcp_is_numeric("host") || tcp_is_numeric(""));
}

static void test_sockets_notice_a_dead_peer_and_are_not_inherited(void **state)
{
    int ends[2];

    (void)state;
    make_tcp_pair(ends);
    tcp_tune(ends[0], 30 * NS_PER_S);
    assert_int_equal(get_option(ends[0], IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(get_option(ends[0], SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(get_option(ends[0], IPPROTO_TCP, TCP_KEEPIDLE), 10);
    assert_int_equal(get_option(ends[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
}

static void test_little_waits_in_a_socket_on_a_short_way(void **state)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int ends[2];

    (void)state;
    make_tcp_pair(ends);
    assert_int_equal(getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    tcp_tune(ends[0], 30 * NS_PER_S);
    /* On a busy machine the way to itself may be long. */
    if (geteuid() == 0 && info.tcpi_rtt < 400) {
        /* The kernel doubles it, for its own part. */
        assert_in_range(get_option(ends[0], SOL_SOCKET, SO_RCVBUF), 256 << 10, 4 << 20);
        assert_in_range(get_option(ends[0], IPPROTO_TCP, TCP_WINDOW_CLAMP), 128 << 10, 2 << 20);
    }
    close(ends[0]);
    close(ends[1]);
}

static void test_there_is_no_bbr_on_a_short_way(void **state)
{
    char name[16] = "";
    socklen_t len = sizeof(name);
    int ends[2];

    (void)state;
    make_tcp_pair(ends);
    if (!setsockopt(ends[0], IPPROTO_TCP, TCP_CONGESTION, "bbr", 3)) {
        const int64_t trip_ns = tcp_round_trip_ns(ends[0]);

        tcp_tune(ends[0], 30 * NS_PER_S);
        assert_int_equal(getsockopt(ends[0], IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
        if (trip_ns && trip_ns < 400 * NS_PER_US)
            assert_string_not_equal(name, "bbr");
    }
    /* What else somebody has chosen stays. */
    assert_int_equal(setsockopt(ends[1], IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    tcp_tune(ends[1], 30 * NS_PER_S);
    len = sizeof(name);
    assert_int_equal(getsockopt(ends[1], IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    assert_string_equal(name, "reno");
    close(ends[0]);
    close(ends[1]);
}

/* The channel */

struct pair {
    struct channel *a, *b;
    struct cancel cancel;
};

static int open_pair(void **state)
{
    static struct pair p;
    struct err e = ERR_INIT;
    int ends[2];

    make_tcp_pair(ends);
    if (cancel_init(&p.cancel, &e) ||
        tcp_channel(ends[0], "lane 0 to b", &p.cancel, TEST_LIMIT_NS, &p.a, &e) ||
        tcp_channel(ends[1], "lane 0 from a", NULL, TEST_LIMIT_NS, &p.b, &e))
        return -1;
    *state = &p;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *p = *state;

    channel_close(p->a);
    channel_close(p->b);
    cancel_destroy(&p->cancel);
    return 0;
}

/* As tcp_tune() does on a short way, for which a busy machine may be too slow. */
static void fix_window(int fd)
{
    const int bytes = 128 << 10;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

static void test_little_waits_to_be_sent_if_limited(void **state)
{
    struct pair *p = *state;

    channel_limit_unsent(p->a, true);
    assert_int_equal(get_option(p->a->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 512 << 10);
    fix_window(p->a->fd);
    channel_limit_unsent(p->a, true);
    assert_int_equal(get_option(p->a->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 64 << 10);
    channel_limit_unsent(p->a, false);
    assert_int_equal(get_option(p->a->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
}

/* Where the kernel finds out what the window has to be, it has to see bytes read as they come. */
static void test_what_the_network_has_not_taken_is_known(void **state)
{
    static uint8_t much[1 << 20];
    struct pair *p = *state;
    ssize_t sent = 0, n, read_bytes = 0;

    assert_int_equal(channel_unsent_bytes(p->a), 0);
    fix_window(p->b->fd); /* more than that is not taken while nobody reads */
    while ((n = write(p->a->fd, much, sizeof(much))) > 0)
        sent += n;
    assert_true(channel_unsent_bytes(p->a) > 0);
    assert_true(channel_unsent_bytes(p->a) < (size_t)sent);
    while (read_bytes < sent) {
        assert_int_equal(io_wait(p->b->fd, POLLIN, NULL, deadline_in(TEST_LIMIT_NS)), 0);
        n = read(p->b->fd, much, sizeof(much));
        assert_true(n > 0);
        read_bytes += n;
    }
    assert_int_equal(channel_unsent_bytes(p->a), 0);
}

static void test_a_window_of_the_kernels_is_left_alone(void **state)
{
    struct pair *p = *state;
    const int before = get_option(p->a->fd, SOL_SOCKET, SO_RCVBUF);

    assert_int_equal(write(p->b->fd, "x", 1), 1);
    assert_int_equal(channel_await_bytes(p->a, 1 << 20, deadline_in(TEST_LIMIT_NS)), 0);
    assert_int_equal(get_option(p->a->fd, SOL_SOCKET, SO_RCVLOWAT), 1);
    assert_int_equal(get_option(p->a->fd, SOL_SOCKET, SO_RCVBUF), before);
}

static void test_a_receiver_sleeps_until_much_is_there(void **state)
{
    struct pair *p = *state;
    const char bytes[1000] = {0};
    char got[sizeof(bytes)];
    struct err e = ERR_INIT;

    fix_window(p->a->fd);
    assert_int_equal(write(p->b->fd, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
    assert_int_equal(
        channel_await_bytes(p->a, sizeof(bytes), deadline_in(50 * NS_PER_MS)), -ETIMEDOUT);
    assert_int_equal(write(p->b->fd, bytes, 1), 1);
    assert_int_equal(channel_await_bytes(p->a, sizeof(bytes), deadline_in(TEST_LIMIT_NS)), 0);
    assert_int_equal(channel_recv(p->a, got, sizeof(got), deadline_in(TEST_LIMIT_NS), &e), 0);

    /* What more is wanted than fits into the window comes in parts; an end is news as well. */
    assert_int_equal(write(p->b->fd, bytes, 1), 1);
    assert_int_equal(channel_await_bytes(p->a, 1 << 30, deadline_in(50 * NS_PER_MS)), -ETIMEDOUT);
    shutdown(p->b->fd, SHUT_WR);
    assert_int_equal(channel_await_bytes(p->a, 1 << 30, deadline_in(TEST_LIMIT_NS)), 0);
}

static size_t throttled_bytes;

static void count_throttled(void *arg, size_t bytes)
{
    *(size_t *)arg += bytes;
}

static void test_channel_carries_bytes_and_counts_them(void **state)
{
    struct pair *p = *state;
    struct iovec iov[3] = {{"ab", 2}, {NULL, 0}, {"cdef", 4}};
    struct err e = ERR_INIT;
    char got[7] = "";

    throttled_bytes = 0;
    p->a->throttle = count_throttled;
    p->a->throttle_arg = &throttled_bytes;
    assert_int_equal(channel_send(p->a, iov, 3, &e), 0);
    assert_int_equal(channel_recv(p->b, got, 6, deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_string_equal(got, "abcdef");
    assert_int_equal(p->a->sent_bytes, 6);
    assert_int_equal(p->b->received_bytes, 6);
    assert_int_equal(throttled_bytes, 6);
}

static size_t largest_slice;

static void note_slice(void *arg, size_t bytes)
{
    *(size_t *)arg += bytes;
    largest_slice = bytes > largest_slice ? bytes : largest_slice;
}

static void test_a_capped_channel_pays_slice_by_slice(void **state)
{
    struct pair *p = *state;
    struct iovec iov[5] = {{"", 0}, {"abcd", 4}, {"", 0}, {"efghij", 6}, {"k", 1}};
    struct err e = ERR_INIT;
    char got[12] = "";

    throttled_bytes = largest_slice = 0;
    p->a->throttle = note_slice;
    p->a->throttle_arg = &throttled_bytes;
    p->a->slice_bytes = 3;
    assert_int_equal(channel_send(p->a, iov, 5, &e), 0);
    assert_int_equal(channel_recv(p->b, got, 11, deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_string_equal(got, "abcdefghijk");
    assert_int_equal(throttled_bytes, 11);
    assert_int_equal(largest_slice, 3);
}

static void test_channel_tells_a_clean_end_from_a_cut(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[8];

    assert_int_equal(channel_send(p->a, &(struct iovec){"xyz", 3}, 1, &e), 0);
    assert_int_equal(channel_finish(p->a, &e), 0);
    assert_int_equal(channel_recv(p->b, got, 1, deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_int_equal(channel_recv(p->b, got, 8, deadline_in(TEST_LIMIT_NS), &e), -EBADMSG);
    assert_says(&e, "lane 0 from a: ");

    struct err none = ERR_INIT;

    assert_int_equal(channel_recv(p->b, got, 8, deadline_in(TEST_LIMIT_NS), &none), -ENODATA);
    assert_false(err_is_set(&none));
}

static void test_channel_stalls_only_when_no_byte_moves(void **state)
{
    enum { BIG_BYTES = 64 << 20, LIMIT_MS = 200 };
    struct pair *p = *state;
    uint8_t *big = calloc(1, BIG_BYTES);
    struct err e = ERR_INIT;
    const int64_t begin_ns = now_ns();

    p->a->stall_ns = LIMIT_MS * NS_PER_MS;
    assert_int_equal(channel_send(p->a, &(struct iovec){big, BIG_BYTES}, 1, &e), -ETIMEDOUT);
    assert_true(now_ns() - begin_ns >= LIMIT_MS * NS_PER_MS);
    assert_true(now_ns() - begin_ns < 10 * NS_PER_S);
    assert_int_equal(e.class, ERR_PEER);
    free(big);
}

static void *drain_slowly(void *arg)
{
    enum { PIECE_BYTES = 256 << 10 };
    struct channel *ch = arg;
    uint8_t *buf = malloc(PIECE_BYTES);
    struct err e = ERR_INIT;

    while (!channel_recv(ch, buf, PIECE_BYTES, deadline_in(TEST_LIMIT_NS), &e))
        sleep_until_ns(deadline_in(20 * NS_PER_MS));
    free(buf);
    return NULL;
}

/* One send that takes several times the limit, to a peer that never stops taking. */
static void test_a_slow_peer_is_not_a_stalled_one(void **state)
{
    enum { BIG_BYTES = 32 << 20, LIMIT_MS = 600 };
    struct pair *p = *state;
    uint8_t *big = calloc(1, BIG_BYTES);
    struct err e = ERR_INIT;
    pthread_t thread;
    const int64_t begin_ns = now_ns();

    p->a->stall_ns = LIMIT_MS * NS_PER_MS;
    assert_int_equal(pthread_create(&thread, NULL, drain_slowly, p->b), 0);
    assert_int_equal(channel_send(p->a, &(struct iovec){big, BIG_BYTES}, 1, &e), 0);
    assert_true(now_ns() - begin_ns > LIMIT_MS * NS_PER_MS);
    channel_shutdown(p->a);
    pthread_join(thread, NULL);
    free(big);
}

static void *fire_soon(void *arg)
{
    sleep_until_ns(deadline_in(100 * NS_PER_MS));
    cancel_fire(arg);
    return NULL;
}

static void *shut_soon(void *arg)
{
    sleep_until_ns(deadline_in(100 * NS_PER_MS));
    channel_shutdown(arg);
    return NULL;
}

static void test_cancel_and_shutdown_wake_a_receive(void **state)
{
    struct pair *p = *state;
    struct err cut = ERR_INIT, cancelled = ERR_INIT;
    pthread_t thread;
    char got[1];

    pthread_create(&thread, NULL, fire_soon, &p->cancel);
    assert_int_equal(
        channel_recv(p->a, got, 1, deadline_in(TEST_LIMIT_NS), &cancelled), -ECANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(cancelled.class, ERR_CANCELLED);
    assert_int_equal(channel_send(p->a, &(struct iovec){"x", 1}, 1, &cancelled), -ECANCELED);

    pthread_create(&thread, NULL, shut_soon, p->b);
    assert_int_equal(channel_recv(p->b, got, 1, deadline_in(TEST_LIMIT_NS), &cut), -ENODATA);
    pthread_join(thread, NULL);
}

#define ON_PAIR(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_to_connect),
        cmocka_unit_test(test_where_to_listen),
        cmocka_unit_test(test_a_connection_comes_from_where_it_is_to_and_has_its_dscp),
        cmocka_unit_test(test_a_host_of_any_length_is_refused_or_kept_whole),
        cmocka_unit_test(test_addresses_are_written_as_they_are_read),
        cmocka_unit_test(test_nobody_listens_is_said),
        cmocka_unit_test(test_an_unknown_host_is_said),
        cmocka_unit_test(test_a_full_backlog_ends_a_connect_at_its_deadline),
        cmocka_unit_test(test_a_port_in_use_is_said),
        cmocka_unit_test(test_all_addresses_are_ipv4_and_ipv6),
        cmocka_unit_test(test_sockets_notice_a_dead_peer_and_are_not_inherited),
        cmocka_unit_test(test_little_waits_in_a_socket_on_a_short_way),
        cmocka_unit_test(test_there_is_no_bbr_on_a_short_way),
        ON_PAIR(test_channel_carries_bytes_and_counts_them),
        ON_PAIR(test_a_capped_channel_pays_slice_by_slice),
        ON_PAIR(test_little_waits_to_be_sent_if_limited),
        ON_PAIR(test_what_the_network_has_not_taken_is_known),
        ON_PAIR(test_a_window_of_the_kernels_is_left_alone),
        ON_PAIR(test_a_receiver_sleeps_until_much_is_there),
        ON_PAIR(test_channel_tells_a_clean_end_from_a_cut),
        ON_PAIR(test_channel_stalls_only_when_no_byte_moves),
        ON_PAIR(test_a_slow_peer_is_not_a_stalled_one),
        ON_PAIR(test_cancel_and_shutdown_wake_a_receive),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
