/* SPDX-License-Identifier: MIT */
/*
 * The source's poll loop between libxl, the save helper and the destination: what each of them may
 * do wrong, and that it always ends. libxl's operation and the helper are played by a thread
 * (fake_libxl.h), the destination by another.
 */
#include "base/deadline.h"
#include "base/io.h"
#include "cmd/xmigrate/transfer.h"
#include "tests/unit/fake_libxl.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_NS (5 * NS_PER_S)

/* --- what the helper's thread may do --- */

static int take_job(struct xl_async *op)
{
    struct link_message m;
    const int sock = fake_take_job(op, &m);

    assert_int_equal(op->domid, 7);
    if (sock < 0)
        return -1;
    assert_int_equal(m.job.lanes, 3);
    assert_true(m.fd >= 0);
    link_message_clear(&m);
    return sock;
}

/* What libxl writes when its helper has ended. */
static const uint8_t *rest;
static size_t rest_bytes;
static atomic_bool helper_joined, helper_done, libxl_lingers;

static void write_head(const struct xl_async *op)
{
    static const uint8_t head[STREAM_HEAD_BYTES] = "LibxlFmt";

    assert_int_equal(write(op->fd, head, sizeof(head)), sizeof(head));
}

static void send_round(int sock, bool last)
{
    struct err e = ERR_INIT;

    link_send_event(sock, json_pack("{s:s, s:b}", "event", "round", "last", last), &e);
}

static void helper_is_well(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    write_head(op);
    send_round(sock, false);
    fake_send_event(sock, "suspending");
    fake_send_event(sock, "suspended");
    send_round(sock, true);
    assert_int_equal(link_send_done(sock, fake_totals(), &e), 0);
    helper_done = true;
    close(sock);
    /* libxl's own records after the helper's end; blocking, as libxl writes. */
    assert_int_equal(write(op->fd, rest, rest_bytes), (ssize_t)rest_bytes);
    while (libxl_lingers)
        sleep_until_ns(deadline_in(5 * NS_PER_MS));
}

/* The destination has built all but memory. */
static void helper_waits_until_prepared(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "progress");
    helper_joined = true;
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_PREPARED);
    link_message_clear(&m);
    fake_obey(op, sock);
}

static void helper_runs_until_aborted(struct xl_async *op)
{
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "progress");
    fake_obey(op, sock);
}

static void helper_dies(struct xl_async *op)
{
    close(take_job(op));
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: the helper was killed by signal 9");
}

static void helper_refuses(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    err_set(&why, ERR_REFUSED, EBUSY, "log-dirty is on already");
    link_send_failed(sock, &why, &e);
    close(sock);
    fake_libxl_fails(op);
}

/* Its connection broke first, and it says so. */
static void helper_loses_its_lane(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    err_set(&why, ERR_PEER, EPIPE, "lane 2: closed by the other end");
    link_send_failed(sock, &why, &e);
    close(sock);
    fake_libxl_fails(op);
}

/* What the destination's engine told it. */
static void helper_is_told_why(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    err_set(&why, ERR_LOCAL, ENOMEM, "frames are gone");
    why.side = SIDE_DESTINATION;
    link_send_failed(sock, &why, &e);
    close(sock);
    fake_libxl_fails(op);
}

/* Deaf, until libxl ends it. */
static void helper_hangs(struct xl_async *op)
{
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "progress");
    fake_await_abort(op);
    close(sock);
}

static void helper_never_comes(struct xl_async *op)
{
    fake_await_abort(op);
}

/* libxl waits for the guest longer than we do, and must not lose its helper meanwhile. */
static void guest_will_not_suspend(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "suspending");
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(600 * NS_PER_MS), &e), -ETIMEDOUT);
    err_set(&why, ERR_GUEST, ETIMEDOUT, "libxl could not suspend the guest");
    link_send_failed(sock, &why, &e);
    close(sock);
    fake_libxl_fails(op);
}

static void guest_stays_suspended(struct xl_async *op)
{
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "suspending");
    fake_send_event(sock, "suspended");
    fake_obey(op, sock);
}

