/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/negotiate.h"

#include "base/deadline.h"
#include "cmd/xmigrate/expect.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/suitable.h"
#include "cmd/xmigrate/libxl/config.h"
#include "crypto/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_log_dirty(struct negotiation *a, struct err *e)
{
    int rc = 0;

    a->has_log_dirty = true;
    if (a->options->mode != MODE_OFFLINE)
        rc = suitable_log_dirty(&a->xl, &a->domain, &a->has_log_dirty, e);
    if (!rc && !a->has_log_dirty && !a->file)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "\"%s\" is a PV guest, and this Xen has no shadow paging to track its writes with: "
            "use --offline",
            a->domain.name);
    return rc;
}

/* Not only when it is needed, late in a long move. */
static int check_throttle(struct negotiation *a, struct err *e)
{
    unsigned cap;
    int rc;

    if (a->options->limits.on_stall != ON_STALL_THROTTLE)
        return 0;
    rc = xl_cap(&a->xl, a->domain.domid, &cap, e);
    if (rc)
        err_prepend(e, "--on-stall throttle");
    return rc;
}

static int find_domain(struct negotiation *a, struct err *e)
{
    libxl_domain_config config;
    int rc = xl_find(&a->xl, a->options->domain, &a->domain, e);

    if (!rc)
        rc = suitable_state(&a->domain, e);
    if (!rc)
        rc = xl_config_retrieve(&a->xl, a->domain.domid, &config, e);
    if (rc)
        return rc;
    a->domain.type = config.c_info.type; /* Xen itself does not tell PVH from HVM */
    a->why_late = a->options->mode == MODE_OFFLINE ? "the guest is suspended first"
                                                   : "the other host will not do it before";
    a->early = a->options->mode != MODE_OFFLINE && xl_config_builds_early(&config, &a->why_late);
    a->devices = xl_config_devices(&config);
    rc = xl_config_check_movable(&config, e);
    if (!rc)
        rc = xl_config_text(&a->xl, &config, &a->config, e);
    xl_config_dispose(&config);
    if (!rc)
        rc = check_log_dirty(a, e);
    if (!rc)
        rc = suitable_device_model(&a->domain, a->device_model, e);
    if (!rc)
        rc = suitable_suspend(&a->domain, e);
    return rc ? rc : check_throttle(a, e);
}

static int take_hold(struct negotiation *a, struct err *e)
{
    struct journal_record first = {.role = HANDOFF_SOURCE,
        .state = HANDOFF_LIVE,
        .cap = JOURNAL_NO_CAP,
        .domid = a->domain.domid,
        .supervisor = getpid()};
    int rc = domain_lock_take(&a->lock, a->domain.domid, e);

    if (rc)
        return rc;
    snprintf(first.uuid, sizeof(first.uuid), "%s", a->domain.uuid);
    snprintf(first.name, sizeof(first.name), "%s", a->domain.name);
    snprintf(first.peer, sizeof(first.peer), "%s", a->file ?: a->options->address.host);
    snprintf(first.file, sizeof(first.file), "%s", a->file ?: "");
    snprintf(first.host, sizeof(first.host), "%s", a->options->address.host);
    first.port = a->options->address.port;
    first.insecure = a->options->insecure;
    rc = journal_begin(&a->journal, &first, e);
    a->journal_begun = !rc;
    /* What is left of another guest that had this number. */
    if (!rc)
        domain_lock_note_asked(&a->lock, false);
    return rc;
}

/* As people know the other host: by the name that goes with its key, and where it was reached. */
static void name_peer(struct negotiation *a)
{
    const char *host = a->options->address.host, *name = a->peer.name;

    if (name[0] && strcmp(name, "-") && strcmp(name, host))
        snprintf(a->where, sizeof(a->where), "%s (%s)", name, host);
    else
        snprintf(a->where, sizeof(a->where), "%s", host);
}

static int send_offer(struct negotiation *a, struct err *e)
{
    struct message_offer offer = {.live = a->options->mode != MODE_OFFLINE,
        .early = a->early,
        .measure = a->options->mode == MODE_ESTIMATE,
        .lanes = a->options->lanes,
        .config = a->config};

    snprintf(offer.name, sizeof(offer.name), "%s", a->domain.name);
    snprintf(offer.uuid, sizeof(offer.uuid), "%s", a->domain.uuid);
    snprintf(offer.device_model, sizeof(offer.device_model), "%s", a->device_model);
    snprintf(offer.type, sizeof(offer.type), "%s", xl_type_name(a->domain.type));
    return message_send_offer(&a->control, &offer, e);
}

/* Nothing in it depends on what the other host says first, but for whether it is the right one,
 * which is known. */
static int speak_first(void *arg, struct channel *ch, struct err *e)
{
    struct negotiation *a = arg;
    int rc;

    control_init(&a->control, ch);
    rc = message_send_hello(&a->control, e);
    return rc ? rc : send_offer(a, e);
}

static int open_connection(struct negotiation *a, struct err *e)
{
    const struct options *o = a->options;
    const struct peer_params p = {
        .rights = TRUST_RECEIVE,
        .tls = a->tls,
        .lane = LANE_CONTROL,
        .cancel = &a->cancel,
        .stall_ns = o->silent_ns,
        .deadline_ns = deadline_in(o->connect_ns),
        .speak = speak_first,
        .speak_arg = a,
    };
    struct channel *ch;
    int rc = peer_connect_patiently(&o->address, &p, &ch, &a->peer, e);

    if (rc)
        return rc;
    /* From here on a signal must not cut the talk short: the other end is told why. */
    ch->cancel = NULL;
    a->connected = true;
    name_peer(a);
    return mailbox_start(&a->mailbox, &a->control, o->silent_ns, e);
}

