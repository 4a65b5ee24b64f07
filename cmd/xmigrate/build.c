/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/build.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "cmd/xmigrate/announce.h"
#include "cmd/event_fields.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/session/stream_end.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* For a libxl that has destroyed its domain to end. The guest still runs. */
#define LIBXL_REASON_NS (2 * NS_PER_S)

/* --- libxl's stream --- */

static int write_records(struct build *b, const void *data, size_t len_bytes, struct err *e)
{
    const int rc = io_write_full(
        b->op.stream_fd, data, len_bytes, b->in->cancel, deadline_in(b->in->o->silent_ns));

    /* EPIPE: libxl has given up, and its operation says why. */
    if (!rc || rc == -EPIPE)
        return 0;
    return err_set(e, ERR_LOCAL, -rc, "handing libxl its records: %s", io_strerror(rc));
}

/* Its records come between the helper's part and END. */
static bool has_model(const struct build *b)
{
    return b->admission->config.c_info.type == LIBXL_DOMAIN_TYPE_HVM;
}

static void close_stream(struct build *b)
{
    if (b->op.stream_fd >= 0)
        shutdown(b->op.stream_fd, SHUT_WR);
}

/* Our engine has everything, and RESULT was sent: libxl need not wait until the source's helper has
 * cleaned up, and its libxl has noticed. */
static int end_stream(struct build *b, struct err *e)
{
    if (b->op.stream_fd < 0)
        return 0; /* it is being stopped */

    const int rc = write_records(b, stream_end_record, sizeof(stream_end_record), e);

    close_stream(b);
    return rc;
}

/* --- the helper --- */

/* libxl gives the domain its name before it starts the helper. */
static int find_domain(struct build *b, struct err *e)
{
    const char *name = b->admission->name;
    struct xl_domain d;
    int rc = xl_by_name(b->xl, name, &d, e);

    if (rc == -ESRCH)
        rc = err_set(e, ERR_LOCAL, ESRCH, "libxl made no domain named \"%s\"", name);
    if (!rc)
        rc = domain_lock_take(&b->lock, d.domid, e);
    if (rc)
        return rc;
    b->domid = b->journal->now.domid = d.domid;
    b->journal->now.helper = b->op.helper;
    return journal_save(b->journal, e);
}

/* From here on Xen keeps what the guest needs. */
static int claim_memory(struct build *b, struct err *e)
{
    const int rc = xen_open(&b->xen, &b->in->log, e);

    return rc ? rc : newcomer_claim(b->newcomer, &b->xen, b->domid, e);
}

static int give_job(void *arg, struct link_job *job, int *lock_fd, struct err *e)
{
    struct build *b = arg;
    int rc = find_domain(b, e);

    if (!rc)
        rc = claim_memory(b, e);
    *job = b->job;
    job->domid = b->domid;
    *lock_fd = b->lock.fd;
    return rc;
}

static int build_early(struct build *b, struct err *e)
{
    const bool early = has_model(b) && !b->stopping;
    const int rc = early ? early_model_begin(&b->model, b->domid, e) : 0;

    if (early && !rc && b->op.async)
        xl_async_hide(b->op.async, b->model.fifo_fd);
    return rc ? rc : end_stream(b, e);
}

static int hear_helper(void *arg, const struct link_message *m, struct err *e)
{
    struct build *b = arg;
    struct dest_result result = {0};

    if (m->kind == LINK_BUILD)
        return build_early(b, e);
    if (m->kind == LINK_EVENT) {
        admin_note(b->admin, m->body);
        event_write(b->events, m->body);
    }
    if (m->kind != LINK_DONE)
        return 0;
    if (!fields_read(dest_result_fields, m->body, &result))
        return err_set(e, ERR_INTERNAL, EPROTO, "the save helper's totals make no sense");
    b->helper_done_ns = now_ns();
    b->engine_finish_ns = result.arrival.finish_ns;
    return has_model(b) || b->op.built ? 0 : end_stream(b, e);
}

/* --- the source --- */

static int pass_on(struct build *b, const uint8_t *data, size_t len_bytes, struct err *e)
{
    if (!has_model(b))
        return err_set(
            e, ERR_PEER, EPROTO, "%s sent more of libxl's stream than its head", b->in->who);
    return b->op.built ? early_model_take(&b->model, data, len_bytes, e)
                       : write_records(b, data, len_bytes, e);
}

/* The first of them libxl has already. */
static int take_records(struct build *b, const uint8_t *data, size_t len_bytes, struct err *e)
{
    if (!stream_head_complete(&b->head)) {
        const size_t used = stream_head_take(&b->head, data, len_bytes);

        data += used;
        len_bytes -= used;
        if (!stream_head_complete(&b->head))
            return 0;
        b->stream_limit_ns = DEADLINE_NEVER;
        if (stream_head_check(&b->head, e))
            return -e->code;
    }
    return len_bytes ? pass_on(b, data, len_bytes, e) : 0;
}

