/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/incoming.h"

#include "base/deadline.h"
#include "base/io.h"
#include "crypto/recheck.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Hello and offer: a peer that means it needs a moment. */
#define OPEN_LIMIT_NS (10 * NS_PER_S)

static void log_below(void *arg, enum log_level level, const char *line)
{
    const struct incoming *in = arg;

    log_write(in->below, level, "%s%s", in->prefix, line);
}

void incoming_init(struct incoming *in, const struct listen_options *o, const struct log *log,
    const struct cancel *cancel)
{
    *in = (struct incoming){
        .o = o,
        .cancel = cancel,
        .below = log,
        .log = {.max = log->max, .write = log_below, .arg = in},
        .ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S),
    };
}

static void name_peer(struct incoming *in)
{
    const size_t len = strlen(in->who);

    if (in->peer.name[0])
        snprintf(in->who + len, sizeof(in->who) - len, " (%s)", in->peer.name);
}

int incoming_open(struct incoming *in, int fd, const struct caller *caller, struct err *e)
{
    char name[CHANNEL_NAME_BYTES];
    struct channel *ch;
    int rc;

    in->peer = caller->peer;
    in->handshake_ns = caller->handshake_ns;
    snprintf(in->who, sizeof(in->who), "%s", caller->from);
    snprintf(name, sizeof(name), "control from %s", caller->from);
    rc = tcp_channel(fd, name, NULL, in->o->silent_ns, &ch, e);
    if (rc)
        return rc;
    control_init(&in->control, ch);
    rc = mailbox_start(&in->box, &in->control, in->o->silent_ns, e);
    if (rc) {
        control_close(&in->control);
        return rc;
    }
    if (!in->o->insecure)
        rc = peer_recheck(in->o->config_dir, &in->peer, e);
    name_peer(in);
    return rc;
}

/* A peer that cannot be told is noticed where its answer is missed. */
void incoming_ping(struct incoming *in)
{
    struct err ignored = ERR_INIT;

    if (!deadline_passed(in->ping_ns))
        return;
    message_send_empty(&in->control, CONTROL_PING, &ignored);
    in->ping_ns = deadline_in(MESSAGE_PING_S * NS_PER_S);
}

int incoming_next(struct incoming *in, enum control_type wanted, enum control_type *type,
    const void **body, size_t *len_bytes, int64_t deadline_ns, struct err *e)
{
    for (;;) {
        int rc = mailbox_take(in->box, type, body, len_bytes, e);

        if (rc < 0)
            return rc;
        if (rc)
            break;
        incoming_ping(in);
        rc = io_wait(mailbox_event_fd(in->box), POLLIN, in->cancel,
            deadline_earlier(deadline_ns, in->ping_ns));
        if (rc == -ECANCELED)
            return err_set(e, ERR_CANCELLED, ECANCELED, "this process was told to stop");
        if (deadline_passed(deadline_ns))
            return err_set(e, ERR_PEER, ETIMEDOUT, "%s did not send %s in time", in->who,
                control_type_name(wanted));
    }
    if (*type != CONTROL_ABORT)
        return 0;
    message_parse_error(*body, *len_bytes, e);
    return -e->code;
}

int incoming_idle(struct incoming *in, int64_t until_ns, struct err *e)
{
    enum control_type type;
    const void *body;
    size_t len_bytes;
    struct err late = ERR_INIT;
    const int rc = incoming_next(in, CONTROL_ABORT, &type, &body, &len_bytes, until_ns, &late);

    if (rc == -ETIMEDOUT && deadline_passed(until_ns))
        return 0;
    return rc ? err_take(e, &late)
              : err_set(e, ERR_PEER, EPROTO, "%s sent %s while it had to wait", in->who,
                    control_type_name(type));
}

static int refuse_frame(
    const struct incoming *in, enum control_type type, enum control_type wanted, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "%s sent %s instead of %s", in->who,
        control_type_name(type), control_type_name(wanted));
}

