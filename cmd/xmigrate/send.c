#include "cmd/xmigrate/send.h"

#include "base/deadline.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/exit_codes.h"
#include "cmd/xmigrate/help.h"
#include "cmd/xmigrate/past.h"
#include "cmd/xmigrate/recover.h"
#include "cmd/xmigrate/signals.h"
#include "cmd/xmigrate/state.h"
#include "cmd/xmigrate/transfer.h"
#include "cmd/xmigrate/xl_config.h"
#include "cmd/xmigrate/xl_limited.h"
#include "crypto/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIGRATEDAWAY "--migratedaway"

/* Before any guest was seen to suspend here. */
#define SUSPEND_ESTIMATE_NS (50 * NS_PER_MS)

/* A guest that answered the suspend request too late may still stop: it is watched for so long. */
#define LATE_SUSPEND_NS (15 * NS_PER_S)
#define LATE_LOOK_NS    (200 * NS_PER_MS)

/* The guest stands still meanwhile, and nobody pings the destination. */
#define RENAME_NS (10 * NS_PER_S)
/* It runs elsewhere already: what Xen and the devices' scripts may need for a large guest. */
#define DESTROY_NS (300 * NS_PER_S)

struct send {
    const struct options *options;
    int64_t start_ns;
    struct view view;
    struct log log;
    struct event_stream events;
    struct cancel cancel;
    bool cancellable;

    struct xl xl;
    struct xl_limited *limited; /* for calls in the hand-off */
    struct xl_domain domain;
    char *config;
    struct domain_lock lock;
    struct state_file state;
    bool state_begun;

    struct tls_context *tls; /* NULL with --insecure */
    struct tls_peer peer;
    char where[TCP_HOST_BYTES + TRUST_NAME_BYTES + 4]; /* the other host, for messages */
    struct control control;
    bool connected;
    struct mailbox *mailbox;
    struct transfer transfer;
};

/* --- before anything changes --- */

/* Names travel in JSON, which is UTF-8. */
static bool is_utf8(const char *text)
{
    json_t *o = json_string(text);

    json_decref(o);
    return o;
}

static int check_running(const struct xl_domain *d, struct err *e)
{
    if (d->dying)
        return err_set(e, ERR_REFUSED, EINVAL, "\"%s\" is being destroyed", d->name);
    if (xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" (domain %u) is suspended: xmigrate --resume %u lets it run again", d->name,
            d->domid, d->domid);
    if (d->shut_down)
        return err_set(e, ERR_REFUSED, EINVAL, "\"%s\" has shut down or crashed", d->name);
    if (d->paused)
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" is paused and could not answer a suspend request: xl unpause %u first", d->name,
            d->domid);
    if (!d->name[0])
        return err_set(
            e, ERR_REFUSED, EINVAL, "domain %u has no name: xl rename %u NAME", d->domid, d->domid);
    if (strlen(d->name) + strlen(MIGRATEDAWAY) >= XL_NAME_BYTES)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG,
            "the domain's name is too long to be moved: xl rename %u NAME", d->domid);
    if (!is_utf8(d->name))
        return err_set(e, ERR_REFUSED, EILSEQ,
            "the name of domain %u is not UTF-8: xl rename %u NAME", d->domid, d->domid);
    return 0;
}

/* Xen tracks a PV guest's writes only with the help of shadow page tables. */
static int check_log_dirty(struct send *s, struct err *e)
{
    struct xl_host host;
    int rc;

    if (s->options->mode != MODE_LIVE || s->domain.type != LIBXL_DOMAIN_TYPE_PV)
        return 0;
    rc = xl_host(&s->xl, &host, e);
    if (!rc && !host.shadow)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "\"%s\" is a PV guest, and this Xen has no shadow paging to track its writes with: "
            "use --offline",
            s->domain.name);
    return rc;
}

/* Not only when it is needed, late in a long move. */
static int check_throttle(struct send *s, struct err *e)
{
    unsigned cap;
    int rc;

    if (s->options->limits.on_stall != ON_STALL_THROTTLE)
        return 0;
    rc = xl_cap(&s->xl, s->domain.domid, &cap, e);
    if (rc)
        err_prepend(e, "--on-stall throttle");
    return rc;
}