/* It lives, and the guest stands still. */
static void helper_waits_suspended(struct xl_async *op)
{
    const int sock = take_job(op);
    struct err e = ERR_INIT;

    if (sock < 0)
        return;
    fake_send_event(sock, "suspended");
    while (!link_send_alive(sock, &e) &&
           io_wait(sock, POLLIN, NULL, deadline_in(50 * NS_PER_MS)) == -ETIMEDOUT)
        ;
    fake_obey(op, sock);
}

/* --- the destination --- */

struct peer {
    struct control control;
    pthread_t thread;
    void (*play)(struct peer *p);
    uint64_t data_bytes;
    bool aborted;
    bool whole_stream;
};

static void *run_peer(void *arg)
{
    struct peer *p = arg;

    p->play(p);
    return NULL;
}

/* The next frame but pings; 0 when the connection is over. */
static enum control_type hear(struct peer *p)
{
    static _Thread_local uint8_t body[CONTROL_BODY_BYTES];
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len;

    do {
        if (control_recv(&p->control, &type, body, &len, deadline_in(20 * NS_PER_S), &e))
            return 0;
        if (type == CONTROL_LIBXL_DATA)
            p->data_bytes += len;
        if (type == CONTROL_ABORT)
            p->aborted = true;
    } while (type == CONTROL_PING);
    return type;
}

/* What comes at any time until GO is left out. */
static enum control_type hear_but_data(struct peer *p)
{
    enum control_type type;

    do
        type = hear(p);
    while (type == CONTROL_LIBXL_DATA || type == CONTROL_SUSPENDED);
    return type;
}

static void hear_out(struct peer *p)
{
    while (hear(p))
        ;
}

static const struct message_mark mark = {.journal = "0123456789abcdef0123456789abcdef",
    .boot = "01234567-89ab-cdef-0123-456789abcdef",
    .clock_ns = 77};
static const struct message_go go = {.mark = mark, .within_ns = NS_PER_S};

static void become_ready(struct peer *p)
{
    const struct message_ready ready = {.domid = 3, .mark = mark};
    struct err e = ERR_INIT;

    while (!helper_done)
        sleep_until_ns(deadline_in(5 * NS_PER_MS));
    /* What a device model has is waited for. */
    if (p->whole_stream)
        while (hear(p) != CONTROL_LIBXL_END)
            assert_false(p->aborted);
    assert_int_equal(message_send_ready(&p->control, &ready, &e), 0);
}

static void peer_starts(struct peer *p)
{
    const struct message_started started = {.domid = 3};
    struct err e = ERR_INIT;

    become_ready(p);
    assert_int_equal(hear_but_data(p), CONTROL_GO);
    message_send_started(&p->control, &started, &e);
    hear_out(p);
}

static void peer_starts_a_model(struct peer *p)
{
    p->whole_stream = true;
    peer_starts(p);
}

static void send_failed(struct peer *p)
{
    struct err e = ERR_INIT, why = ERR_INIT;

    err_set(&why, ERR_LOCAL, ENOMEM, "no memory left there");
    why.side = SIDE_DESTINATION;
    message_send_error(&p->control, CONTROL_FAILED, &why, &e);
}

static void peer_gives_it_back(struct peer *p)
{
    become_ready(p);
    assert_int_equal(hear_but_data(p), CONTROL_GO);
    send_failed(p);
    hear_out(p);
}

static void peer_goes_after_go(struct peer *p)
{
    become_ready(p);
    assert_int_equal(hear_but_data(p), CONTROL_GO);
    channel_shutdown(p->control.ch);
}

static void peer_fails_at_once(struct peer *p)
{
    send_failed(p);
    hear_out(p);
}

static void peer_fails_a_little_later(struct peer *p)
{
    sleep_until_ns(deadline_in(300 * NS_PER_MS));
    send_failed(p);
    hear_out(p);
}

static void peer_is_prepared(struct peer *p)
{
    struct err e = ERR_INIT;

    message_send_empty(&p->control, CONTROL_PREPARED, &e);
    hear_out(p);
}

