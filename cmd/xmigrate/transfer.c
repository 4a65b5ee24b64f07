/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/transfer.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/xmigrate/throttle.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long a destination that failed has to say why, when all we know is that it went away: it
 * destroys its copy first. Less when the guest may stand still meanwhile. */
#define REASON_NS         (5 * NS_PER_S)
#define REASON_HURRIED_NS NS_PER_S
/* libxl, when the helper is through. */
#define END_NS (30 * NS_PER_S)
/* Most pauses are over by then, and need nobody at the destination to hear of them. */
#define TELL_SUSPENDED_NS (200 * NS_PER_MS)
/* For libxl, to end an operation whose helper was killed while the guest stands still. */
#define KILLED_NS (3 * NS_PER_S)

/* --- what the helper says --- */

/* Only --recover wants to know, and only if all goes wrong: no reason to fail. The first of these
 * brings the record to the disk, which then needs few writes in the pause. */
static void note_logging(struct transfer *t)
{
    struct err e = ERR_INIT;

    t->journal->now.logging = true;
    if (journal_save(t->journal, &e))
        log_warn(t->log, "%s", e.text);
}

/* When the power goes the guest goes with it, so this is not for the disk. */
static void note_suspending(struct transfer *t)
{
    struct err e = ERR_INIT;

    t->journal->now.suspending = true;
    if (journal_note(t->journal, &e))
        log_warn(t->log, "%s", e.text);
}

static struct throttle throttle_of(const struct transfer *t)
{
    return (struct throttle){t->xl, t->journal, t->log, t->events};
}

static void lower_cap(struct transfer *t, unsigned percent)
{
    const struct throttle cap = throttle_of(t);

    if (!t->stopping && !t->suspending_ns)
        throttle_lower(&cap, percent);
}

static void put_cap_back(struct transfer *t)
{
    const struct throttle cap = throttle_of(t);

    throttle_end(&cap);
}

/* The guest stands still: from now on limits are shorter. */
static void hurry(struct transfer *t)
{
    t->hurried = true;
    t->start_limit_ns = t->suspended_ns + t->start_ns;
    t->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
    operation_hurry(&t->op);
    /* Without a device model libxl is through as soon as its helper is gone. */
    if (!t->whole_stream)
        t->op.patience.killed_ns = deadline_earlier(t->op.patience.killed_ns, KILLED_NS);
    t->tell_suspended_ns = t->suspended_ns + TELL_SUSPENDED_NS;
}

static void show_event(struct transfer *t, json_t *body)
{
    const char *name = event_name(body);

    if (!strcmp(name, "round") && json_is_true(json_object_get(body, "last")))
        t->all_sent(t->arg);
    event_write(t->events, body);
    view_event(t->view, body);
    admin_note(t->admin, body);
    pace_note(&t->pace, body);
    if (!strcmp(name, "suspending")) {
        t->suspending_ns = now_ns();
        /* It should not take longer to suspend than it has to. */
        put_cap_back(t);
        note_suspending(t);
        log_debug(t->log, "asking the guest to suspend");
    } else if (!strcmp(name, "suspended")) {
        t->suspended_ns = now_ns();
        if (t->options->mode == MODE_LIVE)
            hurry(t);
        log_debug(t->log, "the guest is suspended");
    }
}

static int take_total(struct transfer *t, const json_t *total, struct err *e)
{
    if (!event_read_total(total, &t->total))
        return err_set(e, ERR_INTERNAL, EPROTO, "the save helper's totals make no sense");
    t->lanes = json_incref(json_object_get(total, "lanes"));
    /* Suspended first and copied then, the whole copy lies in the pause: only the rest is limited.
     */
    if (t->options->mode == MODE_OFFLINE)
        t->start_limit_ns = now_ns() + t->start_ns;
    return 0;
}

/* The guest may be suspended as soon as no other one from here stands still. */
static void await_turn(struct transfer *t)
{
    t->try_turn_ns = now_ns();
    t->turn_limit_ns = deadline_in(TURN_PAUSE_LIMIT_NS);
}

/* A helper that dies now is seen at the next turn. */
static void let_suspend(struct transfer *t)
{
    struct err ignored = ERR_INIT;

    t->try_turn_ns = 0;
    if (t->op.link_sock >= 0)
        link_send_may_suspend(t->op.link_sock, &ignored);
}

static void try_turn(struct transfer *t)
{
    struct err e = ERR_INIT;

    if (!t->try_turn_ns || t->stopping || !deadline_passed(t->try_turn_ns))
        return;

    const int rc = t->takes_turns ? turn_try_pause(&t->pause_turn, &e) : 1;

    if (rc < 0)
        log_debug(t->log, "%s", e.text);
    if (!rc && !deadline_passed(t->turn_limit_ns))
        t->try_turn_ns = deadline_in(TURN_PAUSE_AGAIN_NS);
    else
        let_suspend(t);
}