static int find_domain(struct send *s, struct err *e)
{
    libxl_domain_config config;
    int rc = xl_find(&s->xl, s->options->domain, &s->domain, e);

    if (!rc)
        rc = check_running(&s->domain, e);
    if (!rc)
        rc = xl_config_retrieve(&s->xl, s->domain.domid, &config, e);
    if (rc)
        return rc;
    s->domain.type = config.c_info.type; /* Xen itself does not tell PVH from HVM */
    rc = xl_config_check_movable(&config, e);
    if (!rc)
        rc = xl_config_text(&s->xl, &config, &s->config, e);
    xl_config_dispose(&config);
    if (!rc)
        rc = check_log_dirty(s, e);
    return rc ? rc : check_throttle(s, e);
}

static int take_hold(struct send *s, struct err *e)
{
    struct state first = {.role = STATE_SOURCE,
        .phase = STATE_LIVE,
        .cap = STATE_NO_CAP,
        .domid = s->domain.domid,
        .supervisor = getpid()};
    int rc = domain_lock_take(&s->lock, s->domain.domid, e);

    if (rc)
        return rc;
    snprintf(first.uuid, sizeof(first.uuid), "%s", s->domain.uuid);
    snprintf(first.name, sizeof(first.name), "%s", s->domain.name);
    snprintf(first.peer, sizeof(first.peer), "%s", s->options->address.host);
    rc = state_begin(&s->state, &first, e);
    s->state_begun = !rc;
    return rc;
}

/* As people know the other host: by the name that goes with its key, and where it was reached. */
static void name_peer(struct send *s)
{
    const char *host = s->options->address.host, *name = s->peer.name;

    if (name[0] && strcmp(name, "-") && strcmp(name, host))
        snprintf(s->where, sizeof(s->where), "%s (%s)", name, host);
    else
        snprintf(s->where, sizeof(s->where), "%s", host);
}

static int open_connection(struct send *s, struct err *e)
{
    const struct options *o = s->options;
    const struct peer_params p = {
        .tls = s->tls,
        .lane = LANE_CONTROL,
        .cancel = &s->cancel,
        .stall_ns = o->silent_ns,
        .deadline_ns = deadline_in(o->connect_ns),
    };
    struct channel *ch;
    int rc = peer_connect(&o->address, &p, &ch, &s->peer, e);

    if (rc)
        return rc;
    /* From here on a signal must not cut the talk short: the other end is told why. */
    ch->cancel = NULL;
    control_init(&s->control, ch);
    s->connected = true;
    name_peer(s);
    return mailbox_start(&s->mailbox, &s->control, o->silent_ns, e);
}

/* The answer to what was just said: of the wanted type, or the refusal as the error. */
static int await_answer(struct send *s, enum control_type wanted, const void **body, size_t *len,
    int64_t wait_ns, struct err *e)
{
    enum control_type type;
    const int rc = mailbox_wait(s->mailbox, &type, body, len, &s->cancel, deadline_in(wait_ns), e);

    if (rc < 0)
        return rc;
    if (type == wanted)
        return 0;
    if (type == CONTROL_REFUSE || type == CONTROL_FAILED) {
        struct err why = ERR_INIT;

        why.side = SIDE_DESTINATION;
        talk_parse_error(*body, *len, &why);
        err_prepend(&why, "%s", s->where);
        return err_take(e, &why);
    }
    return err_set(e, ERR_PEER, EPROTO, "%s: a %s came instead of %s", s->control.ch->name,
        control_type_name((uint16_t)type), control_type_name((uint16_t)wanted));
}

static int exchange_hello(struct send *s, unsigned *lanes, struct err *e)
{
    struct talk_hello hello;
    const void *body;
    size_t len;
    int rc = talk_send_hello(&s->control, e);

    if (!rc)
        rc = await_answer(s, CONTROL_HELLO, &body, &len, s->options->connect_ns, e);
    if (!rc)
        rc = talk_parse_hello(body, len, &hello, e);
    if (!rc && hello.max_lanes < *lanes)
        *lanes = hello.max_lanes;
    return rc;
}

static int make_offer(struct send *s, unsigned lanes, struct err *e)
{
    struct talk_offer offer = {
        .live = s->options->mode == MODE_LIVE, .lanes = lanes, .config = s->config};
    struct talk_accept accept;
    struct link_job *job = &s->transfer.job;
    const void *body;
    size_t len;
    int rc;

    snprintf(offer.name, sizeof(offer.name), "%s", s->domain.name);
    snprintf(offer.uuid, sizeof(offer.uuid), "%s", s->domain.uuid);
    snprintf(offer.type, sizeof(offer.type), "%s", xl_type_name(s->domain.type));
    rc = talk_send_offer(&s->control, &offer, e);
    /* It asks its own libxl and Xen before it answers. */
    if (!rc)
        rc = await_answer(s, CONTROL_ACCEPT, &body, &len, s->options->silent_ns, e);
    if (!rc)
        rc = talk_parse_accept(body, len, &accept, e);
    if (rc)
        return rc;
    if (accept.lanes > lanes)
        return err_set(e, ERR_PEER, EPROTO, "%s: accepts %u lanes, %u were offered",
            s->control.ch->name, accept.lanes, lanes);
    memcpy(job->session, accept.session, sizeof(job->session));
    memcpy(job->key, accept.key, sizeof(job->key));
    explicit_bzero(&accept.key, sizeof(accept.key));
    job->lanes = accept.lanes;
    job->receiver_estimate_ns = accept.finish_ns;
    return 0;
}

