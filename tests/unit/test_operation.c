/* SPDX-License-Identifier: MIT */
/*
 * One supervised libxl operation: whatever the helper and libxl do, it ends, with the helper's
 * reason rather than libxl's, and nothing but the helper is ever killed. libxl is played by a
 * thread (fake_libxl.h), the helper by a process of its own where it matters that it is one.
 */
#include "base/deadline.h"
#include "cmd/xmigrate/libxl/operation.h"
#include "tests/unit/fake_libxl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define LIMIT_NS (20 * NS_PER_S)
#define SHORT_NS (200 * NS_PER_MS)

/* Nobody may be killed by number. */
int kill(pid_t pid, int sig)
{
    fail_msg("kill(%d, %d)", (int)pid, sig);
    return -1;
}

/* Linux before 6.5 cannot name a socket's peer by a pidfd. */
static bool old_kernel;

int getsockopt(int sock, int level, int option, void *value, socklen_t *len)
{
    if (old_kernel && option == SO_PEERPIDFD) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_getsockopt, sock, level, option, value, len);
}

static void end_process(pid_t pid)
{
    syscall(SYS_kill, pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

struct stage {
    struct operation op;
    struct log log;
    char warnings[256];
    char heard[256]; /* kinds, in order */
    bool no_job;
    bool helper_suspends;
    unsigned turns;
    struct err e;
};

static struct {
    atomic_bool let_go;      /* libxl comes back */
    pid_t helper;            /* a process, or 0 */
    _Atomic int exit_status; /* of that, as libxl reaped it; -1 before */
} now;

/* --- the owner --- */

static int give_job(void *arg, struct link_job *job, int *lock_fd, struct err *e)
{
    struct stage *s = arg;

    if (s->no_job)
        return err_set(e, ERR_LOCAL, ESRCH, "no job for it");
    *job = (struct link_job){.role = LINK_SOURCE,
        .domid = 7,
        .lanes = 3,
        .suspend_limit_ns = s->helper_suspends ? 1 : 0};
    *lock_fd = STDIN_FILENO;
    return 0;
}

static int hear(void *arg, const struct link_message *m, struct err *e)
{
    struct stage *s = arg;
    const char *kind = m->kind == LINK_EVENT     ? "event "
                       : m->kind == LINK_CAP     ? "cap "
                       : m->kind == LINK_LOGGING ? "logging "
                       : m->kind == LINK_DONE    ? "done "
                                                 : "? ";

    (void)e;
    strcat(s->heard, kind);
    return 0;
}

static int turn(struct stage *s, int64_t until_ns)
{
    struct pollfd fds[OPERATION_FDS];
    int rc;

    s->turns++;
    operation_pollfds(&s->op, fds);
    poll(fds, OPERATION_FDS,
        deadline_poll_ms(deadline_earlier(until_ns, operation_limit_ns(&s->op))));
    rc = operation_serve(&s->op, fds, &s->e);
    if ((!rc || s->op.stopping) && operation_is_over(fds))
        rc = operation_finish(&s->op, NULL, &s->e);
    return rc;
}

static void turn_while_stopping(void *arg, int64_t until_ns)
{
    turn(arg, until_ns);
}

static const struct operation_owner owner = {give_job, hear, turn_while_stopping, NULL};

static void note_warning(void *arg, enum log_level level, const char *line)
{
    struct stage *s = arg;

    if (level <= LOG_INFO)
        snprintf(s->warnings, sizeof(s->warnings), "%s", line);
}

static struct stage *prepare(void (*play)(struct xl_async *))
{
    struct stage *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    now.let_go = false;
    fake_freed = 0;
    now.helper = 0;
    now.exit_status = -1;
    fake_play = play;
    operation_init(&s->op, &owner, s);
    s->log = (struct log){LOG_INFO, note_warning, s};
    s->op.log = &s->log;
    s->op.silent_ns = LIMIT_NS;
    s->op.patience = (struct operation_patience){LIMIT_NS, SHORT_NS, SHORT_NS, LIMIT_NS, LIMIT_NS};
    assert_int_equal(operation_prepare(&s->op, &s->e), 0);
    return s;
}

static struct stage *begin(void (*play)(struct xl_async *))
{
    struct stage *s = prepare(play);

    assert_int_equal(operation_suspend(&s->op, 7, true, &s->e), 0);
    return s;
}

/* Until it is over, or fails, or that much was heard. */
static int run_until(struct stage *s, const char *heard)
{
    const int64_t deadline_ns = deadline_in(LIMIT_NS);
    int rc = 0;

    while (!rc && s->op.async && !(heard && strstr(s->heard, heard))) {
        assert_false(deadline_passed(deadline_ns));
        rc = turn(s, deadline_ns);
    }
    return rc;
}

static void end(struct stage *s)
{
    const unsigned ran = s->op.ended != NULL;

    assert_null(s->op.async);
    /* Not while the guest stands still. */
    assert_int_equal(fake_freed, 0);
    operation_clear(&s->op);
    assert_int_equal(fake_freed, ran);
    assert_null(getenv(LINK_ENV));
    assert_int_equal(s->op.stream_fd, -1);
    assert_int_equal(s->op.link_sock, -1);
    assert_int_equal(s->op.pidfd, -1);
    free(s);
}

static void expect_error(const struct stage *s, enum err_class class, const char *word)
{
    if (s->e.class != class || !strstr(s->e.text, word))
        fail_msg("class %s, text \"%s\"", err_class_name(s->e.class), s->e.text);
}

static void stop(struct stage *s)
{
    struct err why = ERR_INIT;

    err_set(&why, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    assert_true(operation_stop(&s->op, &why));
}

/* --- libxl, and helpers that are threads --- */

static void send_done(int sock)
{
    struct err e = ERR_INIT;

    link_send_done(sock, fake_totals(), &e);
}

static void helper_comes_late(struct xl_async *op)
{
    struct link_message m;
    int sock;

    sleep_until_ns(deadline_in(SHORT_NS));
    sock = fake_take_job(op, &m);
    assert_int_equal(m.job.domid, 7);
    assert_int_equal(m.job.lanes, 3);
    assert_true(m.fd >= 0);
    link_message_clear(&m);
    fake_send_event(sock, "progress");
    send_done(sock);
    close(sock);
    op->domid = 9;
}

static void helper_never_comes(struct xl_async *op)
{
    fake_await_abort(op);
}

static void helper_is_not_ours(struct xl_async *op)
{
    (void)op;
}

/* What it says is still in the link when libxl is through. */
static void helper_says_why(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = fake_join(op);

    err_set(&why, ERR_REFUSED, EBUSY, "log-dirty is on already");
    fake_send_event(sock, "progress");
    link_send_failed(sock, &why, &e);
    close(sock);
    fake_libxl_fails(op);
}

static void helper_gives_our_orders(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = fake_join(op);

    err_set(&why, ERR_LOCAL, EIO, "why");
    link_send_abort(sock, &why, &e);
    fake_await_abort(op);
    close(sock);
}

static void helper_wants_logging_noted(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = fake_join(op);

    link_send_cap(sock, 50, &e);
    link_send_logging(sock, &e);
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_NOTED);
    link_message_clear(&m);
    send_done(sock);
    close(sock);
}

static void helper_obeys(struct xl_async *op)
{
    const int sock = fake_join(op);

    if (sock < 0)
        return;
    fake_send_event(sock, "progress");
    fake_obey(op, sock);
}

/* A helper that is asked to stop meanwhile would end too early. */
static void guest_answers_late(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = fake_join(op);

    fake_send_event(sock, "suspending");
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(2 * SHORT_NS), &e), -ETIMEDOUT);
    close(sock);
    fake_libxl_fails(op);
}

