#include "cmd/xmigrate/receive_private.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/paths.h"
#include "cmd/xmigrate/session/acceptor.h"
#include "cmd/xmigrate/exit_codes.h"
#include "cmd/xmigrate/history.h"
#include "cmd/xmigrate/session/measured.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "cmd/xmigrate/signals.h"
#include "cmd/xmigrate/libxl/config.h"
#include "crypto/peer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* TLS, hello and offer: a peer that means it needs a moment. */
#define OPEN_LIMIT_NS (10 * NS_PER_S)
/* An aborted restore ends when its helper has; then the helper is killed. */
#define ABORT_LIMIT_NS (15 * NS_PER_S)
#define KILL_LIMIT_NS  (30 * NS_PER_S)
/* Before any domain arrived here: libxl's own work, and each device's hotplug script. */
#define FINISH_NS        (100 * NS_PER_MS)
#define FINISH_DEVICE_NS (300 * NS_PER_MS)

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void log_below(void *arg, enum log_level level, const char *line)
{
    const struct receive *r = arg;

    log_write(r->below, level, "%s%s", r->prefix, line);
}

/* --- the control connection --- */

static int open_control(struct receive *r, int fd, const struct preamble *preamble, struct err *e)
{
    struct peer_params params = {
        .lane = LANE_CONTROL,
        .stall_ns = r->o->silent_ns,
        .deadline_ns = deadline_in(OPEN_LIMIT_NS),
    };
    struct channel *ch;
    int rc = 0;

    if (!r->o->insecure)
        rc = tls_open(&r->tls, r->o->config_dir, e);
    if (rc) {
        close(fd);
        return rc;
    }
    params.tls = r->tls;
    rc = peer_accept(fd, preamble, &params, &ch, &r->peer, e);
    if (rc)
        return rc;
    control_init(&r->control, ch);
    rc = mailbox_start(&r->box, &r->control, r->o->silent_ns, e);
    if (rc)
        control_close(&r->control);
    return rc;
}

static void close_control(struct receive *r)
{
    if (!r->box)
        return;
    mailbox_stop(r->box);
    r->box = NULL;
    control_close(&r->control);
}

/* A peer that cannot be told is noticed where its answer is missed. */
static void ping_when_due(struct receive *r)
{
    struct err ignored = ERR_INIT;

    if (!deadline_passed(r->ping_ns))
        return;
    message_send_empty(&r->control, CONTROL_PING, &ignored);
    r->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
}

/* The next frame, which must be of that type. The source's ABORT is its reason. */
int receive_expect(struct receive *r, enum control_type wanted, const void **body,
    size_t *len_bytes, int64_t deadline_ns, struct err *e)
{
    enum control_type type;

    for (;;) {
        int rc = mailbox_take(r->box, &type, body, len_bytes, e);

        if (rc < 0)
            return rc;
        if (rc)
            break;
        ping_when_due(r);
        rc = io_wait(mailbox_event_fd(r->box), POLLIN, &r->cancel,
            deadline_earlier(deadline_ns, r->ping_ns));
        if (rc == -ECANCELED)
            return err_set(e, ERR_CANCELLED, ECANCELED, "this process was told to stop");
        if (deadline_passed(deadline_ns))
            return err_set(e, ERR_PEER, ETIMEDOUT, "%s did not send %s in time", r->who,
                control_type_name(wanted));
    }
    if (type == wanted)
        return 0;
    if (type == CONTROL_ABORT) {
        r->aborted = true;
        message_parse_error(*body, *len_bytes, e);
        return -e->code;
    }
    return err_set(e, ERR_PEER, EPROTO, "%s sent %s instead of %s", r->who, control_type_name(type),
        control_type_name(wanted));
}

