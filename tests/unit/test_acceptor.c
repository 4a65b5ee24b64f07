/* SPDX-License-Identifier: MIT */
/*
 * Acceptor and router with hostile and with honest connections, no Xen: its children here only say
 * what they got.
 */
#include "cmd/xmigrate/session/acceptor.h"
#include "cmd/xmigrate/session/router.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/signals.h"
#include "transport/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_NS    (10 * NS_PER_S)
#define PREAMBLE_NS (500 * NS_PER_MS)

enum { STRANGER = 0x7fff, LANES = 8 };

struct fixture {
    pid_t pid;
    uint16_t port;
};

/* What the client is told of a connection, once its preamble was answered with OK. */
struct note {
    uint16_t lane;
    uint16_t serial; /* how many connections this child has had */
};

static int tell(int fd, uint16_t lane, uint16_t serial)
{
    const struct note note = {lane, serial};
    struct err e = ERR_INIT;
    int rc = preamble_answer(fd, PREAMBLE_OK, NULL, deadline_in(LIMIT_NS), &e);

    if (!rc)
        rc = io_write_full(fd, &note, sizeof(note), NULL, deadline_in(LIMIT_NS));
    close(fd);
    return rc;
}

/* Of a test's migration: the lane of its first connection cannot carry its number, so the minor
 * version of its preamble does. */
static void make_token(uint16_t number, uint16_t lane, uint8_t token[static PREAMBLE_TOKEN_BYTES])
{
    memset(token, 0x5a, PREAMBLE_TOKEN_BYTES);
    memcpy(token, &number, sizeof(number));
    memcpy(token + sizeof(number), &lane, sizeof(lane));
}

/* Lets everybody in but minor version 0, where it dies, and STRANGER, who does not prove himself.
 */
static int relay(void *arg, int fd, const struct preamble *preamble, int router_sock)
{
    struct caller c = {.from = ""};
    struct err e = ERR_INIT;

    (void)arg;
    if (!preamble->minor)
        return 1;
    if (preamble->minor == STRANGER) {
        io_wait(fd, POLLIN, NULL, deadline_in(LIMIT_NS));
        return 1;
    }
    snprintf(c.from, sizeof(c.from), "%u", preamble->minor);
    return router_admit(router_sock, &c, fd, &e) != 0;
}

/* In the child. */
static int serve(void *arg, int fd, const struct caller *caller, int router_sock)
{
    uint8_t tokens[LANES][PREAMBLE_TOKEN_BYTES], bytes[PREAMBLE_BYTES];
    const uint16_t number = (uint16_t)atoi(caller->from);
    struct err e = ERR_INIT;
    uint16_t serial = 0;

    (void)arg;
    for (uint16_t i = 0; i < LANES; i++)
        make_token(number, i, tokens[i]);
    if (router_register(router_sock, LANES, tokens[0], &e) || tell(fd, LANE_CONTROL, ++serial))
        return 1;
    for (int conn; !router_next(router_sock, bytes, &conn, deadline_in(LIMIT_NS), &e);) {
        struct preamble p;

        if (preamble_decode(bytes, &p, &e) || tell(conn, p.lane, ++serial))
            return 1;
    }
    return 0;
}

