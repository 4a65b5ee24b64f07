#include "cmd/xmigrate/transfer.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Stopping: how long the helper, then libxl, then the kernel have to end things. */
#define GENTLE_NS (10 * NS_PER_S)
#define FIRM_NS   (10 * NS_PER_S)
#define LAST_NS   (30 * NS_PER_S)
/* libxl gives a guest 60 s to answer and 60 s to suspend. */
#define SUSPEND_ANSWER_NS (130 * NS_PER_S)
/* How long a destination that failed has to say why, when all we know is that it went away. */
#define REASON_NS NS_PER_S

#define HELPER_ENV "LIBXL_SAVE_HELPER"

int transfer_prepare(struct transfer *t, struct err *e)
{
    char dir[PATHS_BYTES], helper[PATHS_BYTES];
    int rc;

    t->listen_fd = t->link_sock = t->stream_fd = t->stream_peer_fd = -1;
    rc = find_program("xmigrate-save-helper", helper, e);
    if (rc)
        return rc;
    rc = open_run_dir(dir, e);
    if (rc)
        return rc;
    snprintf(t->link_path, sizeof(t->link_path), "%s/link-%d", dir, (int)getpid());
    t->listen_fd = link_listen(t->link_path, e);
    if (t->listen_fd < 0)
        return t->listen_fd;
    if (setenv(HELPER_ENV, helper, 1) || setenv(LINK_ENV, t->link_path, 1))
        return err_sys(e, ERR_LOCAL, errno, "cannot set the environment");
    return 0;
}

void transfer_clear(struct transfer *t)
{
    int *const fds[] = {&t->listen_fd, &t->link_sock, &t->stream_fd, &t->stream_peer_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    json_decref(t->lanes);
    t->lanes = NULL;
    if (t->link_path[0])
        unlink(t->link_path);
    unsetenv(LINK_ENV);
    unsetenv(HELPER_ENV);
    explicit_bzero(t->job.key, sizeof(t->job.key));
}

int transfer_start(struct transfer *t, struct err *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair for libxl's stream");
    t->stream_fd = pair[0];
    t->stream_peer_fd = pair[1];

    int rc = io_set_nonblocking(t->stream_fd, true);

    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "cannot set up libxl's stream");
    t->heard_ns = now_ns();
    t->ping_ns = t->heard_ns + MESSAGE_PING_S * NS_PER_S;
    t->start_limit_ns = DEADLINE_NEVER;
    return xl_async_suspend(
        &t->op, t->log, t->domid, t->stream_peer_fd, t->options->mode == MODE_LIVE, e);
}

/* --- what the helper says --- */

/* Only --recover wants to know, and only if all goes wrong: no reason to fail. */
static void note(struct transfer *t, bool *what)
{
    struct err e = ERR_INIT;

    *what = true;
    if (journal_save(t->journal, &e))
        log_warn(t->log, "%s", e.text);
}

static void tell_cap(struct transfer *t, unsigned percent)
{
    json_t *body = json_pack("{s:s, s:i}", "event", "cap", "cap_percent", (int)percent);

    event_write(t->events, body);
    json_decref(body);
}

/* What it was is on disk before it is changed. */
static int remember_cap(struct transfer *t, struct err *e)
{
    struct journal_record *now = &t->journal->now;
    unsigned percent;
    int rc;

    if (now->cap != JOURNAL_NO_CAP)
        return 0;
    rc = xl_cap(t->xl, t->domid, &percent, e);
    if (rc)
        return rc;
    now->cap = (int)percent;
    rc = journal_save(t->journal, e);
    if (rc)
        now->cap = JOURNAL_NO_CAP;
    return rc;
}

/* A guest that cannot be slowed down is no reason to fail: the scheduler sees it, and goes on as it
 * does with one that does not heed its cap. */
static void lower_cap(struct transfer *t, unsigned percent)
{
    struct err e = ERR_INIT;

    if (t->stopping || t->suspending_ns)
        return;
    if (remember_cap(t, &e) || xl_set_cap(t->xl, t->domid, percent, &e))
        log_warn(t->log, "the guest is not slowed down: %s", e.text);
    else
        tell_cap(t, percent);
}

/* The journal says so when it is written next: until then it would only be done again. */
static void put_cap_back(struct transfer *t)
{
    struct journal_record *now = &t->journal->now;
    struct err e = ERR_INIT;

    if (now->cap == JOURNAL_NO_CAP)
        return;
    if (xl_set_cap(t->xl, t->domid, (unsigned)now->cap, &e)) {
        log_warn(t->log, "%s", e.text);
        return;
    }
    tell_cap(t, (unsigned)now->cap);
    now->cap = JOURNAL_NO_CAP;
}