static int hear_offer(struct receive *r, struct err *e)
{
    const int64_t deadline_ns = deadline_in(OPEN_LIMIT_NS);
    struct message_hello hello;
    const void *body;
    size_t len_bytes;
    int rc = message_send_hello(&r->control, e);

    if (!rc)
        rc = receive_expect(r, CONTROL_HELLO, &body, &len_bytes, deadline_ns, e);
    if (!rc)
        rc = message_parse_hello(body, len_bytes, &hello, e);
    if (!rc)
        rc = receive_expect(r, CONTROL_OFFER, &body, &len_bytes, deadline_ns, e);
    if (!rc)
        rc = message_parse_offer(body, len_bytes, &r->offer, e);
    if (rc)
        return rc;
    snprintf(r->prefix, sizeof(r->prefix), "%s: ", r->offer.name);
    snprintf(r->incoming, sizeof(r->incoming), "%s%s", r->offer.name, HANDOFF_INCOMING);
    return 0;
}

/* --- before anything is changed --- */

static int check_name(struct receive *r, const char *name, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_by_name(&r->xl, name, &d, &none);

    if (rc == -ESRCH)
        return 0;
    if (rc)
        return err_take(e, &none);
    /* Within one host the guest itself still has the name; it gives it up before GO. */
    if (!strcmp(d.uuid, r->offer.uuid) && journal_exists(HANDOFF_SOURCE, d.uuid))
        return 0;
    return err_set(e, ERR_REFUSED, EEXIST,
        "a domain named \"%s\" exists on the destination (domain %u): rename or remove it there "
        "first",
        name, d.domid);
}

static int check_config(struct receive *r, struct err *e)
{
    char uuid[XL_UUID_TEXT_BYTES];
    struct xl_host host;
    int rc = xl_config_parse(&r->xl, r->offer.config, strlen(r->offer.config), &r->config, e);

    if (rc)
        return rc;
    xl_uuid_text(&r->config.c_info.uuid, uuid);
    if (strcmp(uuid, r->offer.uuid) || strcmp(r->config.c_info.name, r->offer.name))
        return err_set(e, ERR_PEER, EBADMSG,
            "the offer and the configuration in it speak of different domains");
    rc = xl_config_check_movable(&r->config, e);
    if (!rc)
        rc = xl_host(&r->xl, &host, e);
    if (rc)
        return rc;

    const libxl_domain_type type = r->config.c_info.type;

    if (type == LIBXL_DOMAIN_TYPE_PV ? !host.pv : !host.hvm)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "the destination's Xen cannot run %s guests (xl info shows virt_caps)",
            xl_type_name(type));

    char *name = strdup(r->incoming);

    if (!name)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the configuration");
    free(r->config.c_info.name);
    r->config.c_info.name = name;
    r->config.c_info.domid = INVALID_DOMID;
    r->devices = xl_config_device_count(&r->config);
    return 0;
}