static void drop_line(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static const struct log silent = {.max = LOG_ERROR, .write = drop_line};

static int run_acceptor(int listen_fd, int router_sock)
{
    struct err e = ERR_INIT;
    const struct acceptor_params p = {
        .listen_fd = listen_fd,
        .preamble_ns = PREAMBLE_NS,
        .log = &silent,
        .router_sock = router_sock,
    };

    return acceptor_run(&p, &e);
}

static int look_after(void *arg, pid_t pid, int pidfd)
{
    (void)arg;
    (void)pid;
    (void)pidfd;
    return 0;
}

static int settled[2]; /* who does it writes his number */

static bool is_open(void *arg)
{
    (void)arg;
    return true;
}

static int settle(void *arg)
{
    const pid_t pid = getpid();

    (void)arg;
    return write(settled[1], &pid, sizeof(pid)) != sizeof(pid);
}

/* Both, each in a process of its own, as the listener has them. */
static int run_listener(int listen_fd)
{
    struct cancel cancel;
    struct err e = ERR_INIT;
    struct router_params p = {
        .log = &silent,
        .cancel = &cancel,
        .relay = relay,
        .serve = serve,
        .look_after = look_after,
        .is_open = is_open,
        .settle = settle,
    };
    int pair[2], rc;
    pid_t acceptor;

    alarm(60); /* a test that dies leaves nothing behind */
    if (cancel_init(&cancel, &e) || signals_fire(&cancel, &e) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return 1;
    acceptor = fork();
    if (!acceptor) {
        signals_reset();
        close(pair[0]);
        _exit(run_acceptor(listen_fd, pair[1]));
    }
    close(listen_fd);
    close(pair[1]);
    p.acceptor_sock = pair[0];
    rc = router_run(&p, &e);
    close(pair[0]);
    waitpid(acceptor, NULL, 0);
    return rc;
}

static int start(void **arg)
{
    const struct tcp_address address = {.host = "127.0.0.1"};
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e = ERR_INIT;
    const int fd = tcp_listen(&address, &f->port, &e);

    if (fd < 0 || pipe2(settled, O_CLOEXEC))
        return -1;
    f->pid = fork();
    if (!f->pid)
        _exit(run_listener(fd));
    close(fd);
    *arg = f;
    return 0;
}

static int stop(void **arg)
{
    struct fixture *f = *arg;
    int status;

    kill(f->pid, SIGTERM);
    waitpid(f->pid, &status, 0);
    close(settled[0]);
    close(settled[1]);
    free(f);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int dial(const struct fixture *f)
{
    struct tcp_address address = {.host = "127.0.0.1", .port = f->port};
    struct err e = ERR_INIT;
    const int fd = tcp_connect(&address, NULL, deadline_in(LIMIT_NS), &e);

    assert_true(fd >= 0);
    return fd;
}

/* Connect with that preamble; 0 and what the child says, or -errno as the client sees it. */
static int ask(const struct fixture *f, const struct preamble *p, struct note *note, struct err *e)
{
    const int fd = dial(f);
    int rc = preamble_exchange(fd, p, "here", NULL, deadline_in(LIMIT_NS), e);

    if (!rc)
        rc = io_read_full(fd, note, sizeof(*note), NULL, deadline_in(LIMIT_NS));
    close(fd);
    return rc;
}

static struct preamble new_migration(uint16_t number)
{
    return (struct preamble){.major = WIRE_MAJOR, .minor = number, .lane = LANE_CONTROL};
}

static struct preamble lane_of(uint16_t number, uint16_t lane)
{
    struct preamble p = {.major = WIRE_MAJOR, .lane = lane};

    make_token(number, lane, p.token);
    return p;
}

static void assert_serves(const struct fixture *f, uint16_t number)
{
    const struct preamble p = new_migration(number);
    struct err e = ERR_INIT;
    struct note note = {0};

    assert_int_equal(ask(f, &p, &note, &e), 0);
    assert_int_equal(note.lane, LANE_CONTROL);
    assert_int_equal(note.serial, 1);
}

static void lanes_reach_the_owner_of_their_token(void **arg)
{
    const struct fixture *f = *arg;

    assert_serves(f, 1);
    assert_serves(f, 2);
    for (uint16_t i = 0; i < LANES; i++)
        for (uint16_t number = 1; number <= 2; number++) {
            const struct preamble p = lane_of(number, i);
            struct err e = ERR_INIT;
            struct note note = {0};

            assert_int_equal(ask(f, &p, &note, &e), 0);
            assert_int_equal(note.lane, i);
            assert_int_equal(note.serial, i + 2);
        }
}

/* Whoever reads it on the network comes second. */
static void token_is_good_for_one(void **arg)
{
    const struct preamble p = lane_of(1, 0);
    struct err e = ERR_INIT;
    struct note note;

    assert_serves(*arg, 1);
    assert_int_equal(ask(*arg, &p, &note, &e), 0);
    for (int i = 0; i < 3; i++)
        assert_true(ask(*arg, &p, &note, &e) < 0);
    assert_int_equal(e.code, ENOENT);
}

static void unknown_token_is_refused(void **arg)
{
    const struct preamble p = lane_of(7, 0);
    struct err e = ERR_INIT;
    struct note note;

    assert_true(ask(*arg, &p, &note, &e) < 0);
    assert_int_equal(e.class, ERR_PEER);
    assert_int_equal(e.code, ENOENT);
}

static void dead_owner_is_forgotten(void **arg)
{
    const struct preamble dies = new_migration(0);
    struct err e = ERR_INIT;
    struct note note;

    for (int i = 0; i < 2 * ROUTER_MAX_HALF_OPEN; i++)
        assert_true(ask(*arg, &dies, &note, &e) < 0);
    assert_serves(*arg, 1);
}

static void other_version_is_refused_with_both(void **arg)
{
    const struct preamble p = {.major = WIRE_MAJOR + 1, .lane = LANE_CONTROL};
    struct err e = ERR_INIT;
    struct note note;

    assert_true(ask(*arg, &p, &note, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_int_equal(e.code, EPROTONOSUPPORT);
}

static void plaintext_is_refused(void **arg)
{
    const struct preamble p = {.major = WIRE_MAJOR, .insecure = true, .lane = LANE_CONTROL};
    struct err e = ERR_INIT;
    struct note note;

    assert_true(ask(*arg, &p, &note, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
}

/* Its TLS comes along with the preamble, and nobody reads that: the answer is not lost for it. */
static void who_is_refused_can_read_why(void **arg)
{
    struct preamble p = lane_of(7, 0);
    uint8_t said[PREAMBLE_BYTES + 4096] = {0}, byte;
    const int fd = dial(*arg);
    struct err e = ERR_INIT;

    preamble_encode(&p, said);
    assert_int_equal(io_write_full(fd, said, sizeof(said), NULL, deadline_in(LIMIT_NS)), 0);
    assert_int_equal(preamble_await_answer(fd, "here", NULL, deadline_in(LIMIT_NS), &e), -ENOENT);
    /* Its end is an end and no reset. */
    assert_int_equal(io_read_full(fd, &byte, 1, NULL, deadline_in(LIMIT_NS)), -ENODATA);
    close(fd);
}

static void stranger_is_dropped_at_once(void **arg)
{
    static const char hello[] = "SSH-2.0-OpenSSH_9.2\r\n";
    const int fd = dial(*arg);
    const int64_t begin_ns = now_ns();
    char byte;

    assert_int_equal(io_write_full(fd, hello, sizeof(hello), NULL, deadline_in(LIMIT_NS)), 0);
    assert_int_not_equal(io_read_full(fd, &byte, 1, NULL, deadline_in(LIMIT_NS)), -ETIMEDOUT);
    assert_true(now_ns() - begin_ns < PREAMBLE_NS);
    close(fd);
    assert_serves(*arg, 1);
}

static void slow_preamble_is_dropped_in_time(void **arg)
{
    uint8_t bytes[PREAMBLE_BYTES];
    const struct preamble p = new_migration(1);
    const int64_t begin_ns = now_ns();
    const int fd = dial(*arg);
    int rc = -ETIMEDOUT;
    char byte;

    preamble_encode(&p, bytes);
    /* A byte now and then does not buy more time. */
    for (size_t i = 0; i < 10 && rc == -ETIMEDOUT; i++) {
        if (io_write_full(fd, bytes + i, 1, NULL, deadline_in(LIMIT_NS)))
            break;
        rc = io_read_full(fd, &byte, 1, NULL, deadline_in(PREAMBLE_NS / 5));
    }
    assert_int_not_equal(rc, -ETIMEDOUT);
    assert_true(now_ns() - begin_ns >= PREAMBLE_NS);
    close(fd);
}

static void crowd_of_idlers_does_not_shut_others_out(void **arg)
{
    int fds[2 * ACCEPTOR_MAX_PENDING];
    const int64_t begin_ns = now_ns();

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        fds[i] = dial(*arg);
    assert_serves(*arg, 1);
    assert_true(now_ns() - begin_ns < PREAMBLE_NS);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

/* They have sent a preamble, and then say nothing. */
static void crowd_of_strangers_does_not_shut_others_out(void **arg)
{
    const struct preamble stranger = new_migration(STRANGER);
    int fds[2 * ROUTER_MAX_HALF_OPEN_PER_ADDRESS];
    const size_t count = sizeof(fds) / sizeof(fds[0]);
    uint8_t bytes[PREAMBLE_BYTES];

    preamble_encode(&stranger, bytes);
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(*arg);
        assert_int_equal(
            io_write_full(fds[i], bytes, sizeof(bytes), NULL, deadline_in(LIMIT_NS)), 0);
    }
    /* The oldest were closed, and no more than that; the last one who came still waits. */
    assert_int_equal(io_wait(fds[0], POLLIN, NULL, deadline_in(LIMIT_NS)), 0);
    assert_serves(*arg, 1);
    assert_int_equal(io_wait(fds[count - 1], POLLIN, NULL, now_ns()), -ETIMEDOUT);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void children_outlive_the_acceptor(void **arg)
{
    struct fixture *f = *arg;
    const struct preamble p = new_migration(1);
    struct err e = ERR_INIT;
    uint8_t bytes[PREAMBLE_BYTES];
    const int fd = dial(f);
    struct note note;

    /* The child is forked, then the acceptor ends before the child has answered anything more. */
    preamble_encode(&p, bytes);
    assert_int_equal(io_write_full(fd, bytes, sizeof(bytes), NULL, deadline_in(LIMIT_NS)), 0);
    assert_int_equal(io_wait(fd, POLLIN, NULL, deadline_in(LIMIT_NS)), 0);
    kill(f->pid, SIGTERM);
    assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
    assert_int_equal(
        io_read_full(fd, bytes, PREAMBLE_ANSWER_BYTES, NULL, deadline_in(LIMIT_NS)), 0);
    assert_int_equal(io_read_full(fd, &note, sizeof(note), NULL, deadline_in(LIMIT_NS)), 0);
    close(fd);

    const struct tcp_address address = {.host = "127.0.0.1", .port = f->port};
    uint16_t port;
    const int again = tcp_listen(&address, &port, &e); /* nobody holds the port */

    assert_true(again >= 0);
    f->pid = fork();
    if (!f->pid)
        _exit(run_listener(again));
    close(again);
    assert_serves(f, 2);
}

static void port_in_use_is_said(void **arg)
{
    const struct fixture *f = *arg;
    const struct tcp_address address = {.host = "127.0.0.1", .port = f->port};
    struct err e = ERR_INIT;
    uint16_t port;

    assert_serves(f, 1);
    assert_int_equal(tcp_listen(&address, &port, &e), -EADDRINUSE);
    assert_non_null(strstr(e.text, "in use"));
}

static void what_is_open_is_settled_by_another_process(void **arg)
{
    const struct fixture *f = *arg;
    pid_t pid;

    assert_int_equal(io_read_full(settled[0], &pid, sizeof(pid), NULL, deadline_in(LIMIT_NS)), 0);
    assert_int_not_equal(pid, f->pid);
    assert_serves(f, 1);
    /* Not again at once. */
    assert_int_equal(io_wait(settled[0], POLLIN, NULL, deadline_in(300 * NS_PER_MS)), -ETIMEDOUT);
}

#define WITH_ACCEPTOR(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ACCEPTOR(lanes_reach_the_owner_of_their_token),
        WITH_ACCEPTOR(token_is_good_for_one),
        WITH_ACCEPTOR(unknown_token_is_refused),
        WITH_ACCEPTOR(dead_owner_is_forgotten),
        WITH_ACCEPTOR(other_version_is_refused_with_both),
        WITH_ACCEPTOR(plaintext_is_refused),
        WITH_ACCEPTOR(who_is_refused_can_read_why),
        WITH_ACCEPTOR(stranger_is_dropped_at_once),
        WITH_ACCEPTOR(slow_preamble_is_dropped_in_time),
        WITH_ACCEPTOR(crowd_of_idlers_does_not_shut_others_out),
        WITH_ACCEPTOR(crowd_of_strangers_does_not_shut_others_out),
        WITH_ACCEPTOR(children_outlive_the_acceptor),
        WITH_ACCEPTOR(port_in_use_is_said),
        WITH_ACCEPTOR(what_is_open_is_settled_by_another_process),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