int incoming_expect(struct incoming *in, enum control_type wanted, const void **body,
    size_t *len_bytes, int64_t deadline_ns, struct err *e)
{
    enum control_type type;
    const int rc = incoming_next(in, wanted, &type, body, len_bytes, deadline_ns, e);

    return rc || type == wanted ? rc : refuse_frame(in, type, wanted, e);
}

/* It was let in for something; is it this? */
static bool may_send(const struct incoming *in, struct err *e)
{
    char rights[TRUST_RIGHTS_BYTES];

    if (in->o->insecure || (in->peer.rights & TRUST_SEND))
        return true;
    err_set(e, ERR_REFUSED, EACCES,
        "the destination trusts this host, but not to send guests; to change that, run there: "
        "xmigrate --trust %s %s %s",
        in->peer.fingerprint, in->peer.name,
        trust_rights_text(in->peer.rights | TRUST_SEND, rights));
    return false;
}

static int hear_what_it_wants(struct incoming *in, int64_t deadline_ns, struct err *e)
{
    enum control_type type;
    const void *body;
    size_t len_bytes;
    const int rc = incoming_next(in, CONTROL_OFFER, &type, &body, &len_bytes, deadline_ns, e);

    if (rc)
        return rc;
    in->wants = type == CONTROL_ASK    ? WANTS_ANSWER
                : type == CONTROL_LIST ? WANTS_LISTING
                                       : WANTS_TO_SEND;
    if (in->wants == WANTS_LISTING)
        return 0;
    if (in->wants == WANTS_ANSWER)
        return message_parse_ask(body, len_bytes, &in->ask, e);
    if (type != CONTROL_OFFER)
        return refuse_frame(in, type, CONTROL_OFFER, e);
    return may_send(in, e) ? message_parse_offer(body, len_bytes, &in->offer, e) : -e->code;
}

int incoming_hear_offer(struct incoming *in, struct err *e)
{
    const int64_t deadline_ns = deadline_in(OPEN_LIMIT_NS);
    struct message_hello hello;
    const void *body;
    size_t len_bytes;
    int rc = message_send_hello(&in->control, e);

    if (!rc)
        rc = incoming_expect(in, CONTROL_HELLO, &body, &len_bytes, deadline_ns, e);
    if (!rc)
        rc = message_parse_hello(body, len_bytes, &hello, e);
    if (!rc)
        rc = hear_what_it_wants(in, deadline_ns, e);
    if (!rc && in->wants == WANTS_TO_SEND)
        snprintf(in->prefix, sizeof(in->prefix), "%s: ", in->offer.name);
    return rc;
}

bool incoming_await_heard(struct incoming *in)
{
    const int64_t deadline_ns = deadline_in(in->o->silent_ns);
    struct err end = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len_bytes;
    int rc;

    while (!deadline_passed(deadline_ns) &&
           (rc = mailbox_take(in->box, &type, &body, &len_bytes, &end)) >= 0) {
        if (rc && type == CONTROL_HEARD)
            return true;
        if (rc)
            continue;
        incoming_ping(in);
        io_wait(
            mailbox_event_fd(in->box), POLLIN, NULL, deadline_earlier(deadline_ns, in->ping_ns));
    }
    return false;
}

bool incoming_tell_failure(struct incoming *in, enum control_type type, struct err *why)
{
    struct err ignored = ERR_INIT;

    if (why->side == SIDE_UNKNOWN)
        why->side = SIDE_DESTINATION;
    if (!message_send_error(&in->control, type, why, &ignored))
        return incoming_await_heard(in);
    log_debug(&in->log, "%s cannot be told: %s", in->who, ignored.text);
    return false;
}

void incoming_close(struct incoming *in)
{
    if (in->box) {
        mailbox_stop(in->box);
        in->box = NULL;
        control_close(&in->control);
    }
    message_offer_clear(&in->offer);
}