/* Cheap refusals first, then the domain, then the network. */
static int prepare(struct send *s, struct err *e)
{
    unsigned lanes = s->options->lanes;
    int rc = xl_prepare_process(e);

    if (!rc)
        rc = cancel_init(&s->cancel, e);
    s->cancellable = !rc;
    if (!rc)
        rc = signals_fire(&s->cancel, e);
    if (!rc)
        rc = transfer_prepare(&s->transfer, e);
    if (!rc)
        rc = xl_open(&s->xl, &s->log, e);
    if (!rc)
        rc = xl_limited_open(&s->limited, e);
    if (!rc)
        rc = find_domain(s, e);
    if (!rc)
        rc = take_hold(s, e);
    if (!rc && !s->options->insecure)
        rc = tls_open(&s->tls, s->options->config_dir, e);
    if (!rc)
        rc = open_connection(s, e);
    if (!rc)
        rc = exchange_hello(s, &lanes, e);
    return rc ? rc : make_offer(s, lanes, e);
}

/* --- the move --- */

static void tell_start(struct send *s)
{
    const struct options *o = s->options;
    const struct xl_domain *d = &s->domain;
    const bool live = o->mode == MODE_LIVE;

    s->view.guest_pages = d->memory_kb / 4;

    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:I, s:i, s:s, s:i, s:i, s:s, s:s}", "event", "start",
        "version", XMIGRATE_VERSION, "domain", d->name, "domid", (int)d->domid, "uuid", d->uuid,
        "type", xl_type_name(d->type), "live", live, "memory_bytes",
        (json_int_t)(d->memory_kb * 1024), "vcpus", (int)d->vcpus, "host", o->address.host, "port",
        (int)o->address.port, "lanes", (int)s->transfer.job.lanes, "peer_name", s->peer.name,
        "peer_fingerprint", s->peer.fingerprint);

    event_write(&s->events, body);
    json_decref(body);
    view_say(&s->view, "moving %s (domain %u, %s, vCPUs: %u, %llu MiB) to %s, %s, lanes: %u",
        d->name, d->domid, xl_type_name(d->type), d->vcpus, (unsigned long long)d->memory_kb / 1024,
        s->where, live ? "live" : "offline", s->transfer.job.lanes);
}

static void tell_step(struct send *s, const char *name)
{
    json_t *body = json_pack("{s:s}", "event", name);

    event_write(&s->events, body);
    json_decref(body);
}

static void fill_transfer(struct send *s)
{
    const struct options *o = s->options;
    struct transfer *t = &s->transfer;
    struct link_job *job = &t->job;

    t->options = o;
    t->log = &s->log;
    t->view = &s->view;
    t->events = &s->events;
    t->cancel = &s->cancel;
    t->control = &s->control;
    t->mailbox = s->mailbox;
    t->xl = &s->xl;
    t->domid = s->domain.domid;
    t->lock_fd = s->lock.fd;
    t->state = &s->state;

    job->role = LINK_SOURCE;
    job->domid = s->domain.domid;
    job->insecure = o->insecure;
    snprintf(job->config_dir, sizeof(job->config_dir), "%s", o->config_dir);
    snprintf(job->fingerprint, sizeof(job->fingerprint), "%s", s->peer.fingerprint);
    snprintf(job->host, sizeof(job->host), "%s", o->address.host);
    job->port = o->address.port;
    job->connect_ns = link_connect_ns(o->silent_ns);
    job->silent_ns = o->silent_ns;
    job->compress = o->compress;
    job->bandwidth_bits_per_s = o->bandwidth_bits_per_s;
    job->limits = o->limits;
    job->suspend_estimate_ns = past_estimate_ns(PAST_SUSPEND, s->domain.vcpus, SUSPEND_ESTIMATE_NS);
    job->result_ns = o->start_ns;
}

/* A send that failed did not hand all of the frame to the kernel. It must not do so later either,
 * when TLS flushes what is left of it before the next frame or a goodbye: the connection ends here.
 */
