/* SPDX-License-Identifier: MIT */
/* The control connection's reading thread: frames one at a time, and every end in time. */
#include "base/deadline.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define LIMIT_NS (5 * NS_PER_S)

struct ends {
    struct control near, far;
    struct mailbox *box;
};

static void open_ends(struct ends *s, int64_t silent_ns)
{
    struct err e = ERR_INIT;
    struct channel *ch;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "near", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&s->near, ch);
    assert_int_equal(tcp_channel(fds[1], "far", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&s->far, ch);
    assert_int_equal(mailbox_start(&s->box, &s->near, silent_ns, &e), 0);
}

static void close_ends(struct ends *s)
{
    mailbox_stop(s->box);
    control_close(&s->near);
    if (s->far.ch)
        control_close(&s->far);
}

static void send_frame(struct ends *s, enum control_type type, const char *body)
{
    struct err e = ERR_INIT;

    assert_int_equal(control_send(&s->far, type, body, strlen(body), &e), 0);
}

static void expect_frame(struct ends *s, enum control_type wanted, const char *text)
{
    struct err e = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len;

    assert_int_equal(mailbox_wait(s->box, &type, &body, &len, NULL, deadline_in(LIMIT_NS), &e), 1);
    assert_int_equal(type, wanted);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(body, text, len);
}

static void frames_come_in_order_without_pings(void **state)
{
    (void)state;
    struct ends s;

    open_ends(&s, LIMIT_NS);
    send_frame(&s, CONTROL_PING, "");
    send_frame(&s, CONTROL_HELLO, "{\"a\":1}");
    send_frame(&s, CONTROL_PING, "");
    send_frame(&s, CONTROL_LIBXL_DATA, "bytes");
    send_frame(&s, CONTROL_LIBXL_END, "");
    expect_frame(&s, CONTROL_HELLO, "{\"a\":1}");
    expect_frame(&s, CONTROL_LIBXL_DATA, "bytes");
    expect_frame(&s, CONTROL_LIBXL_END, "");
    close_ends(&s);
}

static void a_body_stays_until_the_next_is_taken(void **state)
{
    (void)state;
    struct ends s;
    struct err e = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len;

    open_ends(&s, LIMIT_NS);
    send_frame(&s, CONTROL_LIBXL_DATA, "first");
    send_frame(&s, CONTROL_LIBXL_DATA, "other");
    assert_int_equal(mailbox_wait(s.box, &type, &body, &len, NULL, deadline_in(LIMIT_NS), &e), 1);
    sleep_until_ns(deadline_in(50 * NS_PER_MS));
    assert_memory_equal(body, "first", 5);
    expect_frame(&s, CONTROL_LIBXL_DATA, "other");
    close_ends(&s);
}

/* A story that polls learns of the next frame although it has not given back the last. */
static void the_next_frame_is_announced_while_one_is_looked_at(void **state)
{
    (void)state;
    struct ends s;
    struct pollfd fd;

    open_ends(&s, LIMIT_NS);
    send_frame(&s, CONTROL_HELLO, "{}");
    expect_frame(&s, CONTROL_HELLO, "{}");
    fd = (struct pollfd){.fd = mailbox_event_fd(s.box), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 50), 0);
    send_frame(&s, CONTROL_LIBXL_END, "");
    assert_int_equal(poll(&fd, 1, 5000), 1);
    expect_frame(&s, CONTROL_LIBXL_END, "");
    close_ends(&s);
}

/* Asked again it says the same: the story may come by the end more than once. */
static void expect_end(struct ends *s, int rc, const char *word)
{
    enum control_type type;
    const void *body;
    size_t len;

    for (int i = 0; i < 2; i++) {
        struct err e = ERR_INIT;

        assert_int_equal(
            mailbox_wait(s->box, &type, &body, &len, NULL, deadline_in(LIMIT_NS), &e), rc);
        assert_int_equal(e.class, ERR_PEER);
        assert_non_null(strstr(e.text, word));
    }
}

static void an_end_of_the_connection_has_a_text(void **state)
{
    (void)state;
    struct ends s;

    open_ends(&s, LIMIT_NS);
    send_frame(&s, CONTROL_HELLO, "{}");
    control_close(&s.far);
    expect_frame(&s, CONTROL_HELLO, "{}");
    expect_end(&s, -ECONNRESET, "closed by the other end");
    close_ends(&s);
}

static void a_silent_peer_is_dead_and_a_pinging_one_is_not(void **state)
{
    (void)state;
    struct ends s;
    struct err e = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len;

    open_ends(&s, 300 * NS_PER_MS);
    for (int i = 0; i < 5; i++) {
        send_frame(&s, CONTROL_PING, "");
        sleep_until_ns(deadline_in(100 * NS_PER_MS));
        assert_int_equal(mailbox_take(s.box, &type, &body, &len, &e), 0);
    }
    expect_end(&s, -ETIMEDOUT, "near");
    close_ends(&s);
}

static void a_wait_ends_at_its_deadline_and_when_cancelled(void **state)
{
    (void)state;
    struct ends s;
    struct err e = ERR_INIT;
    struct cancel cancel;
    enum control_type type;
    const void *body;
    size_t len;

    open_ends(&s, LIMIT_NS);
    assert_int_equal(cancel_init(&cancel, &e), 0);
    assert_int_equal(
        mailbox_wait(s.box, &type, &body, &len, &cancel, deadline_in(20 * NS_PER_MS), &e),
        -ETIMEDOUT);
    assert_int_equal(e.class, ERR_PEER);
    e = (struct err)ERR_INIT;
    cancel_fire(&cancel);
    assert_int_equal(
        mailbox_wait(s.box, &type, &body, &len, &cancel, deadline_in(LIMIT_NS), &e), -ECANCELED);
    assert_int_equal(e.class, ERR_CANCELLED);
    cancel_destroy(&cancel);
    close_ends(&s);
}

static void it_stops_with_a_frame_that_nobody_took(void **state)
{
    (void)state;
    struct ends s;
    struct pollfd fd;

    open_ends(&s, LIMIT_NS);
    send_frame(&s, CONTROL_HELLO, "{}");
    send_frame(&s, CONTROL_HELLO, "{}");
    fd = (struct pollfd){.fd = mailbox_event_fd(s.box), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 5000), 1);
    close_ends(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_order_without_pings),
        cmocka_unit_test(a_body_stays_until_the_next_is_taken),
        cmocka_unit_test(the_next_frame_is_announced_while_one_is_looked_at),
        cmocka_unit_test(an_end_of_the_connection_has_a_text),
        cmocka_unit_test(a_silent_peer_is_dead_and_a_pinging_one_is_not),
        cmocka_unit_test(a_wait_ends_at_its_deadline_and_when_cancelled),
        cmocka_unit_test(it_stops_with_a_frame_that_nobody_took),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
