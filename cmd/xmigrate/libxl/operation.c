/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/operation.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"
#include "base/units.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* libxl gives a guest 60 s to answer and 60 s to suspend. */
#define SUSPEND_ANSWER_NS (130 * NS_PER_S)
/* A connection that poll(2) has seen, a packet too. */
#define THERE_NS NS_PER_S
/* For a helper, or libxl, to end while the guest stands still. */
#define HURRIED_PATIENCE_NS NS_PER_S

#define HELPER_ENV "LIBXL_SAVE_HELPER"

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void operation_init(struct operation *op, const struct operation_owner *owner, void *arg)
{
    *op = (struct operation){
        .owner = owner,
        .arg = arg,
        .stream_fd = -1,
        .link_sock = -1,
        .listen_fd = -1,
        .pidfd = -1,
        .libxl_fd = -1,
        .patience = {.suspend_ns = SUSPEND_ANSWER_NS,
            .asked_ns = 10 * NS_PER_S,
            .aborted_ns = 10 * NS_PER_S,
            .killed_ns = 30 * NS_PER_S,
            .hurried_ns = 5 * NS_PER_S},
    };
}

int operation_prepare(struct operation *op, struct err *e)
{
    char dir[PATHS_BYTES], helper[PATHS_BYTES];
    int rc = find_program("xmigrate-save-helper", helper, e);

    if (!rc)
        rc = open_run_dir(dir, e);
    if (rc)
        return rc;
    snprintf(op->link_path, sizeof(op->link_path), "%s/link-%d", dir, (int)getpid());
    op->listen_fd = link_listen(op->link_path, e);
    if (op->listen_fd < 0)
        return op->listen_fd;
    if (setenv(HELPER_ENV, helper, 1) || setenv(LINK_ENV, op->link_path, 1))
        return err_sys(e, ERR_LOCAL, errno, "cannot set the environment of the save helper");
    return 0;
}

void operation_clear(struct operation *op)
{
    int *const fds[] = {&op->stream_fd, &op->link_sock, &op->listen_fd, &op->pidfd, &op->libxl_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) && op->owner; i++)
        close_fd(fds[i]);
    xl_async_free(op->ended);
    op->ended = NULL;
    if (!op->link_path[0])
        return;
    unlink(op->link_path);
    op->link_path[0] = '\0';
    unsetenv(LINK_ENV);
    unsetenv(HELPER_ENV);
}

static int open_stream(struct operation *op, struct err *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair for libxl's stream");
    op->stream_fd = pair[0];
    op->libxl_fd = pair[1];
    op->heard_ns = now_ns();

    const int rc = io_set_nonblocking(op->stream_fd, true);

    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot set up libxl's stream") : 0;
}

int operation_suspend(struct operation *op, uint32_t domid, bool live, struct err *e)
{
    const int rc = open_stream(op, e);

    return rc ? rc : xl_async_suspend(&op->async, op->log, domid, op->libxl_fd, live, e);
}

int operation_restore(struct operation *op, libxl_domain_config *config, struct err *e)
{
    const int rc = open_stream(op, e);

    return rc ? rc : xl_async_restore(&op->async, op->log, config, op->libxl_fd, e);
}

int operation_save_to(struct operation *op, uint32_t domid, bool live, int fd, struct err *e)
{
    op->heard_ns = now_ns();
    return xl_async_suspend(&op->async, op->log, domid, fd, live, e);
}

int operation_restore_from(struct operation *op, libxl_domain_config *config, int fd, struct err *e)
{
    op->heard_ns = now_ns();
    return xl_async_restore(&op->async, op->log, config, fd, e);
}

void operation_close_stream(struct operation *op)
{
    close_fd(&op->stream_fd);
}

/* --- the helper --- */

static int greet_helper(struct operation *op, struct err *e)
{
    struct link_job job = {0};
    int lock_fd = -1;
    const int sock = link_accept(op->listen_fd, NULL, deadline_in(THERE_NS), e);

    if (sock < 0)
        return sock;
    close_fd(&op->listen_fd);
    unlink(op->link_path); /* nobody else comes, and we may be killed */
    op->link_sock = sock;
    op->pidfd = link_peer_pidfd(sock, &op->helper);

    int rc = op->owner->give_job(op->arg, &job, &lock_fd, e);

    op->libxl_suspends = !job.suspend_limit_ns;
    if (!rc)
        rc = link_send_job(sock, &job, lock_fd, e);
    if (!rc && job.files)
        rc = op->owner->give_files(op->arg, sock, e);
    explicit_bzero(job.key, sizeof(job.key));
    return rc;
}