void negotiate_read_reason(
    const struct negotiation *a, const void *body, size_t len_bytes, struct err *why)
{
    why->side = SIDE_DESTINATION;
    message_parse_error(body, len_bytes, why);
    err_prepend(why, "%s", a->where);
}

/* The answer to what was just said: of the wanted type, or the refusal as the error. */
static int await_answer(struct negotiation *a, enum control_type wanted, const void **body,
    size_t *len, int64_t wait_ns, struct err *e)
{
    enum control_type type;
    const int rc = mailbox_wait(a->mailbox, &type, body, len, &a->cancel, deadline_in(wait_ns), e);

    if (rc < 0)
        return rc;
    if (type == wanted)
        return 0;
    if (type == CONTROL_REFUSE || type == CONTROL_FAILED) {
        struct err why = ERR_INIT;

        negotiate_read_reason(a, *body, *len, &why);
        return err_take(e, &why);
    }
    return err_set(e, ERR_PEER, EPROTO, "%s: a %s came instead of %s", a->control.ch->name,
        control_type_name((uint16_t)type), control_type_name((uint16_t)wanted));
}

static int await_hello(struct negotiation *a, struct err *e)
{
    struct message_hello hello;
    const void *body;
    size_t len;
    const int rc = await_answer(a, CONTROL_HELLO, &body, &len, a->options->connect_ns, e);

    return rc ? rc : message_parse_hello(body, len, &hello, e);
}

/* It asks its own libxl and Xen before it answers. */
static int await_accept(struct negotiation *a, struct err *e)
{
    const unsigned lanes = a->options->lanes;
    const void *body;
    size_t len;
    int rc = await_answer(a, CONTROL_ACCEPT, &body, &len, a->options->silent_ns, e);

    if (!rc)
        rc = message_parse_accept(body, len, &a->accept, e);
    if (!rc && a->accept.lanes > lanes)
        rc = err_set(e, ERR_PEER, EPROTO, "%s: accepts %u lanes, %u were offered",
            a->control.ch->name, a->accept.lanes, lanes);
    if (!rc && a->accept.early && !a->early)
        rc = err_set(e, ERR_PEER, EPROTO, "%s: would build early what cannot be built early",
            a->control.ch->name);
    if (!rc && !a->accept.early)
        log_debug(&a->log, "libxl's work there lies in the pause: %s", a->why_late);
    return rc;
}

static struct expect_guest expected(const struct negotiation *a)
{
    return (struct expect_guest){
        .uuid = a->domain.uuid,
        .type = xl_type_name(a->domain.type),
        .vcpus = a->domain.vcpus,
        .devices = &a->devices,
        .peer = a->peer.fingerprint,
    };
}

int negotiate_begin(struct negotiation *a, struct err *e)
{
    int rc = xl_prepare_process(e);

    if (!rc)
        rc = cancel_init(&a->cancel, e);
    a->cancellable = !rc;
    return rc ? rc : signals_fire(&a->cancel, e);
}

int negotiate_hold(struct negotiation *a, struct err *e)
{
    int rc = a->file ? suitable_file(a->file, e) : 0;

    if (!rc)
        rc = xl_open(&a->xl, &a->log, deadline_in(XL_SHORT_NS), e);
    if (!rc)
        rc = find_domain(a, e);
    return rc ? rc : take_hold(a, e);
}

int negotiate_ask(struct negotiation *a, struct err *e)
{
    int rc = negotiate_hold(a, e);

    if (!rc && !a->options->insecure)
        rc = tls_open(&a->tls, a->options->config_dir, e);
    if (!rc)
        rc = open_connection(a, e);
    if (!rc)
        rc = await_hello(a, e);
    if (!rc)
        rc = await_accept(a, e);
    if (rc)
        return rc;

    const struct expect_guest guest = expected(a);

    a->costs = expect_pause(&guest, &a->accept.finish, tcp_least_round_trip_ns(a->control.ch->fd));
    return 0;
}

int negotiate_learn(
    const struct negotiation *a, int64_t suspend_ns, int64_t after_ns, struct err *e)
{
    const struct expect_guest guest = expected(a);

    return expect_learn_pause(&guest, &a->costs, suspend_ns, after_ns, e);
}

void negotiate_end(struct negotiation *a, const struct err *why)
{
    struct err ignored = ERR_INIT;

    if (a->mailbox)
        message_send_error(&a->control, CONTROL_ABORT, why, &ignored);
    if (a->journal_begun)
        journal_remove(&a->journal);
}

void negotiate_release(struct negotiation *a)
{
    mailbox_stop(a->mailbox);
    if (a->connected)
        control_close(&a->control);
    if (a->tls)
        tls_close(a->tls);
    domain_lock_release(&a->lock);
    if (a->xl.ctx)
        xl_close(&a->xl);
    free(a->config);
    explicit_bzero(&a->accept, sizeof(a->accept));
    /* Nothing is left to be stopped. */
    signals_reset();
    if (a->cancellable)
        cancel_destroy(&a->cancel);
}
