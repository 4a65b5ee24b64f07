/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/resolve.h"

#include "base/deadline.h"
#include "cmd/handoff/machine.h"
#include "cmd/xmigrate/call.h"
#include "cmd/xmigrate/handoff/recover.h"

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
    struct call call;
};

static int call(struct resolve *r, const struct journal_record *s, struct err *e)
{
    struct call_params p = {
        .address.port = (uint16_t)s->port,
        .insecure = s->insecure,
        .config_dir = r->config_dir,
        /* That another host is trusted, too, does not make its word that of the right one. */
        .expected_key = s->peer_key[0] ? s->peer_key : NULL,
        .connect_ns = r->connect_ns,
        .silent_ns = r->silent_ns,
    };

    snprintf(p.address.host, sizeof(p.address.host), "%s", s->host);
    return call_begin(&r->call, &p, e);
}

static int converse(
    struct resolve *r, const struct journal_record *s, struct message_answer *answer, struct err *e)
{
    struct message_ask ask;
    const void *body;
    size_t len_bytes;
    int rc;

    snprintf(ask.session, sizeof(ask.session), "%s", s->session);
    snprintf(ask.uuid, sizeof(ask.uuid), "%s", s->uuid);
    snprintf(ask.journal, sizeof(ask.journal), "%s", s->peer_journal);
    rc = message_send_ask(&r->call.control, &ask, e);
    if (!rc)
        rc = call_expect(&r->call, CONTROL_ANSWER, &body, &len_bytes, e);
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
        call_end(&r->call);
        sleep_until_ns(deadline_in(ASK_EVERY_NS));
    }
}

static enum handoff_event ask(void *arg, const struct journal_record *s)
{
    struct resolve *r = arg;
    struct message_answer answer;
    struct err e = ERR_INIT;

    call_end(&r->call);
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
    struct channel *ch = r->call.control.ch;
    struct err e = ERR_INIT;

    if (message_send_empty(&r->call.control, CONTROL_HEARD, &e) || ch->ops->finish(ch, &e))
        log_debug(r->log, "%s", e.text);
}

static int resolve(struct resolve *r, const char *dom)
{
    const struct recover_peer peer = {ask, heard, r};
    const int code = recover_given(&peer, dom, r->log);

    call_end(&r->call);
    return code;
}

static struct resolve as_asked(const struct options *o, const struct log *log)
{
    return (struct resolve){
        .log = log,
        .config_dir = o->config_dir,
        .connect_ns = o->connect_ns,
        .silent_ns = o->silent_ns,
    };
}

int resolve_main(const struct options *o, const struct log *log)
{
    return resolve_one(o, o->domain, log);
}

int resolve_one(const struct options *o, const char *dom, const struct log *log)
{
    struct resolve r = as_asked(o, log);

    return resolve(&r, dom);
}

bool resolve_has_started(
    const struct options *o, const struct journal_record *s, const struct log *log)
{
    struct resolve r = as_asked(o, log);
    const bool started = ask(&r, s) == HANDOFF_STARTED_CAME;

    call_end(&r.call);
    return started;
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