/* The pidfd is kept: a process that has closed its link may still hang. */
static int lose_helper(struct operation *op, struct err *e)
{
    close_fd(&op->link_sock);
    if (op->done || op->failed)
        return 0;
    err_set(&op->helper_error, ERR_LOCAL, ECHILD, "the save helper died");
    return err_take(e, &op->helper_error);
}

static void note_suspend(struct operation *op, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));

    if (name && !strcmp(name, "suspending"))
        op->suspending = op->libxl_suspends;
    else if (name && !strcmp(name, "suspended"))
        op->suspending = false;
}

static int take_message(struct operation *op, const struct link_message *m, struct err *e)
{
    struct err ignored = ERR_INIT;
    int rc;

    switch (m->kind) {
    case LINK_ALIVE:
        return 0;
    case LINK_FAILED:
        op->failed = true;
        op->helper_error = m->failed;
        return err_take(e, &m->failed);
    case LINK_EVENT:
        note_suspend(op, m->body);
        return op->owner->hear(op->arg, m, e);
    case LINK_DONE:
        op->done = true;
        return op->owner->hear(op->arg, m, e);
    case LINK_CAP:
    case LINK_BEFORE_SUSPEND:
        return op->owner->hear(op->arg, m, e);
    case LINK_BUILD:
        op->built = true;
        return op->owner->hear(op->arg, m, e);
    case LINK_LOGGING:
        rc = op->owner->hear(op->arg, m, e);
        /* A helper that is gone is seen at the next turn. */
        if (!rc)
            link_send_noted(op->link_sock, &ignored);
        return rc;
    default:
        return err_set(e, ERR_INTERNAL, EPROTO, "the save helper said what only we may say");
    }
}

static int read_message(struct operation *op, struct err *e)
{
    struct link_message m;
    int rc = link_recv(op->link_sock, &m, NULL, deadline_in(THERE_NS), e);

    if (rc == -ENODATA)
        return lose_helper(op, e);
    if (rc)
        return rc;
    rc = take_message(op, &m, e);
    link_message_clear(&m);
    return rc;
}

/* All that it had said before it ended and libxl noticed. */
static int read_last_words(struct operation *op, struct err *e)
{
    int rc = 0;

    while (!rc && op->link_sock >= 0 && !io_wait(op->link_sock, POLLIN, NULL, now_ns()))
        rc = read_message(op, e);
    return rc;
}

/* --- polling --- */

static bool is_under_way(const struct operation *op)
{
    return op->async || op->link_sock >= 0;
}

void operation_pollfds(const struct operation *op, struct pollfd fds[static OPERATION_FDS])
{
    const int helper_fd = op->link_sock >= 0 ? op->link_sock : op->listen_fd;

    fds[OPERATION_HELPER] = (struct pollfd){
        .fd = is_under_way(op) ? helper_fd : -1, .events = POLLIN};
    fds[OPERATION_END] = (struct pollfd){
        .fd = op->async ? xl_async_event_fd(op->async) : -1,
        .events = POLLIN,
    };
}

int64_t operation_limit_ns(const struct operation *op)
{
    return is_under_way(op) && !op->done && !op->stopping ? op->heard_ns + op->silent_ns
                                                          : DEADLINE_NEVER;
}

static int check_alive(const struct operation *op, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (!deadline_passed(operation_limit_ns(op)))
        return 0;
    if (!op->helper)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl did not start the save helper in time");
    return err_set(e, ERR_LOCAL, ETIMEDOUT, "the save helper hangs: nothing heard of it for %s",
        format_duration(op->silent_ns, limit));
}

int operation_serve(
    struct operation *op, const struct pollfd fds[static OPERATION_FDS], struct err *e)
{
    int rc = 0;

    if (fds[OPERATION_HELPER].revents) {
        rc = op->link_sock >= 0 ? read_message(op, e) : greet_helper(op, e);
        /* However long it took us to deal with it, that was not its silence. */
        op->heard_ns = now_ns();
    }
    return rc ? rc : check_alive(op, e);
}