static void helper_asks_the_guest(struct xl_async *op)
{
    const int sock = fake_join(op);

    fake_send_event(sock, "suspending");
    fake_obey(op, sock);
}

static void guest_is_suspended(struct xl_async *op)
{
    const int sock = fake_join(op);

    fake_send_event(sock, "suspending");
    fake_send_event(sock, "suspended");
    fake_await_abort(op);
    close(sock);
}

static void libxl_goes_on_after_done(struct xl_async *op)
{
    const int sock = fake_join(op);

    send_done(sock);
    close(sock);
    fake_await_abort(op);
}

/* --- helpers that are processes --- */

enum deed { LEAVES, DIES, HANGS, HANGS_UNLINKED, ENDS };

static void be_helper(enum deed deed)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = link_connect(getenv(LINK_ENV), &e);

    if (deed == LEAVES)
        _exit(0);
    if (sock < 0 || link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e))
        _exit(1);
    if (deed == DIES)
        raise(SIGABRT);
    if (deed != HANGS)
        send_done(sock);
    if (deed == HANGS_UNLINKED)
        close(sock);
    if (deed != ENDS)
        sleep_until_ns(deadline_in(3 * LIMIT_NS));
    _exit(0);
}

/* Before there are threads. */
static void start_helper(enum deed deed)
{
    now.helper = fork();
    assert_true(now.helper >= 0);
    if (!now.helper)
        be_helper(deed);
}