static void show_event(struct transfer *t, json_t *body)
{
    const char *name = event_name(body);
    struct progress_report progress;
    struct round_report round;

    event_write(t->events, body);
    if (!strcmp(name, "progress") && event_read_progress(body, &progress)) {
        view_progress(t->view, &progress);
    } else if (!strcmp(name, "round") && event_read_round(body, &round)) {
        view_round(t->view, &round);
    } else if (!strcmp(name, "decision") && event_read_decision(body)) {
        view_say(t->view, "  %s", event_read_decision(body));
    } else if (!strcmp(name, "suspending")) {
        t->suspending_ns = now_ns();
        /* It should not take longer to suspend than it has to. */
        put_cap_back(t);
        note(t, &t->journal->now.suspending);
        log_debug(t->log, "asking the guest to suspend");
    } else if (!strcmp(name, "suspended")) {
        t->suspended_ns = now_ns();
        if (t->options->mode == MODE_LIVE)
            t->start_limit_ns = t->suspended_ns + t->options->start_ns;
        log_debug(t->log, "the guest is suspended");
    }
}

static int take_done(struct transfer *t, const json_t *total, struct err *e)
{
    if (!event_read_total(total, &t->total))
        return err_set(e, ERR_INTERNAL, EPROTO, "the save helper's totals make no sense");
    t->lanes = json_incref(json_object_get(total, "lanes"));
    t->engine_done = true;
    /* Suspended first and copied then, the whole copy lies in the pause: only the rest is limited.
     */
    if (t->options->mode == MODE_OFFLINE)
        t->start_limit_ns = now_ns() + t->options->start_ns;
    return 0;
}

static int lose_link(struct transfer *t, struct err *e)
{
    close(t->link_sock);
    t->link_sock = -1;
    if (t->engine_done || t->helper_failed)
        return 0;
    err_set(&t->helper_error, ERR_LOCAL, ECHILD, "the save helper died");
    return err_take(e, &t->helper_error);
}

static int read_link(struct transfer *t, struct err *e)
{
    struct link_message m;
    struct err ignored = ERR_INIT;
    int rc = link_recv(t->link_sock, &m, NULL, deadline_in(NS_PER_S), e);

    if (rc == -ENODATA)
        return lose_link(t, e);
    if (rc)
        return rc;
    t->heard_ns = now_ns();
    switch (m.kind) {
    case LINK_EVENT:
        show_event(t, m.body);
        break;
    case LINK_DONE:
        rc = take_done(t, m.body, e);
        break;
    case LINK_FAILED:
        t->helper_failed = true;
        t->helper_error = m.failed;
        rc = err_take(e, &m.failed);
        break;
    case LINK_CAP:
        lower_cap(t, m.cap_percent);
        break;
    case LINK_LOGGING:
        note(t, &t->journal->now.logging);
        /* A helper that is gone is seen at the next look. */
        link_send_noted(t->link_sock, &ignored);
        break;
    case LINK_ALIVE:
        break;
    default:
        rc = err_set(e, ERR_INTERNAL, EPROTO, "the save helper said what only we may say");
    }
    link_message_clear(&m);
    return rc;
}

static int accept_helper(struct transfer *t, struct err *e)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    const int sock = link_accept(t->listen_fd, NULL, deadline_in(NS_PER_S), e);

    if (sock < 0)
        return sock;
    t->link_sock = sock;
    t->heard_ns = now_ns();
    close(t->listen_fd);
    t->listen_fd = -1;
    if (!getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        t->helper = peer.pid;
    return link_send_job(sock, &t->job, t->lock_fd, e);
}

/* --- libxl --- */

/* Everything that is there; not more than once around when libxl keeps it full. */
static int relay_stream(struct transfer *t, struct err *e)
{
    uint8_t buf[TRANSFER_STREAM_BYTES];
    const ssize_t n = read(t->stream_fd, buf, sizeof(buf));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : err_sys(e, ERR_LOCAL, errno, "reading libxl's stream");
    if (n == 0) {
        close(t->stream_fd);
        t->stream_fd = -1;
        return 0;
    }
    if (t->stopping || t->peer_lost || t->peer_failed)
        return 0;
    return control_send(t->control, CONTROL_LIBXL_DATA, buf, (size_t)n, e);
}

/* What the helper had said before it ended and libxl noticed: its reasons are better than libxl's.
 */
static int drain_link(struct transfer *t, struct err *e)
{
    int rc = 0;

    while (t->link_sock >= 0 && !io_wait(t->link_sock, POLLIN, NULL, now_ns())) {
        const int step = read_link(t, e);

        rc = rc ? rc : step;
    }
    return rc;
}