int operation_finish(struct operation *op, uint32_t *domid, struct err *e)
{
    int rc = read_last_words(op, e);
    const int ended = xl_async_finish(op->async, domid, e);

    op->ended = op->async;
    op->async = NULL;
    close_fd(&op->libxl_fd);
    if (!rc)
        rc = ended;
    if (!rc && !op->done && !op->built && !op->stopping)
        rc = err_set(e, ERR_LOCAL, EPROTO,
            "libxl was through without xmigrate's save helper (LIBXL_SAVE_HELPER)");
    return rc;
}

int operation_turn(struct operation *op, const struct cancel *cancel, int64_t until_ns,
    uint32_t *domid, struct err *e)
{
    enum { CANCEL, OPERATION, SOURCES = OPERATION + OPERATION_FDS };
    struct pollfd fds[SOURCES] = {
        [CANCEL] = {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
    int rc = 0;

    operation_pollfds(op, fds + OPERATION);
    if (poll(fds, SOURCES, deadline_poll_ms(deadline_earlier(until_ns, operation_limit_ns(op)))) <
        0)
        return errno == EINTR ? 0 : err_sys(e, ERR_INTERNAL, errno, "poll");
    if (fds[CANCEL].revents)
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    if (!rc)
        rc = operation_serve(op, fds + OPERATION, e);
    return !rc && operation_is_over(fds + OPERATION) ? operation_finish(op, domid, e) : rc;
}

void operation_dismiss(struct operation *op)
{
    if (op->done)
        close_fd(&op->link_sock);
}

void operation_hurry(struct operation *op)
{
    op->silent_ns = deadline_earlier(op->silent_ns, op->patience.hurried_ns);
    op->patience.asked_ns = deadline_earlier(op->patience.asked_ns, HURRIED_PATIENCE_NS);
    op->patience.aborted_ns = deadline_earlier(op->patience.aborted_ns, HURRIED_PATIENCE_NS);
}

/* --- stopping --- */

static bool await_end(struct operation *op, int64_t wait_ns)
{
    const int64_t deadline_ns = deadline_in(wait_ns);

    while (is_under_way(op) && !deadline_passed(deadline_ns))
        op->owner->turn(op->arg, deadline_ns);
    return !is_under_way(op);
}

static bool ask_helper(struct operation *op, const struct err *why)
{
    struct err ignored = ERR_INIT;

    if (op->link_sock >= 0 && op->suspending) {
        /* Asked to suspend the guest, libxl answers in its own time, and a helper that ends before
         * that leaves it with nobody to answer to. */
        log_info(
            op->log, "waiting for libxl to take its request to suspend back (up to 2 minutes)");
        if (await_end(op, op->patience.suspend_ns))
            return true;
    }
    if (op->link_sock < 0)
        return false;
    link_send_abort(op->link_sock, why, &ignored); /* if it has closed its end, it is ending */
    return await_end(op, op->patience.asked_ns);
}

static void kill_helper(struct operation *op)
{
    if (op->pidfd < 0)
        return;
    log_warn(op->log, "the save helper (process %d) does not end: killing it", (int)op->helper);
    /* It may have ended meanwhile. */
    pidfd_send_signal(op->pidfd, SIGKILL, NULL, 0);
}

bool operation_stop(struct operation *op, const struct err *why)
{
    if (!is_under_way(op))
        return true;
    op->stopping = true;
    close_fd(&op->listen_fd); /* a helper that comes now finds nobody, and ends */
    if (op->async && op->built)
        xl_async_abort(op->async); /* it does not wait for the helper any more */
    if (ask_helper(op, why))
        return true;
    if (op->async && !op->built)
        xl_async_abort(op->async);
    if (op->async && await_end(op, op->patience.aborted_ns))
        return true;
    kill_helper(op);
    return await_end(op, op->patience.killed_ns);
}

int operation_unsuspended(int64_t limit_ns, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    return err_set(e, ERR_GUEST, ETIMEDOUT,
        "the guest did not suspend within %s (--suspend-timeout): is it alive, and can its kernel "
        "suspend (xenbus, PV drivers)?",
        format_duration(limit_ns, limit));
}
