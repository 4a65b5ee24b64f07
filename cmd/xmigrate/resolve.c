/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/resolve.h"

#include "base/deadline.h"
#include "cmd/handoff/machine.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/session/messages.h"
#include "crypto/peer.h"

#include <errno.h>
#include <stdio.h>

/* How often to ask while a process there still has the guest in hand. */
#define ASK_EVERY_NS       (500 * NS_PER_MS)
#define DEFAULT_CONNECT_NS (10 * NS_PER_S)

struct resolve {
    const struct log *log;
    const char *config_dir;
    int64_t connect_ns, silent_ns;

    /* Of the guest at hand. */
    struct tls_context *tls; /* NULL: --insecure */
    struct control control;
    struct mailbox *box; /* NULL: not open */
};

static void hang_up(struct resolve *r)
{
    if (r->box) {
        mailbox_stop(r->box);
        control_close(&r->control);
        r->box = NULL;
    }
    tls_close(r->tls);
    r->tls = NULL;
}

static int call(struct resolve *r, const struct journal_record *s, struct err *e)
{
    struct tcp_address a = {.port = (uint16_t)s->port};
    struct peer_params p = {
        .rights = TRUST_RECEIVE | TRUST_STATUS,
        .lane = LANE_CONTROL,
        /* That another host is trusted, too, does not make its word that of the right one. */
        .expected_fingerprint = s->peer_key[0] ? s->peer_key : NULL,
        .stall_ns = r->silent_ns,
        .deadline_ns = deadline_in(r->connect_ns),
    };
    struct tls_peer peer;
    struct channel *ch;
    int rc = s->insecure ? 0 : tls_open(&r->tls, r->config_dir, e);

    snprintf(a.host, sizeof(a.host), "%s", s->host);
    p.tls = r->tls;
    if (!rc)
        rc = peer_connect_patiently(&a, &p, &ch, &peer, e);
    if (rc)
        return rc;
    control_init(&r->control, ch);
    rc = mailbox_start(&r->box, &r->control, r->silent_ns, e);
    if (rc)
        control_close(&r->control);
    return rc;
}

static int expect(struct resolve *r, enum control_type wanted, const void **body, size_t *len_bytes,
    struct err *e)
{
    enum control_type type;
    const int rc = mailbox_wait(r->box, &type, body, len_bytes, NULL, deadline_in(r->silent_ns), e);

    if (rc < 0)
        return rc;
    if (type == wanted)
        return 0;
    if (type != CONTROL_REFUSE && type != CONTROL_FAILED)
        return err_set(e, ERR_PEER, EPROTO, "%s: a %s came instead of %s", r->control.ch->name,
            control_type_name((uint16_t)type), control_type_name((uint16_t)wanted));
    message_parse_error(*body, *len_bytes, e);
    return -e->code;
}

static int converse(
    struct resolve *r, const struct journal_record *s, struct message_answer *answer, struct err *e)
{
    struct message_ask ask;
    struct message_hello hello;
    const void *body;
    size_t len_bytes;
    int rc = message_send_hello(&r->control, e);

    snprintf(ask.session, sizeof(ask.session), "%s", s->session);
    snprintf(ask.uuid, sizeof(ask.uuid), "%s", s->uuid);
    snprintf(ask.journal, sizeof(ask.journal), "%s", s->peer_journal);
    if (!rc)
        rc = expect(r, CONTROL_HELLO, &body, &len_bytes, e);
    if (!rc)
        rc = message_parse_hello(body, len_bytes, &hello, e);
    if (!rc)
        rc = message_send_ask(&r->control, &ask, e);
    if (!rc)
        rc = expect(r, CONTROL_ANSWER, &body, &len_bytes, e);
    return rc ? rc : message_parse_answer(body, len_bytes, answer, e);
}

/* Until the other end has made up its mind, or for as long as a peer may be silent. */
static int ask_until_settled(
    struct resolve *r, const struct journal_record *s, struct message_answer *answer, struct err *e)
{
    const int64_t deadline_ns = deadline_in(r->silent_ns);

    for (;;) {
        int rc = call(r, s, e);

        if (!rc)
            rc = converse(r, s, answer, e);
        if (rc || answer->answer != ANSWER_IN_DOUBT || deadline_passed(deadline_ns))
            return rc;
        hang_up(r);
        sleep_until_ns(deadline_in(ASK_EVERY_NS));
    }
}

static enum handoff_event ask(void *arg, const struct journal_record *s)
{
    struct resolve *r = arg;
    struct message_answer answer;
    struct err e = ERR_INIT;

    hang_up(r);
    if (ask_until_settled(r, s, &answer, &e)) {
        log_error(r->log, "\"%s\": %s could not be asked: %s", s->name, s->peer, e.text);
        return HANDOFF_NO_ANSWER;
    }
    switch (answer.answer) {
    case ANSWER_STARTED:
        log_info(r->log, "\"%s\" was started on %s", s->name, s->peer);
        return HANDOFF_STARTED_CAME;
    case ANSWER_ENDED:
        log_info(r->log, "\"%s\" ran on %s, or may have, and is no more", s->name, s->peer);
        return HANDOFF_STARTED_CAME;
    case ANSWER_MOVED_ON:
        log_info(r->log, "\"%s\" ran on %s and moved on to %s", s->name, s->peer, answer.moved_to);
        return HANDOFF_STARTED_CAME;
    case ANSWER_GONE:
        log_info(r->log, "\"%s\" never ran on %s and never will", s->name, s->peer);
        return HANDOFF_FAILED_CAME;
    case ANSWER_IN_DOUBT:
        log_error(r->log, "\"%s\": a process on %s still has it in hand", s->name, s->peer);
        break;
    default:
        log_error(r->log, "\"%s\": %s knows nothing of this migration", s->name, s->peer);
        break;
    }
    return HANDOFF_NO_ANSWER;
}

static void heard(void *arg)
{
    struct resolve *r = arg;
    struct channel *ch = r->control.ch;
    struct err e = ERR_INIT;

    if (message_send_empty(&r->control, CONTROL_HEARD, &e) || ch->ops->finish(ch, &e))
        log_debug(r->log, "%s", e.text);
}

static int resolve(struct resolve *r, const char *dom)
{
    const struct recover_peer peer = {ask, heard, r};
    const int code = recover_given(&peer, dom, r->log);

    hang_up(r);
    return code;
}

int resolve_main(const struct options *o, const struct log *log)
{
    struct resolve r = {
        .log = log,
        .config_dir = o->config_dir,
        .connect_ns = o->connect_ns,
        .silent_ns = o->silent_ns,
    };

    return resolve(&r, o->domain);
}

int resolve_at_start(const struct listen_options *o, const struct log *log)
{
    struct resolve r = {
        .log = log,
        .config_dir = o->config_dir,
        .connect_ns = DEFAULT_CONNECT_NS,
        .silent_ns = o->silent_ns,
    };

    return resolve(&r, NULL);
}