static void peer_is_prepared_twice(struct peer *p)
{
    struct err e = ERR_INIT;

    while (!helper_joined)
        sleep_until_ns(deadline_in(5 * NS_PER_MS));
    message_send_empty(&p->control, CONTROL_PREPARED, &e);
    peer_is_prepared(p);
}

static void peer_vanishes(struct peer *p)
{
    channel_shutdown(p->control.ch);
}

static void peer_is_ready_twice(struct peer *p)
{
    const struct message_ready ready = {.domid = 3, .mark = mark};
    struct err e = ERR_INIT;

    message_send_ready(&p->control, &ready, &e);
    message_send_ready(&p->control, &ready, &e);
    hear_out(p);
}

static void peer_starts_unasked(struct peer *p)
{
    const struct message_started started = {.domid = 3};
    struct err e = ERR_INIT;

    message_send_started(&p->control, &started, &e);
    hear_out(p);
}

static void peer_never_starts(struct peer *p)
{
    become_ready(p);
    hear_out(p);
}

static void peer_pings(struct peer *p)
{
    struct err e = ERR_INIT;

    assert_int_equal(hear(p), CONTROL_SUSPENDED);
    for (int i = 0; i < 60 && !p->aborted; i++) {
        message_send_empty(&p->control, CONTROL_PING, &e);
        sleep_until_ns(deadline_in(50 * NS_PER_MS));
    }
    hear_out(p);
}

/* --- the stage --- */

struct stage {
    struct options options;
    struct view view;
    struct log log;
    struct event_stream events;
    struct cancel cancel;
    struct control control;
    struct mailbox *mailbox;
    struct peer peer;
    struct journal journal;
    struct transfer t;
    unsigned all_sent; /* how often it was said */
    struct err e;
};

static void note_all_sent(void *arg)
{
    struct stage *s = arg;

    assert_true(s->t.suspended_ns && !s->t.op.done);
    s->all_sent++;
}

static struct stage *begin(void (*helper)(struct xl_async *), void (*peer)(struct peer *))
{
    struct stage *s = calloc(1, sizeof(*s));
    struct channel *ch;
    int fds[2];

    assert_non_null(s);
    fake_play = helper;
    helper_joined = helper_done = libxl_lingers = false;
    rest = stream_end_record;
    rest_bytes = STREAM_END_BYTES;
    s->options = (struct options){
        .mode = MODE_LIVE,
        .silent_ns = 60 * NS_PER_S,
        .suspend_ns = 60 * NS_PER_S,
    };
    snprintf(s->options.address.host, sizeof(s->options.address.host), "there");
    view_init(&s->view, true);
    s->log = (struct log){LOG_ERROR, view_log, &s->view};
    s->events.fd = -1;
    assert_int_equal(cancel_init(&s->cancel, &s->e), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "control", NULL, LIMIT_NS, &ch, &s->e), 0);
    control_init(&s->control, ch);
    assert_int_equal(tcp_channel(fds[1], "peer", NULL, LIMIT_NS, &ch, &s->e), 0);
    control_init(&s->peer.control, ch);
    assert_int_equal(journal_begin(&s->journal,
                         &(struct journal_record){.cap = JOURNAL_NO_CAP,
                             .domid = 7,
                             .uuid = "01234567-89ab-cdef-0123-456789abcdef",
                             .name = "g"},
                         &s->e),
        0);
    s->t = (struct transfer){.pause_turn = TURN_INIT,
        .journal = &s->journal,
        .options = &s->options,
        .log = &s->log,
        .view = &s->view,
        .events = &s->events,
        .cancel = &s->cancel,
        .control = &s->control,
        .domid = 7,
        .lock_fd = STDIN_FILENO,
        .start_ns = 60 * NS_PER_S,
        .all_sent = note_all_sent,
        .arg = s,
        .job = {.role = LINK_SOURCE, .domid = 7, .lanes = 3}};
    assert_int_equal(budget_read(&s->t.pace.budget, "/nonexistent", &s->log, &s->e), 0);
    assert_int_equal(transfer_prepare(&s->t, &s->e), 0);
    assert_int_equal(mailbox_start(&s->mailbox, &s->control, LIMIT_NS, &s->e), 0);
    s->t.mailbox = s->mailbox;
    s->peer.play = peer;
    assert_int_equal(pthread_create(&s->peer.thread, NULL, run_peer, &s->peer), 0);
    return s;
}