static int end_operation(struct transfer *t, struct err *e)
{
    int rc = drain_link(t, e);

    xl_async_finish(t->op, NULL, &t->op_error);
    t->op = NULL;
    t->op_over = true;
    close(t->stream_peer_fd);
    t->stream_peer_fd = -1;
    if (!rc)
        rc = err_take(e, &t->op_error);
    while (!rc && t->stream_fd >= 0)
        rc = relay_stream(t, e);
    if (rc || t->stopping)
        return rc;
    if (!t->engine_done)
        return err_set(e, ERR_INTERNAL, EPROTO, "libxl is done, but the save helper never was");
    t->stream_ended = true;
    return message_send_empty(t->control, CONTROL_LIBXL_END, e);
}

/* --- the destination --- */

static int take_frame(
    struct transfer *t, enum control_type type, const void *body, size_t len, struct err *e)
{
    struct message_started started;
    int rc;

    switch (type) {
    case CONTROL_READY:
        if (!t->stream_ended || t->ready_ns)
            break;
        rc = message_parse_ready(body, len, &t->ready, e);
        if (!rc)
            t->ready_ns = now_ns();
        return rc;
    case CONTROL_STARTED:
        if (!t->given)
            break;
        rc = message_parse_started(body, len, &started, e);
        if (!rc)
            t->started_ns = now_ns();
        return rc;
    case CONTROL_FAILED:
        t->peer_failed = true;
        message_parse_error(body, len, &t->peer_error);
        if (t->peer_error.side == SIDE_UNKNOWN)
            t->peer_error.side = SIDE_DESTINATION;
        return err_take(e, &t->peer_error);
    default:
        break;
    }
    return err_set(e, ERR_PEER, EPROTO, "%s: a %s came where none may come", t->control->ch->name,
        control_type_name((uint16_t)type));
}

static int read_mailbox(struct transfer *t, struct err *e)
{
    enum control_type type;
    const void *body;
    size_t len;

    for (;;) {
        int rc = mailbox_take(t->mailbox, &type, &body, &len, e);

        if (rc < 0)
            t->peer_lost = true;
        if (rc <= 0)
            return rc;
        rc = take_frame(t, type, body, len, e);
        if (rc)
            return rc;
    }
}

/* --- the loop --- */

static int64_t next_limit(const struct transfer *t)
{
    int64_t limit_ns = DEADLINE_NEVER;

    if (t->stopping)
        return limit_ns;
    limit_ns = t->ping_ns;
    if (!t->given)
        limit_ns = deadline_earlier(limit_ns, t->start_limit_ns);
    if (!t->engine_done)
        limit_ns = deadline_earlier(limit_ns, t->heard_ns + t->options->silent_ns);
    if (t->suspending_ns && !t->suspended_ns)
        limit_ns = deadline_earlier(limit_ns, t->suspending_ns + t->options->suspend_ns);
    return limit_ns;
}

int transfer_check_start_limit(const struct transfer *t, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (!deadline_passed(t->start_limit_ns))
        return 0;
    return err_set(e, ERR_PEER, ETIMEDOUT,
        "the guest was suspended for %s (--start-timeout) and is not started on %s yet",
        format_duration(t->options->start_ns, limit), t->options->address.host);
}

static int check_limits(struct transfer *t, struct err *e)
{
    const struct options *o = t->options;
    char limit[UNITS_TEXT_BYTES];

    if (t->stopping)
        return 0;
    /* Once it was given away, giving up gains nothing: the destination says what came of it. */
    if (!t->given && transfer_check_start_limit(t, e))
        return -e->code;
    if (!t->engine_done && deadline_passed(t->heard_ns + o->silent_ns))
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "the save helper hangs: nothing heard of it for %s",
            format_duration(o->silent_ns, limit));
    if (t->suspending_ns && !t->suspended_ns && deadline_passed(t->suspending_ns + o->suspend_ns)) {
        t->suspend_timed_out = true;
        return err_set(e, ERR_GUEST, ETIMEDOUT,
            "the guest did not suspend within %s (--suspend-timeout): is it alive, and can its "
            "kernel suspend (xenbus, PV drivers)?",
            format_duration(o->suspend_ns, limit));
    }
    if (!deadline_passed(t->ping_ns))
        return 0;
    t->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
    return message_send_empty(t->control, CONTROL_PING, e);
}