/* libxl waits for its child, whatever it was told. */
static void libxl_waits_for_helper(struct xl_async *op)
{
    int status;

    assert_int_equal(waitpid(now.helper, &status, 0), now.helper);
    now.exit_status = status;
    fake_libxl_fails(op);
}

/* The helper is gone, and its number free; but libxl hangs. */
static void libxl_reaps_and_hangs(struct xl_async *op)
{
    libxl_waits_for_helper(op);
    while (!now.let_go)
        sleep_until_ns(deadline_in(10 * NS_PER_MS));
}

static struct stage *begin_with_process(enum deed deed, void (*play)(struct xl_async *))
{
    struct stage *s = prepare(play);

    start_helper(deed);
    assert_int_equal(operation_suspend(&s->op, 7, true, &s->e), 0);
    return s;
}

/* --- the tests --- */

static void a_helper_may_come_late(void **state)
{
    (void)state;
    struct stage *s = begin(helper_comes_late);

    assert_int_equal(run_until(s, NULL), 0);
    assert_string_equal(s->heard, "event done ");
    assert_true(s->op.done);
    assert_false(s->op.failed);
    end(s);
}

static void a_restore_tells_its_domain(void **state)
{
    (void)state;
    struct stage *s = prepare(helper_comes_late);
    struct pollfd fds[OPERATION_FDS] = {0};
    libxl_domain_config config;
    uint32_t domid = 0;

    assert_int_equal(operation_restore(&s->op, &config, &s->e), 0);
    while (!s->op.done || !operation_is_over(fds)) {
        operation_pollfds(&s->op, fds);
        poll(fds, OPERATION_FDS, -1);
        assert_int_equal(operation_serve(&s->op, fds, &s->e), 0);
    }
    assert_int_equal(operation_finish(&s->op, &domid, &s->e), 0);
    assert_int_equal(domid, 9);
    end(s);
}

static void a_helper_that_never_comes_is_noticed(void **state)
{
    (void)state;
    struct stage *s = begin(helper_never_comes);

    s->op.silent_ns = SHORT_NS;
    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "did not start the save helper");
    stop(s);
    end(s);
}

static void libxl_without_our_helper_is_an_error(void **state)
{
    (void)state;
    struct stage *s = begin(helper_is_not_ours);

    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "LIBXL_SAVE_HELPER");
    end(s);
}

static void a_helper_that_gets_no_job_is_stopped(void **state)
{
    (void)state;
    struct stage *s = begin(helper_obeys);

    s->no_job = true;
    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "no job");
    stop(s);
    end(s);
}

static void a_dead_helper_is_said_to_be_dead(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(DIES, libxl_waits_for_helper);

    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "the save helper died");
    assert_int_equal(s->op.helper_error.code, ECHILD);
    assert_false(s->op.failed);
    stop(s);
    assert_true(WIFSIGNALED(now.exit_status));
    end(s);
}

static void a_helpers_reason_comes_before_libxls(void **state)
{
    (void)state;
    struct stage *s = begin(helper_says_why);
    struct pollfd over;

    assert_int_equal(turn(s, deadline_in(LIMIT_NS)), 0); /* it came */
    over = (struct pollfd){.fd = xl_async_event_fd(s->op.async), .events = POLLIN};
    assert_int_equal(poll(&over, 1, 10000), 1);
    assert_true(operation_finish(&s->op, NULL, &s->e) < 0);
    expect_error(s, ERR_REFUSED, "log-dirty");
    assert_true(s->op.failed);
    assert_int_equal(s->op.helper_error.class, ERR_REFUSED);
    end(s);
}

