/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/negotiate.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/xmigrate/expect.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/suitable.h"
#include "cmd/xmigrate/libxl/config.h"
#include "crypto/config.h"
#include "crypto/peer.h"
#include "engine/xen/cpu_features.h"

#include <errno.h>
#include <poll.h>
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

static int check_resume(struct negotiation *a, const char *kernel, struct err *e)
{
    const int rc = resumable_find(
        &a->domain, kernel, a->options, &a->log, &a->cancel, &a->resumable, e);

    return rc || a->file ? rc : resumable_check_cancel(&a->domain, &a->resumable, e);
}

/* --config: in the place of the guest's own, which is disposed of. */
static int replace_config(struct negotiation *a, libxl_domain_config *config, struct err *e)
{
    const char *file = a->options->config_file;
    libxl_domain_config other;
    struct err why = ERR_INIT;
    struct stat st;
    size_t len_bytes;
    char *text;
    int rc = config_read(file, &text, &len_bytes, &st, e);

    if (rc)
        return err_is_set(e) ? rc : err_sys(e, ERR_REFUSED, ENOENT, "--config %s", file);
    rc = xl_config_parse(&a->xl, text, len_bytes, &other, &why);
    free(text);
    if (rc)
        return err_set(e, ERR_REFUSED, EINVAL, "--config %s: %s", file, why.text);
    rc = xl_config_adopt(&other, config, &why);
    if (rc) {
        xl_config_dispose(&other);
        return err_set(e, ERR_REFUSED, EINVAL, "--config %s: %s", file, why.text);
    }
    xl_config_dispose(config);
    *config = other;
    return xl_config_check_movable(config, e);
}