static int send_go(struct send *s, struct err *e)
{
    const int rc = talk_send_empty(&s->control, CONTROL_GO, e);

    if (rc) {
        channel_shutdown(s->control.ch);
        s->transfer.peer_lost = true;
    }
    return rc;
}

/* From READY to GO. Whatever fails here, GO was not sent. */
static int give(struct send *s, struct err *e)
{
    char away[XL_NAME_BYTES];
    int rc;

    if (cancel_is_fired(&s->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    snprintf(away, sizeof(away), "%s%s", s->domain.name, MIGRATEDAWAY);
    rc = xl_limited_rename(&s->limited, s->domain.domid, s->domain.name, away,
        deadline_earlier(s->transfer.start_limit_ns, deadline_in(RENAME_NS)), e);
    if (rc)
        return rc;
    s->state.now.phase = STATE_GIVEN;
    rc = state_save(&s->state, e);
    if (!rc)
        rc = send_go(s, e);
    if (!rc)
        tell_step(s, "go");
    return rc;
}

/* --- the ends --- */

static void summarise(const struct send *s, struct summary *sum)
{
    const struct transfer *t = &s->transfer;
    const struct downtime_report *engine = &t->total.downtime;
    struct downtime_parts *d = &sum->downtime;
    const int64_t engine_ns = engine->suspend_ns + engine->last_round_ns + engine->state_ns +
                              engine->receiver_ns;

    *sum = (struct summary){.name = s->domain.name,
        .host = s->where,
        .whole_ns = t->started_ns - s->start_ns,
        .total = t->total,
        .lanes = t->lanes};
    d->engine = *engine;
    d->hand_off_ns = t->started_ns - t->ready_ns;
    d->whole_ns = t->started_ns - t->suspending_ns;
    /* The rest of the pause. The engine's clock may round against ours. */
    d->libxl_ns = d->whole_ns - d->hand_off_ns - engine_ns;
    if (d->libxl_ns < 0)
        d->libxl_ns = 0;
}

static int conclude_done(struct send *s)
{
    struct summary sum;
    struct err e = ERR_INIT;
    json_t *body;

    if (s->control.ch->ops->finish(s->control.ch, &e))
        log_debug(&s->log, "%s", e.text);
    e = (struct err)ERR_INIT;
    if (xl_limited_destroy(&s->limited, s->domain.domid, deadline_in(DESTROY_NS), &e)) {
        log_warn(&s->log,
            "\"%s\" runs on %s, but its suspended copy here could not be destroyed (%s): xl "
            "destroy %u",
            s->domain.name, s->where, e.text, s->domain.domid);
        state_keep(&s->state);
    } else {
        state_remove(&s->state);
    }
    e = (struct err)ERR_INIT;
    if (past_record(PAST_SUSPEND, s->domain.vcpus, s->transfer.total.downtime.suspend_ns, &e))
        log_debug(&s->log, "%s", e.text);
    summarise(s, &sum);
    body = event_done(&sum);
    event_write(&s->events, body);
    json_decref(body);
    view_summary(&s->view, &sum);
    return EXIT_DONE;
}

static int tell_failure(struct send *s, struct err *why, int code, const char *guest)
{
    /* Of a connection that broke nobody knows at which end. */
    if (why->side == SIDE_UNKNOWN && why->class != ERR_PEER)
        why->side = SIDE_SOURCE;

    json_t *body = event_failed(why, code, guest);

    event_write(&s->events, body);
    json_decref(body);
    log_error(&s->log, "%s", why->text);
    return code;
}

/* GO was sent and no answer came: nobody guesses. */
static int conclude_doubt(struct send *s, struct err *why)
{
    const unsigned domid = s->domain.domid;

    state_keep(&s->state);
    tell_failure(s, why, EXIT_DOUBT, "unknown");
    log_error(&s->log,
        "\"%s\" may run on %s; here it is suspended: look there with xl list; if it runs there, "
        "xl destroy %u here; if it does not, destroy what is left of it there, then xmigrate "
        "--resume %u here",
        s->domain.name, s->where, domid, domid);
    return EXIT_DOUBT;
}

static int recover(struct send *s, enum recover_found *found, struct err *e)
{
    return recover_guest(&s->xl, &s->state.now, found, e);
}

/* A suspend that was given up may still happen. */
static int watch_late_suspend(struct send *s, enum recover_found *found, struct err *e)
{
    const int64_t deadline_ns = deadline_in(LATE_SUSPEND_NS);
    struct xl_domain d;
    struct err gone = ERR_INIT;

    while (!deadline_passed(deadline_ns)) {
        sleep_until_ns(deadline_in(LATE_LOOK_NS));
        if (xl_look_at(&s->xl, s->domain.domid, s->domain.uuid, &d, &gone))
            return 0;
        if (xl_is_suspended(&d))
            return recover(s, found, e);
    }
    return 0;
}

/* By what Xen says. A helper that refused before it touched the guest leaves nothing to undo, and
 * the log-dirty mode may be somebody else's. */
static int bring_back(struct send *s, enum recover_found *found, struct err *e)
{
    const struct transfer *t = &s->transfer;
    int rc;

    *found = RECOVER_RUNNING;
    if (t->helper_error.class == ERR_REFUSED && !t->suspending_ns &&
        s->state.now.cap == STATE_NO_CAP)
        return 0;
    if (s->state.now.phase == STATE_GIVEN) {
        s->state.now.phase = STATE_LIVE;
        rc = state_save(&s->state, e);
        if (rc)
            log_warn(&s->log, "%s", e->text);
        *e = (struct err)ERR_INIT;
    }
    rc = recover(s, found, e);
    if (!rc && t->suspend_timed_out && *found == RECOVER_RUNNING)
        rc = watch_late_suspend(s, found, e);
    return rc;
}

/* GO was never sent, or the destination gave the guest back. */
static int conclude_failed(struct send *s, struct err *why)
{
    struct err e = ERR_INIT;
    enum recover_found found;

    if (!transfer_stop(&s->transfer, why)) {
        state_keep(&s->state);
        tell_failure(s, why, EXIT_DOUBT, "unknown");
        log_error(&s->log,
            "libxl does not come back: run xmigrate --recover, which looks after "
            "\"%s\" once this process has ended",
            s->domain.name);
        /* Its thread still uses what we would free. */
        _exit(EXIT_DOUBT);
    }
    if (bring_back(s, &found, &e)) {
        struct err both = ERR_INIT;

        state_keep(&s->state);
        err_set(&both, why->class, why->code,
            "%s; bringing \"%s\" back: %s; look with xl list, then try xmigrate --recover",
            why->text, s->domain.name, e.text);
        both.side = why->side;
        return tell_failure(s, &both, EXIT_DOUBT, "unknown");
    }
    state_remove(&s->state);

    const bool untouched = why->class == ERR_REFUSED && !s->transfer.suspending_ns;

    if (found == RECOVER_GONE) {
        tell_failure(s, why, EXIT_FAILED, "gone");
        log_error(&s->log, "\"%s\" is gone: it ended or was destroyed meanwhile", s->domain.name);
        return EXIT_FAILED;
    }
    return tell_failure(s, why, untouched ? EXIT_REFUSED : EXIT_FAILED, "here");
}

static int conclude_refused(struct send *s, struct err *why)
{
    struct err ignored = ERR_INIT;

    if (s->mailbox)
        talk_send_error(&s->control, CONTROL_ABORT, why, &ignored);
    if (s->state_begun)
        state_remove(&s->state);
    return tell_failure(s, why, EXIT_REFUSED, "here");
}

static void release(struct send *s)
{
    mailbox_stop(s->mailbox);
    if (s->connected)
        control_close(&s->control);
    if (s->tls)
        tls_close(s->tls);
    transfer_clear(&s->transfer);
    domain_lock_release(&s->lock);
    xl_limited_close(s->limited);
    if (s->xl.ctx)
        xl_close(&s->xl);
    free(s->config);
    /* Nothing is left to be stopped. */
    signals_reset();
    if (s->cancellable)
        cancel_destroy(&s->cancel);
    view_destroy(&s->view);
}

static int move(struct send *s)
{
    struct transfer *t = &s->transfer;
    struct err e = ERR_INIT;

    if (prepare(s, &e))
        return conclude_refused(s, &e);
    fill_transfer(s);
    tell_start(s);
    if (transfer_start(t, &e) || transfer_until_ready(t, &e))
        return conclude_failed(s, &e);
    tell_step(s, "ready");
    if (give(s, &e))
        return conclude_failed(s, &e);
    if (!transfer_until_started(t, &e))
        return conclude_done(s);
    return t->peer_failed ? conclude_failed(s, &e) : conclude_doubt(s, &e);
}

int send_main(const struct options *o)
{
    struct send s = {
        .options = o,
        .start_ns = now_ns(),
        .lock = {.fd = -1},
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };

    view_init(&s.view, o->log_level == LOG_ERROR);
    s.log = (struct log){o->log_level, view_log, &s.view};

    const int code = move(&s);

    release(&s);
    return code;
}