/* One turn: wait for anything until then, and deal with all that is there. */
static int turn(struct transfer *t, int64_t until_ns, struct err *e)
{
    const bool stoppable = !t->stopping && !t->given;
    enum { CANCEL, MAILBOX, LISTEN, LINK, STREAM, OPERATION, SOURCES };
    struct pollfd fds[SOURCES] = {
        [CANCEL] = {.fd = stoppable ? t->cancel->event_fd : -1, .events = POLLIN},
        [MAILBOX] = {.fd = t->peer_lost ? -1 : mailbox_event_fd(t->mailbox), .events = POLLIN},
        [LISTEN] = {.fd = t->stopping ? -1 : t->listen_fd, .events = POLLIN},
        [LINK] = {.fd = t->link_sock, .events = POLLIN},
        [STREAM] = {.fd = t->stream_fd, .events = POLLIN},
        [OPERATION] = {.fd = t->op ? xl_async_event_fd(t->op) : -1, .events = POLLIN},
    };
    int rc = 0;

    if (poll(fds, SOURCES, deadline_poll_ms(deadline_earlier(until_ns, next_limit(t)))) < 0)
        return errno == EINTR ? 0 : err_sys(e, ERR_INTERNAL, errno, "poll");
    /* The order is that of who knows best what went wrong. */
    if (fds[CANCEL].revents)
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    if (!rc && fds[MAILBOX].revents)
        rc = read_mailbox(t, e);
    if (!rc && fds[LINK].revents)
        rc = read_link(t, e);
    if (!rc && fds[LISTEN].revents)
        rc = accept_helper(t, e);
    if (!rc && fds[STREAM].revents)
        rc = relay_stream(t, e);
    if (!rc && fds[OPERATION].revents)
        rc = end_operation(t, e);
    return rc ? rc : check_limits(t, e);
}

int transfer_until_ready(struct transfer *t, struct err *e)
{
    int rc = 0;

    while (!rc && !t->ready_ns)
        rc = turn(t, DEADLINE_NEVER, e);
    return rc;
}

int transfer_until_started(struct transfer *t, struct err *e)
{
    int rc = 0;

    t->given = true;
    while (!rc && !t->started_ns)
        rc = turn(t, DEADLINE_NEVER, e);
    return rc;
}

/* --- stopping --- */

/* True when the operation is over. Errors have been told, or are a consequence of the stop. */
static bool wait_for_end(struct transfer *t, int64_t wait_ns)
{
    const int64_t deadline_ns = deadline_in(wait_ns);

    while (t->op && !deadline_passed(deadline_ns)) {
        struct err ignored = ERR_INIT;

        turn(t, deadline_ns, &ignored);
    }
    return !t->op;
}

static bool end_all(struct transfer *t, const struct err *why)
{
    struct err ignored = ERR_INIT;

    if (!t->op)
        return true;
    if (t->suspending_ns && !t->suspended_ns && t->link_sock >= 0) {
        /* Asked to suspend the guest, libxl answers in its own time, and a helper that ends before
         * that leaves it with nobody to answer to. */
        log_info(t->log, "waiting for libxl to take its request to suspend back (up to 2 minutes)");
        if (wait_for_end(t, SUSPEND_ANSWER_NS))
            return true;
    }
    if (t->link_sock >= 0 && !link_send_abort(t->link_sock, why, &ignored) &&
        wait_for_end(t, GENTLE_NS))
        return true;
    xl_async_abort(t->op);
    if (wait_for_end(t, FIRM_NS))
        return true;
    if (t->helper > 0) {
        log_warn(t->log, "the save helper (process %d) does not end: killed", (int)t->helper);
        kill(t->helper, SIGKILL);
    }
    return wait_for_end(t, LAST_NS);
}

/* The other end often sees only that a connection broke. */
static bool is_hearsay(const struct err *e)
{
    return e->class == ERR_PEER || e->class == ERR_CANCELLED;
}

static void choose_cause(const struct transfer *t, struct err *e)
{
    if (!is_hearsay(e) || cancel_is_fired(t->cancel))
        return;
    if (err_is_set(&t->helper_error) && !is_hearsay(&t->helper_error))
        *e = t->helper_error;
    else if (t->peer_failed)
        *e = t->peer_error;
}

bool transfer_stop(struct transfer *t, struct err *e)
{
    struct err ignored = ERR_INIT;

    t->stopping = true;
    put_cap_back(t);
    if (!t->given && !t->peer_lost && !t->peer_failed)
        message_send_error(t->control, CONTROL_ABORT, e, &ignored);

    const bool ended = end_all(t, e);
    const int64_t reason_ns = deadline_in(REASON_NS);

    while (is_hearsay(e) && !cancel_is_fired(t->cancel) && !t->peer_lost && !t->peer_failed &&
           !deadline_passed(reason_ns))
        turn(t, reason_ns, &ignored);
    choose_cause(t, e);
    return ended;
}