static int check_offer(struct receive *r, struct err *e)
{
    int rc = xl_open(&r->xl, &r->log, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        rc = check_config(r, e);
    if (!rc)
        rc = check_name(r, r->offer.name, e);
    if (!rc)
        rc = check_name(r, r->incoming, e);
    if (!rc)
        rc = xl_config_check_memory(&r->xl, &r->config, r->offer.name, e);
    return rc;
}

/* --- what the helper and libxl need --- */

static int begin_state(struct receive *r, struct err *e)
{
    struct journal_record s = {
        .role = HANDOFF_DESTINATION,
        .state = HANDOFF_COMING,
        .cap = JOURNAL_NO_CAP,
        .domid = JOURNAL_NO_DOMID,
        .supervisor = getpid(),
    };

    snprintf(s.uuid, sizeof(s.uuid), "%s", r->offer.uuid);
    snprintf(s.name, sizeof(s.name), "%s", r->offer.name);
    snprintf(s.peer, sizeof(s.peer), "%s", r->who);
    message_session_text(r->accept.session, s.session);
    snprintf(s.peer_key, sizeof(s.peer_key), "%s", r->peer.fingerprint);
    return journal_begin(&r->journal, &s, e);
}

/* libxl starts the helper from the environment, so this comes before the worker. */
static int open_link(struct receive *r, struct err *e)
{
    char dir[PATHS_BYTES], helper[PATHS_BYTES];
    int rc = open_run_dir(dir, e);

    if (!rc)
        rc = find_program("xmigrate-save-helper", helper, e);
    if (rc)
        return rc;
    snprintf(r->link_path, sizeof(r->link_path), "%s/link-%d", dir, (int)getpid());
    r->link_listen_fd = link_listen(r->link_path, e);
    if (r->link_listen_fd < 0)
        return r->link_listen_fd;
    if (setenv("LIBXL_SAVE_HELPER", helper, 1) || setenv(LINK_ENV, r->link_path, 1))
        return err_sys(e, ERR_LOCAL, errno, "cannot set the environment of the save helper");
    return 0;
}

static int make_secrets(struct receive *r, struct err *e)
{
    r->accept.lanes = r->offer.lanes < LINK_MAX_LANES ? r->offer.lanes : LINK_MAX_LANES;
    r->accept.finish_ns = history_estimate_ns(
        HISTORY_FINISH, r->devices, FINISH_NS + (int64_t)r->devices * FINISH_DEVICE_NS);
    if (getrandom(r->accept.session, sizeof(r->accept.session), 0) !=
            (ssize_t)sizeof(r->accept.session) ||
        getrandom(r->accept.key, sizeof(r->accept.key), 0) != (ssize_t)sizeof(r->accept.key))
        return err_sys(e, ERR_LOCAL, errno, "no random numbers for the session");
    return 0;
}

static int start_restore(struct receive *r, struct err *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair");
    r->stream_fd = pair[0];
    r->libxl_fd = pair[1];

    int rc = io_set_nonblocking(r->stream_fd, true);

    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "cannot prepare libxl's stream");
    return xl_async_restore(&r->op, &r->log, &r->config, r->libxl_fd, e);
}

static int prepare(struct receive *r, struct err *e)
{
    int rc = signals_fire(&r->cancel, e);

    if (!rc)
        rc = make_secrets(r, e);
    if (!rc)
        rc = begin_state(r, e);
    if (!rc)
        rc = open_link(r, e);
    if (!rc)
        rc = acceptor_register(r->acceptor_sock, r->accept.session, e);
    return rc;
}

/* --- while it is built --- */

