/* SPDX-License-Identifier: MIT */
/*
 * The poll loop of a guest's way into a file: while the guest stands still, what does not go on
 * ends. libxl's operation and the helper are played by a thread (fake_libxl.h).
 */
#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "cmd/xmigrate/filing.h"
#include "tests/unit/fake_libxl.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STEP_NS (50 * NS_PER_MS)

/* --- helpers --- */

static int join_and_suspend(struct xl_async *op)
{
    const int sock = fake_join(op);

    if (sock < 0)
        return -1;
    fake_send_event(sock, "suspending");
    fake_send_event(sock, "suspended");
    return sock;
}

static bool is_told_nothing(int sock)
{
    return io_wait(sock, POLLIN, NULL, deadline_in(STEP_NS)) == -ETIMEDOUT;
}

/* Its main thread is in write(), and the other one says that it lives. */
static void helper_is_stuck(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = join_and_suspend(op);

    if (sock < 0)
        return;
    while (!link_send_alive(sock, &e) && is_told_nothing(sock))
        ;
    fake_obey(op, sock);
}

/* Longer than the limit, but not without a word of its progress. */
static void helper_is_slow(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = join_and_suspend(op);

    if (sock < 0)
        return;
    for (int i = 0; i < 80 && is_told_nothing(sock); i++)
        fake_send_event(sock, "progress");
    link_send_done(sock, fake_totals(), &e);
    close(sock);
}

/* It does not write the last of the file, or a device model's state. */
static void libxl_is_stuck(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = join_and_suspend(op);

    if (sock < 0)
        return;
    link_send_done(sock, fake_totals(), &e);
    close(sock);
    fake_await_abort(op);
}

/* --- the stage --- */

struct stage {
    struct view view;
    struct log log;
    struct event_stream events;
    struct cancel cancel;
    struct journal journal;
    struct filing f;
    struct err e;
};

static const struct journal_record record = {
    .cap = JOURNAL_NO_CAP, .domid = 7, .uuid = "01234567-89ab-cdef-0123-456789abcdef", .name = "g"};

static struct stage *begin(void (*helper)(struct xl_async *), int64_t silent_ns)
{
    struct stage *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    fake_play = helper;
    view_init(&s->view, true);
    s->log = (struct log){LOG_ERROR, view_log, &s->view};
    s->events.fd = -1;
    assert_int_equal(cancel_init(&s->cancel, &s->e), 0);
    assert_int_equal(journal_begin(&s->journal, &record, &s->e), 0);
    s->f = (struct filing){.log = &s->log,
        .view = &s->view,
        .events = &s->events,
        .cancel = &s->cancel,
        .journal = &s->journal,
        .lock_fd = STDIN_FILENO,
        .suspend_ns = 60 * NS_PER_S,
        .silent_ns = silent_ns,
        .live = true,
        .job = {.role = LINK_SOURCE, .plain = true, .domid = 7, .lanes = 1}};
    assert_int_equal(filing_prepare(&s->f, &s->e), 0);
    return s;
}

static int until_through(struct stage *s)
{
    const int rc = filing_start(&s->f, 7, STDIN_FILENO, &s->e);

    return rc ? rc : filing_until_through(&s->f, &s->e);
}

static void end(struct stage *s)
{
    assert_null(s->f.op.async);
    filing_clear(&s->f);
    journal_remove(&s->journal);
    cancel_destroy(&s->cancel);
    view_destroy(&s->view);
    free(s);
}

static void expect_no_progress(struct stage *s)
{
    assert_int_equal(until_through(s), -ETIMEDOUT);
    assert_int_equal(s->e.class, ERR_LOCAL);
    assert_non_null(strstr(s->e.text, "which is suspended"));
    assert_true(filing_stop(&s->f, &s->e));
    end(s);
}

/* --- the tests --- */

static void a_helper_that_only_lives_is_given_up(void **state)
{
    (void)state;
    expect_no_progress(begin(helper_is_stuck, 500 * NS_PER_MS));
}

/* The guest may run on without it. */
static void a_libxl_that_does_not_end_is_given_up(void **state)
{
    (void)state;
    struct stage *s = begin(libxl_is_stuck, 3 * NS_PER_S);

    s->f.end_ns = 500 * NS_PER_MS;
    assert_int_equal(until_through(s), 0);
    assert_int_equal(filing_until_over(&s->f, &s->e), -ETIMEDOUT);
    assert_int_equal(s->e.class, ERR_LOCAL);
    assert_non_null(strstr(s->e.text, "libxl did not end the file within 500 ms"));
    assert_true(filing_stop(&s->f, &s->e));
    end(s);
}

/* A compact file's index is written then, of which nothing is heard. */
static void an_index_has_its_time(void **state)
{
    (void)state;
    struct stage *s = begin(libxl_is_stuck, 3 * NS_PER_S);
    int64_t begun_ns;

    s->f.end_ns = 100 * NS_PER_MS;
    s->f.index_ns = NS_PER_S;
    assert_int_equal(until_through(s), 0);
    begun_ns = now_ns();
    assert_int_equal(filing_until_over(&s->f, &s->e), -ETIMEDOUT);
    assert_true(now_ns() - begun_ns > NS_PER_S);
    assert_true(filing_stop(&s->f, &s->e));
    end(s);
}

static void one_that_gets_on_has_all_the_time(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_slow, 3 * NS_PER_S);

    assert_int_equal(until_through(s), 0);
    assert_true(s->f.through_ns - s->f.suspended_ns > s->f.silent_ns);
    assert_int_equal(s->f.total.data_pages, 10);
    assert_int_equal(filing_until_over(&s->f, &s->e), 0);
    end(s);
}

static int make_run_dir(void **state)
{
    (void)state;
    return fake_run_dir_make();
}

static int remove_run_dir(void **state)
{
    (void)state;
    return fake_run_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helper_that_only_lives_is_given_up),
        cmocka_unit_test(a_libxl_that_does_not_end_is_given_up),
        cmocka_unit_test(an_index_has_its_time),
        cmocka_unit_test(one_that_gets_on_has_all_the_time),
    };

    return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