static int take_end(struct build *b, struct err *e)
{
    b->stream_ended = true;
    if (b->op.built)
        return early_model_take_end(&b->model, e);
    close_stream(b);
    return 0;
}

static int take_frame(
    struct build *b, enum control_type type, const void *body, size_t len_bytes, struct err *e)
{
    switch (type) {
    case CONTROL_LIBXL_DATA:
        if (b->stream_ended)
            break;
        return take_records(b, body, len_bytes, e);
    case CONTROL_LIBXL_END:
        if (!has_model(b) || b->stream_ended)
            break;
        return take_end(b, e);
    case CONTROL_SUSPENDED:
        operation_hurry(&b->op);
        return 0;
    case CONTROL_ABORT:
        message_parse_error(body, len_bytes, e);
        return -e->code;
    default:
        break;
    }
    return err_set(e, ERR_PEER, EPROTO, "%s sent %s while the domain was being built", b->in->who,
        control_type_name(type));
}

/* libxl's own stream, and the source's change of mind. Asked at every turn, and before the first
 * wait: the mailbox reads on only when the frame that was taken last is given back. */
static int hear_source(struct build *b, struct err *e)
{
    enum control_type type;
    const void *body;
    size_t len_bytes;
    int rc;

    while ((rc = mailbox_take(b->in->box, &type, &body, &len_bytes, e)) == 1) {
        rc = take_frame(b, type, body, len_bytes, e);
        if (rc)
            return rc;
    }
    return rc;
}

/* --- the loop --- */

enum { CANCEL, MAILBOX, ROUTER, MODEL, OPERATION, SOURCES = OPERATION + OPERATION_FDS };

static int wait_for_work(struct build *b, struct pollfd fds[static SOURCES], int64_t until_ns)
{
    const int watched[MODEL] = {
        [CANCEL] = b->in->cancel->event_fd,
        [MAILBOX] = mailbox_event_fd(b->in->box),
        [ROUTER] = b->lanes.router_sock,
    };
    int64_t wake_ns = deadline_earlier(until_ns, b->in->ping_ns);

    for (int i = 0; i < MODEL; i++)
        fds[i] = (struct pollfd){.fd = b->stopping ? -1 : watched[i], .events = POLLIN};
    fds[MODEL] = b->stopping ? (struct pollfd){.fd = -1} : early_model_pollfd(&b->model);
    operation_pollfds(&b->op, fds + OPERATION);
    wake_ns = deadline_earlier(wake_ns, operation_limit_ns(&b->op));
    if (!b->stopping) {
        wake_ns = deadline_earlier(wake_ns, b->stream_limit_ns);
        wake_ns = deadline_earlier(wake_ns, early_model_wake_ns(&b->model));
    }
    return poll(fds, SOURCES, deadline_poll_ms(wake_ns)) < 0 && errno != EINTR ? -errno : 0;
}

static int serve_source(struct build *b, const struct pollfd fds[static SOURCES], struct err *e)
{
    int rc = 0;

    if (b->op.link_sock >= 0)
        rc = incoming_lanes_pass_on(&b->lanes, b->op.link_sock, e);
    if (!rc && fds[ROUTER].revents)
        rc = incoming_lanes_take(&b->lanes, b->op.link_sock, e);
    if (!rc)
        rc = hear_source(b, e);
    if (!rc && deadline_passed(b->stream_limit_ns))
        rc = err_set(
            e, ERR_PEER, ETIMEDOUT, "the source did not go on with libxl's stream in time");
    return rc;
}

/* Wait until something happens, or then, and deal with it. *over: libxl is through. */
static int turn(struct build *b, int64_t until_ns, bool *over, struct err *e)
{
    struct pollfd fds[SOURCES];
    int rc = wait_for_work(b, fds, until_ns);

    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "waiting while the domain is built");
    if (!b->stopping && cancel_is_fired(b->in->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "the receiving process was told to stop: %s",
            admin_why_stopped(b->admin));
    rc = operation_serve(&b->op, fds + OPERATION, e);
    if (!rc && !b->stopping)
        rc = early_model_serve(&b->model, &fds[MODEL], e);
    if (!rc && !b->stopping)
        rc = serve_source(b, fds, e);
    incoming_ping(b->in);
    *over = operation_is_over(fds + OPERATION);
    if (*over && (!rc || b->stopping))
        rc = operation_finish(&b->op, &b->domid, e);
    return rc;
}