static int greet_helper(struct receive *r, struct err *e)
{
    struct link_job job = {
        .role = LINK_DESTINATION,
        .lanes = r->accept.lanes,
        .insecure = r->o->insecure,
        .connect_ns = link_connect_ns(r->o->silent_ns),
        .silent_ns = r->o->silent_ns,
    };
    struct ucred cred;
    socklen_t len = sizeof(cred);
    struct xl_domain d;

    r->link_sock = link_accept(r->link_listen_fd, &r->cancel, deadline_in(OPEN_LIMIT_NS), e);
    if (r->link_sock < 0)
        return r->link_sock;
    close_fd(&r->link_listen_fd);
    if (!getsockopt(r->link_sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        r->helper = cred.pid;

    /* libxl gives the domain its name before it starts the helper. */
    int rc = xl_by_name(&r->xl, r->incoming, &d, e);

    if (rc == -ESRCH)
        rc = err_set(e, ERR_LOCAL, ESRCH, "libxl made no domain named \"%s\"", r->incoming);
    if (!rc)
        rc = domain_lock_take(&r->lock, d.domid, e);
    if (rc)
        return rc;
    r->domid = r->journal.now.domid = d.domid;
    r->journal.now.helper = r->helper;
    rc = journal_save(&r->journal, e);
    if (rc)
        return rc;
    job.domid = d.domid;
    memcpy(job.session, r->accept.session, sizeof(job.session));
    memcpy(job.key, r->accept.key, sizeof(job.key));
    snprintf(job.config_dir, sizeof(job.config_dir), "%s", r->o->config_dir);
    snprintf(job.fingerprint, sizeof(job.fingerprint), "%s", r->peer.fingerprint);
    rc = link_send_job(r->link_sock, &job, r->lock.fd, e);
    explicit_bzero(job.key, sizeof(job.key));
    r->helper_limit_ns = deadline_in(r->o->silent_ns);
    return rc;
}

/* Owns c->fd. */
static int pass_on(struct receive *r, const struct early *c, struct err *e)
{
    struct preamble p;
    int rc = preamble_decode(c->preamble, &p, e);

    if (!rc)
        rc = link_send_conn(r->link_sock, p.lane, c->preamble, c->fd, e);
    close(c->fd);
    return rc;
}

static int pass_early_on(struct receive *r, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < r->early_count; i++) {
        if (!rc)
            rc = pass_on(r, &r->early[i], e);
        else
            close(r->early[i].fd);
    }
    r->early_count = 0;
    return rc;
}

static int take_connection(struct receive *r, struct err *e)
{
    struct early c;
    const int rc = acceptor_next(r->acceptor_sock, c.preamble, &c.fd, now_ns(), e);

    if (rc == -ENODATA)
        close_fd(&r->acceptor_sock); /* no new connections; those there are go on */
    if (rc)
        return rc == -ENODATA || rc == -ETIMEDOUT ? 0 : rc;
    if (r->link_sock >= 0)
        return pass_on(r, &c, e);
    if (r->early_count == EARLY_MAX) {
        close(c.fd);
        return err_set(e, ERR_PEER, EPROTO, "%s opened more connections than agreed", r->who);
    }
    r->early[r->early_count++] = c;
    return 0;
}

static void note_done(struct receive *r, const json_t *total)
{
    const json_int_t finish_ns = json_integer_value(json_object_get(total, "finish_ns"));

    r->helper_done = true;
    r->helper_done_ns = now_ns();
    r->engine_finish_ns = finish_ns > 0 ? finish_ns : 0;
}

/* Whatever of the helper's messages is there. */
static int hear_helper(struct receive *r, struct err *e)
{
    while (r->link_sock >= 0) {
        struct link_message m;
        struct err here = ERR_INIT;
        int rc = link_recv(r->link_sock, &m, NULL, now_ns(), &here);

        if (rc == -ETIMEDOUT)
            return 0;
        if (rc == -ENODATA) {
            close_fd(&r->link_sock);
            r->helper = 0;
            return r->helper_done ? 0 : err_set(e, ERR_LOCAL, ECHILD, "the save helper died");
        }
        if (rc)
            return err_take(e, &here);
        r->helper_limit_ns = deadline_in(r->o->silent_ns);
        if (m.kind == LINK_DONE)
            note_done(r, m.body);
        else if (m.kind == LINK_FAILED)
            rc = err_take(e, &m.failed);
        link_message_clear(&m);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_records(struct receive *r, const void *data, size_t len_bytes, struct err *e)
{
    const int rc = io_write_full(
        r->stream_fd, data, len_bytes, &r->cancel, deadline_in(r->o->silent_ns));

    /* EPIPE: libxl has given up, and its operation says why. */
    if (!rc || rc == -EPIPE)
        return 0;
    return err_set(e, ERR_LOCAL, -rc, "handing libxl its records: %s", io_strerror(rc));
}

/* The first of them begin the restore. */
static int take_records(struct receive *r, const uint8_t *data, size_t len_bytes, struct err *e)
{
    if (!stream_head_complete(&r->head)) {
        const size_t used = stream_head_feed(&r->head, data, len_bytes);
        int rc = 0;

        data += used;
        len_bytes -= used;
        if (!stream_head_complete(&r->head))
            return 0;
        rc = stream_head_check(&r->head, e);
        if (!rc)
            rc = start_restore(r, e);
        if (!rc)
            rc = write_records(r, r->head.bytes, sizeof(r->head.bytes), e);
        if (rc)
            return rc;
    }
    return len_bytes ? write_records(r, data, len_bytes, e) : 0;
}

/* libxl's own stream, and the source's change of mind. Asked at every turn, and before the first
 * wait: the mailbox reads on only when the frame that was taken last is given back. */
static int hear_source(struct receive *r, struct err *e)
{
    enum control_type type;
    const void *body;
    size_t len_bytes;
    int rc;

    while ((rc = mailbox_take(r->box, &type, &body, &len_bytes, e)) == 1) {
        switch (type) {
        case CONTROL_LIBXL_DATA:
            rc = take_records(r, body, len_bytes, e);
            if (rc)
                return rc;
            break;
        case CONTROL_LIBXL_END:
            r->stream_ended = true;
            if (r->stream_fd >= 0)
                shutdown(r->stream_fd, SHUT_WR);
            break;
        case CONTROL_ABORT:
            message_parse_error(body, len_bytes, e);
            return -e->code;
        default:
            return err_set(e, ERR_PEER, EPROTO, "%s sent %s while the domain was being built",
                r->who, control_type_name(type));
        }
    }
    return rc;
}

enum { BUILD_CANCEL, BUILD_BOX, BUILD_ACCEPTOR, BUILD_LINK, BUILD_OP, BUILD_FDS };

static int wait_for_work(struct receive *r, struct pollfd fds[static BUILD_FDS])
{
    const int watched[BUILD_FDS] = {
        [BUILD_CANCEL] = r->cancel.event_fd,
        [BUILD_BOX] = mailbox_event_fd(r->box),
        [BUILD_ACCEPTOR] = r->acceptor_sock,
        [BUILD_LINK] = r->link_sock >= 0 ? r->link_sock : r->link_listen_fd,
        [BUILD_OP] = r->op ? xl_async_event_fd(r->op) : -1,
    };

    for (int i = 0; i < BUILD_FDS; i++)
        fds[i] = (struct pollfd){.fd = watched[i], .events = POLLIN};

    const int64_t wake_ns = deadline_earlier(r->ping_ns, r->helper_limit_ns);

    return poll(fds, BUILD_FDS, deadline_poll_ms(wake_ns)) < 0 && errno != EINTR ? -errno : 0;
}

static int build_step(struct receive *r, const struct pollfd fds[static BUILD_FDS], struct err *e)
{
    int rc = 0;

    if (cancel_is_fired(&r->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "the receiving process was told to stop");
    if (r->link_sock >= 0) {
        rc = hear_helper(r, e);
    } else if (fds[BUILD_LINK].revents && r->link_listen_fd >= 0) {
        rc = greet_helper(r, e);
        if (!rc)
            rc = pass_early_on(r, e);
    }
    if (!rc && fds[BUILD_ACCEPTOR].revents)
        rc = take_connection(r, e);
    if (!rc)
        rc = hear_source(r, e);
    if (!rc && !r->helper_done && deadline_passed(r->helper_limit_ns))
        rc = err_set(e, r->op ? ERR_LOCAL : ERR_PEER, ETIMEDOUT,
            r->helper ? "the save helper hangs: it said nothing for too long"
            : r->op   ? "libxl did not start the save helper in time"
                      : "the source sent nothing of libxl's stream in time");
    ping_when_due(r);
    return rc;
}

static int finish_restore(struct receive *r, struct err *e)
{
    struct xl_async *op = r->op;
    int rc;

    r->op = NULL;
    rc = xl_async_finish(op, &r->domid, e);
    close_fd(&r->libxl_fd);
    if (!rc && !r->helper_done)
        return err_set(e, ERR_LOCAL, EPROTO,
            "libxl built the domain without xmigrate's save helper (LIBXL_SAVE_HELPER)");
    return rc;
}

/* Until libxl's operation is over and was well. */
static int build(struct receive *r, struct err *e)
{
    int rc = message_send_accept(&r->control, &r->accept, e);

    if (!rc)
        rc = hear_source(r, e);
    r->helper_limit_ns = deadline_in(r->o->silent_ns);
    while (!rc) {
        struct pollfd fds[BUILD_FDS];

        rc = wait_for_work(r, fds);
        if (rc) {
            err_sys(e, ERR_LOCAL, -rc, "waiting while the domain is built");
            break;
        }
        rc = build_step(r, fds, e);
        if (!rc && fds[BUILD_OP].revents) {
            rc = hear_helper(r, e); /* what it said last comes before what libxl says of it */
            if (!rc)
                rc = finish_restore(r, e);
            break;
        }
    }
    return rc;
}

/* --- when it fails --- */

/* True once libxl's operation is over, its last words taken. */
static bool wait_for_op(struct receive *r, int64_t deadline_ns, struct err *e)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = xl_async_event_fd(r->op), .events = POLLIN},
            {.fd = r->link_sock, .events = POLLIN},
        };

        ping_when_due(r);
        poll(fds, 2, deadline_poll_ms(deadline_earlier(deadline_ns, r->ping_ns)));
        hear_helper(r, e);
        if (fds[0].revents)
            return true;
        if (deadline_passed(deadline_ns))
            return false;
    }
}