static int until_ready(struct stage *s)
{
    const int rc = transfer_start(&s->t, &s->e);

    return rc ? rc : transfer_until_ready(&s->t, &s->e);
}

static void end(struct stage *s)
{
    mailbox_stop(s->mailbox);
    control_close(&s->control);
    pthread_join(s->peer.thread, NULL);
    control_close(&s->peer.control);
    transfer_clear(&s->t);
    journal_remove(&s->journal);
    assert_null(getenv(LINK_ENV));
    cancel_destroy(&s->cancel);
    view_destroy(&s->view);
    free(s);
}

/* It fails before READY, is stopped within limit, and the cause is of that class with that word. */
static void expect_failure(struct stage *s, enum err_class class, const char *word)
{
    assert_true(until_ready(s) < 0);
    assert_true(transfer_stop(&s->t, &s->e));
    assert_null(s->t.op.async);
    if (s->e.class != class || !strstr(s->e.text, word))
        fail_msg("class %s, text \"%s\"", err_class_name(s->e.class), s->e.text);
}

/* --- the tests --- */

static void hand_over(struct stage *s)
{
    assert_int_equal(until_ready(s), 0);
    assert_true(s->t.ready_ns && s->t.suspended_ns >= s->t.suspending_ns);
    assert_true(s->t.op.done);
    assert_int_equal(s->all_sent, 1);
    assert_true(s->journal.now.suspending);
    assert_int_equal(s->t.total.data_pages, 10);
    assert_int_equal(message_send_go(&s->control, &go, &s->e), 0);
    assert_int_equal(transfer_until_started(&s->t, &s->e), 0);
    assert_true(s->t.started_ns >= s->t.ready_ns);
}

/* The rest of it is known at the other end. */
static void a_transfer_relays_the_head_of_libxls_stream(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_well, peer_starts);

    hand_over(s);
    assert_int_equal(transfer_end(&s->t, &s->e), 0);
    assert_int_equal(s->peer.data_bytes, STREAM_HEAD_BYTES);
    end(s);
}

static void a_device_models_records_are_relayed(void **state)
{
    (void)state;
    static const uint8_t big[3 * TRANSFER_STREAM_BYTES];
    struct stage *s = begin(helper_is_well, peer_starts_a_model);

    s->t.whole_stream = true;
    rest = big;
    rest_bytes = sizeof(big);
    hand_over(s);
    assert_int_equal(transfer_end(&s->t, &s->e), 0);
    assert_int_equal(s->peer.data_bytes, STREAM_HEAD_BYTES + sizeof(big));
    end(s);
}

/* libxl's clean-up is no business of a guest that stands still; but nothing is freed before it. */
static void ready_does_not_wait_for_libxl(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_well, peer_starts);

    libxl_lingers = true;
    hand_over(s);
    assert_non_null(s->t.op.async);
    libxl_lingers = false;
    assert_int_equal(transfer_end(&s->t, &s->e), 0);
    assert_null(s->t.op.async);
    end(s);
}

static void prepared_is_passed_on_once(void **state)
{
    (void)state;
    struct stage *s = begin(helper_waits_until_prepared, peer_is_prepared_twice);

    s->t.job.early = true;
    expect_failure(s, ERR_PEER, "PREPARED");
    end(s);
    s = begin(helper_runs_until_aborted, peer_is_prepared);
    expect_failure(s, ERR_PEER, "PREPARED");
    end(s);
}

static void a_signal_stops_it_and_the_peer_is_told(void **state)
{
    (void)state;
    struct stage *s = begin(helper_runs_until_aborted, hear_out);

    cancel_fire(&s->cancel);
    expect_failure(s, ERR_CANCELLED, "signal");
    mailbox_stop(s->mailbox);
    s->mailbox = NULL;
    pthread_join(s->peer.thread, NULL);
    assert_true(s->peer.aborted);
    s->peer.play = peer_vanishes;
    pthread_create(&s->peer.thread, NULL, run_peer, &s->peer);
    end(s);
}