static void turn_while_stopping(void *arg, int64_t until_ns)
{
    struct err ignored = ERR_INIT;
    bool over;

    turn(arg, until_ns, &over, &ignored);
}

/* --- for its owner --- */

static const struct operation_owner owner = {give_job, hear_helper, turn_while_stopping, NULL};

int build_prepare(struct build *b, struct err *e)
{
    operation_init(&b->op, &owner, b);
    early_model_init(&b->model);
    b->op.log = &b->in->log;
    b->op.silent_ns = b->in->o->silent_ns;
    return operation_prepare(&b->op, e);
}

/* What the pause would wait for otherwise. */
static void get_ready(struct build *b)
{
    struct err why = ERR_INIT;

    if (b->in->o->announce)
        announce_prepare(b->domid, &b->admission->config, &b->announce_fd, &why);
    if (err_is_set(&why))
        log_debug(&b->in->log, "%s", why.text);
}

/* All that libxl builds early is there, and the guest still runs. */
static int tell_prepared(struct build *b, struct err *e)
{
    get_ready(b);
    log_info(&b->in->log, "ready for %s, which still runs on %s", b->in->offer.name, b->in->who);
    return message_send_empty(&b->in->control, CONTROL_PREPARED, e);
}

/* What READY says: the engine has everything, libxl is through, and so is a device model that
 * waited for its state. */
static bool is_complete(const struct build *b)
{
    const bool loaded = !has_model(b) || !b->op.built || b->model.phase == EARLY_MODEL_LOADED;

    return b->op.done && !b->op.async && loaded;
}

/* A libxl that fails while it builds early destroys the domain, and all that is seen of that is
 * that its frames are gone, or its device model: libxl's own reason is the cause then. */
static bool may_be_its_failure(const struct build *b)
{
    const bool engine = b->op.failed && b->op.helper_error.class == ERR_LOCAL;

    return b->op.built && b->op.async && (engine || b->model.gone);
}

static void hear_libxl(struct build *b, struct err *e)
{
    const int64_t until_ns = deadline_in(LIBXL_REASON_NS);
    bool over = false;

    b->stopping = true;
    while (!over && !deadline_passed(until_ns)) {
        struct err why = ERR_INIT;

        turn(b, until_ns, &over, &why);
        if (over && err_is_set(&why))
            *e = why;
    }
}

/* At once, while the source's libxl begins. */
static int begin_restore(struct build *b, struct err *e)
{
    const int rc = operation_restore(&b->op, &b->admission->config, e);

    return rc ? rc : write_records(b, stream_head_bytes, sizeof(stream_head_bytes), e);
}

int build_until_done(struct build *b, struct err *e)
{
    b->stream_limit_ns = deadline_in(b->in->o->silent_ns);

    int rc = begin_restore(b, e);

    if (!rc)
        rc = hear_source(b, e);

    while (!rc && !is_complete(b)) {
        bool over = false;

        rc = turn(b, DEADLINE_NEVER, &over, e);
        if (over && !rc && b->op.built)
            rc = tell_prepared(b, e);
    }
    if (rc && may_be_its_failure(b))
        hear_libxl(b, e);
    return rc ? -e->code : 0;
}

int build_await_go(
    struct build *b, const void **body, size_t *len_bytes, int64_t deadline_ns, struct err *e)
{
    enum control_type type;
    int rc;

    for (;;) {
        rc = incoming_next(b->in, CONTROL_GO, &type, body, len_bytes, deadline_ns, e);
        if (rc || type == CONTROL_GO)
            break;
        rc = take_frame(b, type, *body, *len_bytes, e);
        if (rc)
            return rc;
    }
    if (!rc && !stream_head_complete(&b->head))
        rc = err_set(e, ERR_PEER, EPROTO, "%s sent GO before libxl's head", b->in->who);
    if (!rc && !b->stream_ended && has_model(b))
        rc = err_set(e, ERR_PEER, EPROTO, "%s sent GO before LIBXL_END", b->in->who);
    return rc;
}

bool build_stop(struct build *b, const struct err *why)
{
    b->stopping = true;
    operation_close_stream(&b->op);
    if (b->op.async)
        xl_async_hide(b->op.async, -1);
    early_model_clear(&b->model);
    return operation_stop(&b->op, why);
}

void build_clear(struct build *b)
{
    incoming_lanes_close(&b->lanes);
    early_model_clear(&b->model);
    operation_clear(&b->op);
    xen_close(&b->xen);
    if (b->announce_fd >= 0)
        close(b->announce_fd);
    domain_lock_release(&b->lock);
    explicit_bzero(&b->job, sizeof(b->job));
}