bool receive_abort_restore(struct receive *r, struct err *e)
{
    struct err ignored = ERR_INIT;
    bool over;

    if (!r->op)
        return true;
    if (r->link_sock >= 0)
        link_send_abort(r->link_sock, e, &ignored);
    close_fd(&r->link_listen_fd); /* a helper that comes now finds nobody and ends */
    close_fd(&r->stream_fd);
    xl_async_abort(r->op);
    over = wait_for_op(r, deadline_in(ABORT_LIMIT_NS), e);
    if (!over && r->helper) {
        log_warn(&r->log, "the save helper (process %d) does not end: killing it", (int)r->helper);
        kill(r->helper, SIGKILL);
        over = wait_for_op(r, deadline_in(KILL_LIMIT_NS), e);
    }
    if (!over)
        return false;
    xl_async_finish(r->op, NULL, e);
    r->op = NULL;
    close_fd(&r->libxl_fd);
    return true;
}

bool receive_await_heard(struct receive *r)
{
    const int64_t deadline_ns = deadline_in(r->o->silent_ns);
    struct err end = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len_bytes;
    int rc;

    while ((rc = mailbox_take(r->box, &type, &body, &len_bytes, &end)) >= 0) {
        if (rc && type == CONTROL_HEARD)
            return true;
        if (rc)
            continue;
        ping_when_due(r);
        io_wait(mailbox_event_fd(r->box), POLLIN, NULL, deadline_earlier(deadline_ns, r->ping_ns));
        if (deadline_passed(deadline_ns))
            break;
    }
    return false;
}