static void a_dead_helper_is_said_to_be_dead(void **state)
{
    (void)state;
    struct stage *s = begin(helper_dies, hear_out);

    expect_failure(s, ERR_LOCAL, "save helper died");
    assert_false(s->t.op.failed);
    end(s);
}

static void a_helpers_reason_comes_before_libxls(void **state)
{
    (void)state;
    struct stage *s = begin(helper_refuses, hear_out);

    expect_failure(s, ERR_REFUSED, "log-dirty");
    assert_true(s->t.op.failed);
    assert_int_equal(s->t.suspending_ns, 0);
    end(s);
}

static void a_hanging_helper_is_noticed_and_libxl_aborted(void **state)
{
    (void)state;
    struct stage *s = begin(helper_hangs, hear_out);

    s->options.silent_ns = 200 * NS_PER_MS;
    assert_true(until_ready(s) < 0);
    assert_int_equal(s->e.class, ERR_LOCAL);
    assert_non_null(strstr(s->e.text, "hangs"));
    /* It does not hear the link's abort; the gentle wait is long, so go past it. */
    xl_async_abort(s->t.op.async);
    assert_true(transfer_stop(&s->t, &s->e));
    end(s);
}

static void a_helper_that_never_comes_is_noticed(void **state)
{
    (void)state;
    struct stage *s = begin(helper_never_comes, hear_out);

    s->options.silent_ns = 200 * NS_PER_MS;
    expect_failure(s, ERR_LOCAL, "save helper");
    end(s);
}

static void a_guest_that_does_not_suspend_is_given_up(void **state)
{
    (void)state;
    struct stage *s = begin(guest_will_not_suspend, hear_out);

    s->options.suspend_ns = 200 * NS_PER_MS;
    expect_failure(s, ERR_GUEST, "--suspend-timeout");
    end(s);
}

static void a_suspended_guest_is_not_kept_waiting(void **state)
{
    (void)state;
    struct stage *s = begin(guest_stays_suspended, hear_out);

    s->t.start_ns = 200 * NS_PER_MS;
    expect_failure(s, ERR_PEER, "--start-timeout");
    end(s);
}

static void while_it_stands_still_a_silent_helper_is_given_up_sooner(void **state)
{
    (void)state;
    struct stage *s = begin(guest_stays_suspended, peer_pings);

    s->t.op.patience.hurried_ns = 1500 * NS_PER_MS;
    expect_failure(s, ERR_LOCAL, "the save helper hangs");
    end(s);
}

static void while_it_stands_still_a_silent_peer_is_given_up_sooner(void **state)
{
    (void)state;
    struct stage *s = begin(helper_waits_suspended, hear_out);

    s->t.op.patience.hurried_ns = 300 * NS_PER_MS;
    expect_failure(s, ERR_PEER, "says nothing for 300 ms while the guest is suspended");
    assert_true(now_ns() - s->t.suspended_ns < 4 * NS_PER_S); /* it takes its time to end */
    end(s);
}

static void a_peer_that_pings_is_not_silent(void **state)
{
    (void)state;
    struct stage *s = begin(helper_waits_suspended, peer_pings);

    s->t.op.patience.hurried_ns = 1500 * NS_PER_MS;
    s->t.start_ns = 2 * NS_PER_S;
    expect_failure(s, ERR_PEER, "--start-timeout");
    end(s);
}

static void offline_counts_from_the_end_of_the_copy(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_well, peer_never_starts);

    s->options.mode = MODE_OFFLINE;
    s->t.start_ns = 300 * NS_PER_MS;
    assert_int_equal(until_ready(s), 0);
    assert_true(transfer_until_started(&s->t, &s->e) < 0);
    assert_false(s->t.peer_failed);
    end(s);
}

static void the_peers_failure_is_the_cause(void **state)
{
    (void)state;
    struct stage *s = begin(helper_runs_until_aborted, peer_fails_at_once);

    expect_failure(s, ERR_LOCAL, "no memory left there");
    assert_int_equal(s->e.side, SIDE_DESTINATION);
    end(s);
}