static int give_job(void *arg, struct link_job *job, int *lock_fd, struct err *e)
{
    const struct transfer *t = arg;

    (void)e;
    *job = t->job;
    *lock_fd = t->lock_fd;
    return 0;
}

static int begin_hooks(struct transfer *t, struct err *e)
{
    if (t->beside || t->stopping)
        return 0;
    if (t->has_hooks)
        return hooks_begin(&t->beside, t->hooks, e);
    await_turn(t);
    return 0;
}

static int hear_helper(void *arg, const struct link_message *m, struct err *e)
{
    struct transfer *t = arg;

    switch (m->kind) {
    case LINK_EVENT:
        show_event(t, m->body);
        return 0;
    case LINK_CAP:
        lower_cap(t, m->cap_percent);
        return 0;
    case LINK_BEFORE_SUSPEND:
        return begin_hooks(t, e);
    case LINK_LOGGING:
        note_logging(t);
        return 0;
    default:
        return take_total(t, m->body, e);
    }
}

/* They are through; or are killed, when the move is stopped. */
static int end_hooks(struct transfer *t, struct err *e)
{
    struct hooks_beside *b = t->beside;

    t->beside = NULL;
    return hooks_end(b, e);
}

/* What is sent is bounded, until nothing is sent any more. */
static void keep_pace(struct transfer *t)
{
    const bool first = t->pause_turn.fd >= 0 || (t->takes_turns && t->suspending_ns);

    if (t->stopping || t->op.done)
        pace_end(&t->pace);
    else
        pace_look(&t->pace, first, t->suspended_ns ? 0 : t->suspending_ns, t->op.link_sock);
}

/* --- libxl --- */

/* The destination knows how the stream of a guest without a device model ends, and waits for no
 * more than its head. */
static int relay_bytes(struct transfer *t, const uint8_t *data, size_t len_bytes, struct err *e)
{
    size_t part_bytes = len_bytes;
    int rc = 0;

    if (!t->whole_stream)
        part_bytes = stream_head_take(&t->head, data, len_bytes);
    if (part_bytes && !t->peer_lost && !t->peer_failed)
        rc = control_send(t->control, CONTROL_LIBXL_DATA, data, part_bytes, e);
    if (!rc && part_bytes < len_bytes)
        rc = stream_end_feed(&t->end_bytes, data + part_bytes, len_bytes - part_bytes, e);
    return rc;
}

/* Everything that is there; not more than once around when libxl keeps it full. */
static int relay_stream(struct transfer *t, struct err *e)
{
    uint8_t buf[TRANSFER_STREAM_BYTES];
    const ssize_t n = read(t->op.stream_fd, buf, sizeof(buf));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : err_sys(e, ERR_LOCAL, errno, "reading libxl's stream");
    if (n == 0) {
        operation_close_stream(&t->op);
        return 0;
    }
    if (t->stopping)
        return 0;
    return relay_bytes(t, buf, (size_t)n, e);
}

static int end_operation(struct transfer *t, struct err *e)
{
    int rc = operation_finish(&t->op, NULL, e);

    while (!rc && t->op.stream_fd >= 0)
        rc = relay_stream(t, e);
    if (rc || t->stopping)
        return rc;
    t->stream_ended = true;
    return t->whole_stream ? message_send_empty(t->control, CONTROL_LIBXL_END, e)
                           : stream_end_check(t->end_bytes, e);
}

/* It is only about our copy, which is as good as gone. */
static int end_operation_late(struct transfer *t)
{
    struct err e = ERR_INIT;

    if (end_operation(t, &e))
        log_warn(t->log, "%s", e.text);
    return 0;
}

/* The engine has ended well, so it will not resume the guest; and so has libxl, if there is a
 * device model whose state it saves. */
static bool is_through(const struct transfer *t)
{
    return t->op.done && (!t->whole_stream || t->stream_ended);
}

/* --- the destination --- */

static int take_frame(
    struct transfer *t, enum control_type type, const void *body, size_t len, struct err *e)
{
    struct message_started started;
    struct err ignored = ERR_INIT;
    int rc;