static void a_helper_may_not_say_what_only_we_say(void **state)
{
    (void)state;
    struct stage *s = begin(helper_gives_our_orders);

    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_INTERNAL, "only we may say");
    stop(s);
    end(s);
}

static void logging_is_noted_after_the_owner_heard_of_it(void **state)
{
    (void)state;
    struct stage *s = begin(helper_wants_logging_noted);

    assert_int_equal(run_until(s, NULL), 0);
    assert_string_equal(s->heard, "cap logging done ");
    end(s);
}

static void a_hanging_helper_is_killed(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(HANGS, libxl_waits_for_helper);

    s->op.silent_ns = SHORT_NS;
    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "hangs");
    assert_int_equal(s->op.helper, now.helper);
    stop(s);
    assert_true(WIFSIGNALED(now.exit_status) && WTERMSIG(now.exit_status) == SIGKILL);
    assert_non_null(strstr(s->warnings, "killing it"));
    end(s);
}

/* The end of its link is not its end. */
static void a_helper_that_hangs_after_its_link_is_killed(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(HANGS_UNLINKED, libxl_waits_for_helper);

    while (!s->op.done || s->op.link_sock >= 0)
        assert_int_equal(turn(s, deadline_in(LIMIT_NS)), 0);
    stop(s);
    assert_true(WIFSIGNALED(now.exit_status) && WTERMSIG(now.exit_status) == SIGKILL);
    end(s);
}

/* A process that has a number of our choice; -1: this kernel or user does not allow that. */
static pid_t fork_as(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD,
        .set_tid = (uintptr_t)&pid,
        .set_tid_size = 1,
    };
    const pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (!child)
        for (;;)
            pause();
    return child;
}

/* Another process with the helper's number, which must live on. 0 if there can be none. */
static pid_t reuse_number(void)
{
    const pid_t other = fork_as(now.helper);

    if (other < 0) {
        print_message("no process can be given a number here: %s\n", strerror(errno));
        return 0;
    }
    assert_int_equal(other, now.helper);
    return other;
}

static void expect_alive(pid_t other)
{
    int status;

    if (!other)
        return;
    assert_int_equal(waitpid(other, &status, WNOHANG), 0);
    end_process(other);
}

static void stop_hanging_libxl(struct stage *s, pid_t other)
{
    struct err why = ERR_INIT;

    s->op.patience.killed_ns = SHORT_NS;
    err_set(&why, ERR_LOCAL, EIO, "why");
    assert_false(operation_stop(&s->op, &why));
    assert_non_null(s->op.async);
    expect_alive(other);
    now.let_go = true;
    stop(s);
}

static void await_reaped(void)
{
    const int64_t deadline_ns = deadline_in(LIMIT_NS);

    while (now.exit_status == -1) {
        assert_false(deadline_passed(deadline_ns));
        sleep_until_ns(deadline_in(NS_PER_MS));
    }
    assert_int_equal(now.exit_status, 0);
}

static void a_number_used_again_is_not_killed(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(ENDS, libxl_reaps_and_hangs);

    while (!s->op.done || s->op.link_sock >= 0)
        assert_int_equal(turn(s, deadline_in(LIMIT_NS)), 0);
    await_reaped();
    stop_hanging_libxl(s, reuse_number());
    end(s);
}

/* It connected, and was gone before we looked who it was. */
static void a_number_used_again_is_not_taken_for_the_helper(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(LEAVES, libxl_reaps_and_hangs);
    pid_t other;

    await_reaped();
    other = reuse_number();
    assert_true(run_until(s, NULL) < 0);
    expect_error(s, ERR_LOCAL, "over the link");
    stop_hanging_libxl(s, other);
    end(s);
}

static void old_kernels_are_as_careful(void **state)
{
    old_kernel = true;
    a_hanging_helper_is_killed(state);
    a_number_used_again_is_not_killed(state);
    a_number_used_again_is_not_taken_for_the_helper(state);
    old_kernel = false;
}