static void the_peers_reason_beats_a_broken_lane(void **state)
{
    (void)state;
    struct stage *s = begin(helper_loses_its_lane, peer_fails_a_little_later);

    expect_failure(s, ERR_LOCAL, "no memory left there");
    end(s);
}

/* Its frames may be gone because its libxl has failed. */
static void the_peers_reason_beats_its_engines(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_told_why, peer_fails_a_little_later);

    expect_failure(s, ERR_LOCAL, "no memory left there");
    end(s);
}

static void a_peer_that_vanishes_is_lost(void **state)
{
    (void)state;
    struct stage *s = begin(helper_runs_until_aborted, peer_vanishes);

    expect_failure(s, ERR_PEER, "closed by the other end");
    assert_true(s->t.peer_lost);
    end(s);
}

static void frames_out_of_turn_are_refused(void **state)
{
    (void)state;
    struct stage *s = begin(helper_runs_until_aborted, peer_is_ready_twice);

    expect_failure(s, ERR_PEER, "READY");
    end(s);
    s = begin(helper_runs_until_aborted, peer_starts_unasked);
    expect_failure(s, ERR_PEER, "STARTED");
    end(s);
}

static void failed_after_go_gives_it_back(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_well, peer_gives_it_back);

    assert_int_equal(until_ready(s), 0);
    assert_int_equal(message_send_go(&s->control, &go, &s->e), 0);
    assert_true(transfer_until_started(&s->t, &s->e) < 0);
    assert_true(s->t.peer_failed);
    end(s);
}

static void a_loss_after_go_is_not_a_failure_of_the_peer(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_well, peer_goes_after_go);

    assert_int_equal(until_ready(s), 0);
    assert_int_equal(message_send_go(&s->control, &go, &s->e), 0);
    /* Too late for a signal. */
    cancel_fire(&s->cancel);
    assert_true(transfer_until_started(&s->t, &s->e) < 0);
    assert_int_equal(s->e.class, ERR_PEER);
    assert_false(s->t.peer_failed);
    assert_true(s->t.peer_lost);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_relays_the_head_of_libxls_stream),
        cmocka_unit_test(a_device_models_records_are_relayed),
        cmocka_unit_test(ready_does_not_wait_for_libxl),
        cmocka_unit_test(prepared_is_passed_on_once),
        cmocka_unit_test(a_signal_stops_it_and_the_peer_is_told),
        cmocka_unit_test(a_dead_helper_is_said_to_be_dead),
        cmocka_unit_test(a_helpers_reason_comes_before_libxls),
        cmocka_unit_test(a_hanging_helper_is_noticed_and_libxl_aborted),
        cmocka_unit_test(a_helper_that_never_comes_is_noticed),
        cmocka_unit_test(a_guest_that_does_not_suspend_is_given_up),
        cmocka_unit_test(a_suspended_guest_is_not_kept_waiting),
        cmocka_unit_test(while_it_stands_still_a_silent_helper_is_given_up_sooner),
        cmocka_unit_test(while_it_stands_still_a_silent_peer_is_given_up_sooner),
        cmocka_unit_test(a_peer_that_pings_is_not_silent),
        cmocka_unit_test(offline_counts_from_the_end_of_the_copy),
        cmocka_unit_test(the_peers_failure_is_the_cause),
        cmocka_unit_test(the_peers_reason_beats_a_broken_lane),
        cmocka_unit_test(the_peers_reason_beats_its_engines),
        cmocka_unit_test(a_peer_that_vanishes_is_lost),
        cmocka_unit_test(frames_out_of_turn_are_refused),
        cmocka_unit_test(failed_after_go_gives_it_back),
        cmocka_unit_test(a_loss_after_go_is_not_a_failure_of_the_peer),
    };

    signal(SIGPIPE, SIG_IGN); /* as main() does */
    if (fake_run_dir_make())
        return 1;

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return fake_run_dir_remove() ? 1 : failed;
}