bool receive_tell_failure(struct receive *r, enum control_type type, struct err *why)
{
    struct err ignored = ERR_INIT;

    if (why->side == SIDE_UNKNOWN)
        why->side = SIDE_DESTINATION;
    if (!message_send_error(&r->control, type, why, &ignored))
        return receive_await_heard(r);
    log_debug(&r->log, "%s cannot be told: %s", r->who, ignored.text);
    return false;
}

/* --- the story --- */

static int receive_domain(struct receive *r, struct err *e)
{
    int rc = prepare(r, e);

    if (rc) {
        log_error(&r->log, "refused %s: %s", r->who, e->text);
        journal_remove(&r->journal);
        receive_tell_failure(r, CONTROL_REFUSE, e);
        return EXIT_REFUSED;
    }
    log_info(&r->log, "coming from %s", r->who);
    if (build(r, e))
        return receive_give_up(r, e);

    const int64_t ready_took_ns = now_ns() - r->helper_done_ns;

    if (receive_await_go(r, e))
        return receive_give_up(r, e);
    return receive_hand_over(r, ready_took_ns);
}

/* --- only to be measured --- */

static int answer_measurement(struct receive *r, struct err *e)
{
    const struct measured_params p = {
        .acceptor_sock = r->acceptor_sock,
        .tls = r->tls,
        .fingerprint = r->peer.fingerprint,
        .accept = &r->accept,
        .cancel = &r->cancel,
        .log = &r->log,
        .silent_ns = r->o->silent_ns,
    };
    int rc = signals_fire(&r->cancel, e);

    if (!rc)
        rc = make_secrets(r, e);
    if (!rc)
        rc = acceptor_register(r->acceptor_sock, r->accept.session, e);
    if (!rc)
        rc = message_send_accept(&r->control, &r->accept, e);
    if (!rc)
        rc = measured_lanes(&p, e);
    if (rc) {
        log_error(&r->log, "%s, for an estimate: %s", r->who, e->text);
        receive_tell_failure(r, CONTROL_FAILED, e);
        return EXIT_FAILED;
    }
    log_info(&r->log, "%s measured the way here, for an estimate", r->who);
    receive_await_heard(r);
    return EXIT_DONE;
}