static void stopping_before_it_began_is_nothing(void **state)
{
    (void)state;
    struct stage *s = prepare(helper_obeys);

    stop(s);
    assert_int_equal(s->turns, 0);
    end(s);
}

static void stopping_before_the_helper_came(void **state)
{
    (void)state;
    struct stage *s = begin(helper_never_comes);

    stop(s);
    assert_int_equal(s->op.helper, 0);
    end(s);
}

static void a_helper_is_asked_first(void **state)
{
    (void)state;
    struct stage *s = begin(helper_obeys);

    s->op.patience.asked_ns = LIMIT_NS;
    assert_int_equal(run_until(s, "event"), 0);
    stop(s);
    expect_error(s, ERR_CANCELLED, "stopped by a signal");
    assert_true(s->op.failed);
    end(s);
}

static void libxl_is_not_robbed_of_its_helper_while_it_suspends(void **state)
{
    (void)state;
    struct stage *s = begin(guest_answers_late);

    assert_int_equal(run_until(s, "event"), 0);
    stop(s);
    assert_non_null(strstr(s->warnings, "take its request to suspend back"));
    end(s);
}

static void a_helper_that_asks_the_guest_itself_is_stopped_at_once(void **state)
{
    (void)state;
    struct stage *s = begin(helper_asks_the_guest);

    s->helper_suspends = true;
    s->op.patience.asked_ns = LIMIT_NS;
    assert_int_equal(run_until(s, "event"), 0);
    stop(s);
    assert_string_equal(s->warnings, "");
    assert_true(s->op.failed);
    end(s);
}

static void a_suspended_guest_need_not_be_waited_for(void **state)
{
    (void)state;
    struct stage *s = begin(guest_is_suspended);

    assert_int_equal(run_until(s, "event event"), 0);
    stop(s);
    assert_string_equal(s->warnings, "");
    end(s);
}

static void libxl_is_aborted_after_its_helper_was_done(void **state)
{
    (void)state;
    struct stage *s = begin(libxl_goes_on_after_done);

    assert_int_equal(run_until(s, "done"), 0);
    stop(s);
    end(s);
}

static void libxl_that_does_not_come_back_is_said_so(void **state)
{
    (void)state;
    struct stage *s = begin_with_process(ENDS, libxl_reaps_and_hangs);

    assert_int_equal(run_until(s, "done"), 0);
    stop_hanging_libxl(s, 0);
    stop(s); /* again is harmless */
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helper_may_come_late),
        cmocka_unit_test(a_restore_tells_its_domain),
        cmocka_unit_test(a_helper_that_never_comes_is_noticed),
        cmocka_unit_test(libxl_without_our_helper_is_an_error),
        cmocka_unit_test(a_helper_that_gets_no_job_is_stopped),
        cmocka_unit_test(a_dead_helper_is_said_to_be_dead),
        cmocka_unit_test(a_helpers_reason_comes_before_libxls),
        cmocka_unit_test(a_helper_may_not_say_what_only_we_say),
        cmocka_unit_test(logging_is_noted_after_the_owner_heard_of_it),
        cmocka_unit_test(a_hanging_helper_is_killed),
        cmocka_unit_test(a_helper_that_hangs_after_its_link_is_killed),
        cmocka_unit_test(a_number_used_again_is_not_killed),
        cmocka_unit_test(a_number_used_again_is_not_taken_for_the_helper),
        cmocka_unit_test(old_kernels_are_as_careful),
        cmocka_unit_test(stopping_before_it_began_is_nothing),
        cmocka_unit_test(stopping_before_the_helper_came),
        cmocka_unit_test(a_helper_is_asked_first),
        cmocka_unit_test(libxl_is_not_robbed_of_its_helper_while_it_suspends),
        cmocka_unit_test(a_helper_that_asks_the_guest_itself_is_stopped_at_once),
        cmocka_unit_test(a_suspended_guest_need_not_be_waited_for),
        cmocka_unit_test(libxl_is_aborted_after_its_helper_was_done),
        cmocka_unit_test(libxl_that_does_not_come_back_is_said_so),
    };

    if (fake_run_dir_make())
        return 1;

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return fake_run_dir_remove() ? 1 : failed;
}