/* What the other host is to build. */
static int describe_domain(struct negotiation *a, libxl_domain_config *config, struct err *e)
{
    int rc = a->options->config_file ? replace_config(a, config, e) : 0;

    if (rc)
        return rc;
    a->why_late = a->options->mode == MODE_OFFLINE ? "the guest is suspended first"
                                                   : "the other host will not do it before";
    a->early = a->options->mode != MODE_OFFLINE &&
               xl_config_builds_early(config, a->options->early_disks, &a->log, &a->why_late) &&
               suitable_for_early_model(&a->domain, &a->log, &a->why_late);
    a->devices = xl_config_devices(config);
    if (a->options->name)
        rc = xl_config_rename(config, a->options->name, e);
    return rc ? rc : xl_config_text(&a->xl, config, &a->config, e);
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
    rc = xl_config_check_movable(&config, e);
    if (!rc)
        rc = check_log_dirty(a, e);
    if (!rc)
        rc = suitable_device_model(&a->domain, a->device_model, e);
    if (!rc)
        rc = check_resume(a, config.b_info.kernel, e);
    if (!rc)
        rc = describe_domain(a, &config, e);
    xl_config_dispose(&config);
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

_Static_assert((int)CPU_FEATURES_TEXT_BYTES <= (int)MESSAGE_CPU_BYTES, "a guest's features fit");

/* The features that the guest was told of; without them the rest is worth its answer, too. */
static void describe_cpu(struct negotiation *a, char cpu[static MESSAGE_CPU_BYTES])
{
    struct xen x = {0};
    struct cpu_features f;
    struct err e = ERR_INIT;
    int rc = xen_open(&x, &a->log, &e);

    if (!rc)
        rc = cpu_features_of_domain(&x, a->domain.domid, &f, &e);
    if (rc)
        log_debug(&a->log, "%s", e.text);
    else
        cpu_features_format(&f, cpu);
    xen_close(&x);
}

static int send_offer(struct negotiation *a, struct err *e)
{
    struct message_offer offer = {.live = a->options->mode != MODE_OFFLINE,
        .early = a->early,
        .measure = a->options->mode == MODE_ESTIMATE,
        .lanes = a->options->lanes,
        .paused = a->options->paused,
        .domid = a->options->preserve_domid ? a->domain.domid : 0,
        .config = a->config};

    if (offer.measure)
        describe_cpu(a, offer.cpu);
    snprintf(offer.name, sizeof(offer.name), "%s", a->options->name ?: a->domain.name);
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

/* Of the wanted type, or the refusal as the error. */
static int judge_answer(const struct negotiation *a, enum control_type type,
    enum control_type wanted, const void *body, size_t len, struct err *e)
{
    if (type == wanted)
        return 0;
    if (type == CONTROL_REFUSE || type == CONTROL_FAILED) {
        struct err why = ERR_INIT;

        negotiate_read_reason(a, body, len, &why);
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
    enum control_type type;
    int rc = mailbox_wait(
        a->mailbox, &type, &body, &len, &a->cancel, deadline_in(a->options->connect_ns), e);

    rc = rc < 0 ? rc : judge_answer(a, type, CONTROL_HELLO, body, len, e);
    return rc ? rc : message_parse_hello(body, len, &hello, e);
}

/* It has to know that we are still here. */
static int wait_a_moment(struct negotiation *a, struct err *e)
{
    const int rc = io_wait(
        mailbox_event_fd(a->mailbox), POLLIN, &a->cancel, deadline_in(MESSAGE_PING_S * NS_PER_S));

    if (rc == -ECANCELED)
        return err_set(e, ERR_CANCELLED, ECANCELED, "%s", admin_why_stopped(a->admin));
    return rc == -ETIMEDOUT ? message_send_empty(&a->control, CONTROL_PING, e) : 0;
}

/* It asks its own libxl and Xen before it answers; others may come first. It ends that wait, or
 * somebody here does. */
static int await_turn(struct negotiation *a, const void **body, size_t *len, struct err *e)
{
    const int64_t wait_limit_ns = deadline_in(MESSAGE_WAIT_LIMIT_NS + a->options->silent_ns);
    int64_t deadline_ns = deadline_in(a->options->silent_ns);
    struct message_wait wait;
    enum control_type type;
    int rc;

    for (;;) {
        rc = mailbox_take(a->mailbox, &type, body, len, e);
        if (rc == 1 && type != CONTROL_WAIT)
            return judge_answer(a, type, CONTROL_ACCEPT, *body, *len, e);
        if (rc == 1) {
            rc = message_parse_wait(*body, *len, &wait, e);
            deadline_ns = wait_limit_ns;
            if (!rc && a->told_to_wait)
                a->told_to_wait(a->arg, &wait);
        }
        if (!rc)
            rc = wait_a_moment(a, e);
        if (!rc && deadline_passed(deadline_ns))
            rc = err_set(
                e, ERR_PEER, ETIMEDOUT, "%s: no answer to the offer in time", a->control.ch->name);
        if (rc)
            return rc;
    }
}

static int await_accept(struct negotiation *a, struct err *e)
{
    const unsigned lanes = a->options->lanes;
    const void *body;
    size_t len;
    int rc = await_turn(a, &body, &len, e);

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

/* The guest stays here whatever the other host says of it then, but it may say so late. */
static void warn_of_older_xen(struct negotiation *a)
{
    const struct xl_version there = a->accept.xen;
    struct err ignored = ERR_INIT;
    struct xl_host here;

    if (!xl_host(&a->xl, &here, &ignored) && suitable_is_older_xen(there, here.xen))
        log_warn(&a->log,
            "%s runs Xen %u.%u, older than this host's %u.%u, which Xen does not promise to work: "
            "what the guest has of the newer one is refused there, and then it runs on here",
            a->where, there.major, there.minor, here.xen.major, here.xen.minor);
}

static struct expect_guest expected(const struct negotiation *a)
{
    return (struct expect_guest){
        .uuid = a->domain.uuid,
        .type = xl_type_name(a->domain.type),
        .vcpus = a->domain.vcpus,
        .devices = &a->devices,
        .early = a->accept.early,
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

/* It may have other devices by now, or be gone. */
static int look_again(struct negotiation *a, struct err *e)
{
    const uint32_t domid = a->domain.domid;
    int rc;

    free(a->config);
    a->config = NULL;
    rc = find_domain(a, e);
    if (!rc && a->domain.domid != domid)
        rc = err_set(e, ERR_REFUSED, ESTALE,
            "\"%s\" is domain %u now, and was %u before it had to wait", a->domain.name,
            a->domain.domid, domid);
    return rc;
}

int negotiate_ask(struct negotiation *a, struct err *e)
{
    int rc = negotiate_hold(a, e);

    if (!rc && a->before_asking)
        rc = a->before_asking(a->arg, e);
    if (rc == 1)
        rc = look_again(a, e);
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
    warn_of_older_xen(a);

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