    switch (type) {
    case CONTROL_PREPARED:
        if (!t->job.early || t->prepared || t->op.link_sock < 0)
            break;
        t->prepared = true;
        log_debug(t->log, "the destination is prepared");
        /* A helper that dies now is seen at the next turn. */
        link_send_prepared(t->op.link_sock, &ignored);
        return 0;
    case CONTROL_READY:
        /* Whenever it comes: that the guest is whole there is what our engine was told. */
        if (t->ready_ns)
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
        t->taken_save_ns = rc ? 0 : started.save_ns;
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

/* Of the destination, while the guest stands still. */
static int64_t silence_limit_ns(const struct transfer *t)
{
    const int64_t heard_ns = mailbox_heard_ns(t->mailbox);
    const int64_t since_ns = heard_ns > t->suspended_ns ? heard_ns : t->suspended_ns;

    return t->hurried && !t->given ? since_ns + t->op.patience.hurried_ns : DEADLINE_NEVER;
}

static int64_t next_limit(const struct transfer *t)
{
    int64_t limit_ns = operation_limit_ns(&t->op);

    if (t->stopping)
        return limit_ns;
    limit_ns = deadline_earlier(limit_ns, deadline_earlier(t->ping_ns, t->pace.budget.look_ns));
    if (t->try_turn_ns)
        limit_ns = deadline_earlier(limit_ns, t->try_turn_ns);
    if (!t->suspending_ns)
        limit_ns = deadline_earlier(limit_ns, t->pause_turn.unused_ns);
    if (!t->given)
        limit_ns = deadline_earlier(limit_ns, t->start_limit_ns);
    if (!t->ready_ns)
        limit_ns = deadline_earlier(limit_ns, t->tell_suspended_ns);
    limit_ns = deadline_earlier(limit_ns, silence_limit_ns(t));
    if (t->suspending_ns && !t->suspended_ns)
        limit_ns = deadline_earlier(limit_ns, t->suspending_ns + t->options->suspend_ns);
    return limit_ns;
}

static int check_start_limit(const struct transfer *t, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (!deadline_passed(t->start_limit_ns))
        return 0;
    return err_set(e, ERR_PEER, ETIMEDOUT,
        "the guest was suspended for %s (--start-timeout) and is not started on %s yet",
        format_duration(t->start_ns, limit), t->options->address.host);
}

int transfer_may_give(struct transfer *t, struct err *e)
{
    const int rc = read_mailbox(t, e);

    return rc ? rc : check_start_limit(t, e);
}

static int tell_suspended(struct transfer *t, struct err *e)
{
    if (t->ready_ns || !deadline_passed(t->tell_suspended_ns))
        return 0;
    t->tell_suspended_ns = DEADLINE_NEVER;
    return message_send_empty(t->control, CONTROL_SUSPENDED, e);
}

static int send_ping(struct transfer *t, struct err *e)
{
    if (!deadline_passed(t->ping_ns))
        return 0;
    t->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
    return message_send_empty(t->control, CONTROL_PING, e);
}

static int check_limits(struct transfer *t, struct err *e)
{
    const struct options *o = t->options;
    char limit[UNITS_TEXT_BYTES];

    if (t->stopping)
        return 0;
    /* Once it was given away, giving up gains nothing: the destination says what came of it. */
    if (!t->given && check_start_limit(t, e))
        return -e->code;
    if (t->suspending_ns && !t->suspended_ns && deadline_passed(t->suspending_ns + o->suspend_ns))
        return operation_unsuspended(o->suspend_ns, e);
    if (deadline_passed(silence_limit_ns(t)))
        return err_set(e, ERR_PEER, ETIMEDOUT,
            "%s says nothing for %s while the guest is suspended", t->options->address.host,
            format_duration(t->op.patience.hurried_ns, limit));
    return tell_suspended(t, e) ? -e->code : send_ping(t, e);
}

/* Wait until something happens, or then, and deal with it. */
static int turn(struct transfer *t, int64_t until_ns, struct err *e)
{
    const bool stoppable = !t->stopping && !t->given;
    enum {
        CANCEL,
        MAILBOX,
        STREAM,
        OPERATOR,
        HOOKS,
        OPERATION,
        SOURCES = OPERATION + OPERATION_FDS
    };
    struct pollfd fds[SOURCES] = {
        [CANCEL] = {.fd = stoppable ? t->cancel->event_fd : -1, .events = POLLIN},
        [MAILBOX] = {.fd = t->peer_lost ? -1 : mailbox_event_fd(t->mailbox), .events = POLLIN},
        [STREAM] = {.fd = t->op.stream_fd, .events = POLLIN},
        [OPERATOR] = {.fd = admin_fd(t->admin), .events = POLLIN},
        [HOOKS] = {.fd = hooks_fd(t->beside), .events = POLLIN},
    };
    int rc = 0;

    operation_pollfds(&t->op, fds + OPERATION);
    if (poll(fds, SOURCES, deadline_poll_ms(deadline_earlier(until_ns, next_limit(t)))) < 0)
        return errno == EINTR ? 0 : err_sys(e, ERR_INTERNAL, errno, "poll");
    /* The order is that of who knows best what went wrong. */
    if (fds[CANCEL].revents)
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "%s", admin_why_stopped(t->admin));
    if (fds[OPERATOR].revents)
        pace_tune(&t->pace, t->op.link_sock);
    if (!rc && fds[MAILBOX].revents)
        rc = read_mailbox(t, e);
    if (!rc && fds[HOOKS].revents)
        rc = end_hooks(t, e);
    if (!rc && fds[HOOKS].revents)
        await_turn(t);
    if (!rc)
        rc = operation_serve(&t->op, fds + OPERATION, e);
    if (!rc && fds[STREAM].revents)
        rc = relay_stream(t, e);
    if (!rc && operation_is_over(fds + OPERATION))
        rc = t->given ? end_operation_late(t) : end_operation(t, e);
    if (!rc)
        try_turn(t);
    if (!t->suspending_ns)
        turn_end_unused(&t->pause_turn);
    keep_pace(t);
    return rc ? rc : check_limits(t, e);
}

static void turn_while_stopping(void *arg, int64_t until_ns)
{
    struct err ignored = ERR_INIT;

    turn(arg, until_ns, &ignored);
}

/* --- for its owner --- */

static const struct operation_owner owner = {give_job, hear_helper, turn_while_stopping, NULL};

int transfer_prepare(struct transfer *t, struct err *e)
{
    operation_init(&t->op, &owner, t);
    return operation_prepare(&t->op, e);
}

void transfer_clear(struct transfer *t)
{
    struct err ignored = ERR_INIT;

    end_hooks(t, &ignored);
    turn_end(&t->pause_turn);
    pace_end(&t->pace);
    operation_clear(&t->op);
    json_decref(t->lanes);
    t->lanes = NULL;
    explicit_bzero(t->job.key, sizeof(t->job.key));
}

int transfer_start(struct transfer *t, struct err *e)
{
    const int rc = pace_begin(&t->pace, &t->job, t->admin, e);

    t->op.log = t->log;
    t->op.silent_ns = t->options->silent_ns;
    t->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
    t->start_limit_ns = t->tell_suspended_ns = DEADLINE_NEVER;
    return rc ? rc : operation_suspend(&t->op, t->domid, t->options->mode == MODE_LIVE, e);
}

int transfer_until_ready(struct transfer *t, struct err *e)
{
    int rc = 0;

    while (!rc && !(t->ready_ns && is_through(t)))
        rc = turn(t, DEADLINE_NEVER, e);
    return rc;
}

int transfer_until_started(struct transfer *t, struct err *e)
{
    int rc = 0;

    t->given = true;
    while (!rc && !t->started_ns)
        rc = turn(t, DEADLINE_NEVER, e);
    if (!rc)
        turn_end(&t->pause_turn);
    return rc;
}

int transfer_end(struct transfer *t, struct err *e)
{
    const int64_t deadline_ns = deadline_in(END_NS);
    struct err ignored = ERR_INIT;

    operation_dismiss(&t->op);
    while (t->op.async && !deadline_passed(deadline_ns))
        turn(t, deadline_ns, &ignored);
    return t->op.async ? err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl does not end its operation") : 0;
}

/* --- stopping --- */

/* All that is known is that a connection broke, or that somebody gave up. */
static bool is_vague(const struct err *e)
{
    return e->class == ERR_PEER || e->class == ERR_CANCELLED;
}

/* What the destination's engine told ours may be the consequence of what its supervisor says in
 * FAILED. */
static bool is_hearsay(const struct err *e)
{
    return is_vague(e) || e->side == SIDE_DESTINATION;
}

static void choose_cause(const struct transfer *t, struct err *e)
{
    const struct err *ours = &t->op.helper_error;

    if (!is_hearsay(e) || cancel_is_fired(t->cancel))
        return;
    if (err_is_set(ours) && !is_hearsay(ours))
        *e = *ours;
    else if (t->peer_failed)
        *e = t->peer_error;
    else if (err_is_set(ours) && !is_vague(ours))
        *e = *ours;
}

bool transfer_stop(struct transfer *t, struct err *e)
{
    struct err ignored = ERR_INIT;

    t->stopping = true;
    end_hooks(t, &ignored);
    put_cap_back(t);
    if (!t->given && !t->peer_lost && !t->peer_failed)
        message_send_error(t->control, CONTROL_ABORT, e, &ignored);

    const bool ended = operation_stop(&t->op, e);
    const bool hurried = t->suspending_ns || t->suspended_ns;
    const int64_t reason_ns = deadline_in(hurried ? REASON_HURRIED_NS : REASON_NS);

    while (is_hearsay(e) && !cancel_is_fired(t->cancel) && !t->peer_lost && !t->peer_failed &&
           !deadline_passed(reason_ns))
        turn(t, reason_ns, &ignored);
    choose_cause(t, e);
    return ended;
}