/* --- which of them --- */

static int serve(struct receive *r, int fd, const struct preamble *preamble, struct err *e)
{
    int rc = open_control(r, fd, preamble, e);

    if (rc) {
        log_error(&r->log, "%s", e->text);
        return EXIT_REFUSED;
    }
    if (r->peer.name[0]) {
        const size_t len = strlen(r->who);

        snprintf(r->who + len, sizeof(r->who) - len, " (%s)", r->peer.name);
    }
    rc = hear_offer(r, e);
    if (!rc)
        rc = check_offer(r, e);
    if (rc) {
        log_error(&r->log, "refused %s: %s", r->who, e->text);
        receive_tell_failure(r, CONTROL_REFUSE, e);
        return EXIT_REFUSED;
    }
    return r->offer.measure ? answer_measurement(r, e) : receive_domain(r, e);
}

static void clean_up(struct receive *r)
{
    close_control(r);
    for (unsigned i = 0; i < r->early_count; i++)
        close(r->early[i].fd);
    close_fd(&r->stream_fd);
    close_fd(&r->link_sock);
    close_fd(&r->link_listen_fd);
    close_fd(&r->acceptor_sock);
    if (r->link_path[0])
        unlink(r->link_path);
    domain_lock_release(&r->lock);
    journal_keep(&r->journal);
    message_offer_clear(&r->offer);
    libxl_domain_config_dispose(&r->config);
    if (r->xl.ctx)
        xl_close(&r->xl);
    tls_close(r->tls);
    explicit_bzero(&r->accept, sizeof(r->accept));
}

int receive_main(const struct listen_options *o, const struct log *log, int fd,
    const struct preamble *preamble, int acceptor_sock)
{
    struct receive *r = calloc(1, sizeof(*r));
    struct err e = ERR_INIT;

    if (!r)
        return EXIT_FAILED;
    *r = (struct receive){
        .o = o,
        .log = {.max = log->max, .write = log_below, .arg = r},
        .below = log,
        .acceptor_sock = acceptor_sock,
        .journal = {.lock_fd = -1},
        .state = HANDOFF_COMING,
        .lock = {.fd = -1},
        .link_listen_fd = -1,
        .link_sock = -1,
        .stream_fd = -1,
        .libxl_fd = -1,
        .ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S),
    };
    libxl_domain_config_init(&r->config);
    tcp_tune(fd, o->silent_ns);
    tcp_describe_peer(fd, r->who, sizeof(r->who));
    if (cancel_init(&r->cancel, &e)) {
        log_error(log, "%s", e.text);
        return EXIT_FAILED;
    }

    const int code = serve(r, fd, preamble, &e);

    /* A restore that would not end still uses what would be cleaned up. */
    if (r->op)
        return code;
    clean_up(r);
    if (code != EXIT_DONE || r->offer.measure)
        return code;
    e = (struct err)ERR_INIT;
    monitor_become(r->domid, r->offer.uuid, &e);
    log_error(log, "%s", e.text);
    return EXIT_FAILED;
}
