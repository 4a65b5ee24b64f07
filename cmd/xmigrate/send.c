/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/send.h"

#include "base/deadline.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/machine.h"
#include "cmd/xmigrate/departed.h"
#include "cmd/xmigrate/gone.h"
#include "cmd/xmigrate/metrics.h"
#include "cmd/xmigrate/negotiate.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "cmd/xmigrate/handoff/rename.h"
#include "cmd/xmigrate/handoff/rescuer.h"
#include "cmd/xmigrate/transfer.h"
#include "cmd/xmigrate/waiting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A destination that expects to need longer has many devices, or slow ones. */
#define SLOW_FINISH_NS (2 * NS_PER_S)

/* Before the move is said to be done. */
#define GOODBYE_NS (2 * NS_PER_S)

/* A lane's share of the guest, which may be sent several times: the kernel has one key for it all
 * (crypto/tls_kernel.h). */
#define KERNEL_TLS_MOST_KB (UINT64_C(64) << 20)

struct send {
    struct negotiation a;
    int64_t start_ns;
    struct view view;
    struct event_stream events;
    struct waiting waiting;
    struct transfer transfer;
    struct hooks hooks;     /* what those before the suspend are told */
    struct metrics_sum sum; /* of a move that was done */
    bool had_gone;          /* before: there was nothing to do */
    bool unsettled;         /* not all could be put right again */

    enum handoff_state state; /* cmd/handoff/machine.h */
    struct bystander rescuer;
    bool stood_down;         /* the rescuer was told to */
    struct err *why;         /* while it is in doubt */
    enum brought_back found; /* when it was brought back */
};

static int prepare(struct send *s, struct err *e)
{
    const char *config_dir = s->a.options->config_dir;
    int rc = hooks_check(config_dir, e);

    if (!rc)
        rc = budget_read(&s->transfer.pace.budget, config_dir, &s->a.log, e);
    if (!rc)
        rc = rescuer_start(&s->rescuer, config_dir, e);
    if (!rc)
        rc = negotiate_begin(&s->a, e);
    if (!rc)
        rc = transfer_prepare(&s->transfer, e);
    return rc ? rc : negotiate_ask(&s->a, e);
}

/* --- the move --- */

static void tell_start(struct send *s)
{
    const struct options *o = s->a.options;
    const struct xl_domain *d = &s->a.domain;
    const bool live = o->mode == MODE_LIVE;

    message_session_text(s->a.accept.session, s->events.migration);

    json_t *body = json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:I, s:i, s:s, s:i, s:i, s:s, s:s}",
        "event", "start", "domain", d->name, "domid", (int)d->domid, "uuid", d->uuid, "type",
        xl_type_name(d->type), "live", live, "memory_bytes", (json_int_t)(d->memory_kb * 1024),
        "vcpus", (int)d->vcpus, "host", o->address.host, "port", (int)o->address.port, "lanes",
        (int)s->transfer.job.lanes, "peer_name", s->a.peer.name, "peer_fingerprint",
        s->a.peer.fingerprint);

    event_write(&s->events, body);
    admin_note(s->a.admin, body);
    json_decref(body);
    view_say(&s->view, "moving %s (domain %u, %s, vCPUs: %u, %llu MiB) to %s, %s, lanes: %u",
        d->name, d->domid, xl_type_name(d->type), d->vcpus, (unsigned long long)d->memory_kb / 1024,
        s->a.where, live ? "live" : "offline", s->transfer.job.lanes);
}

static void tell_step(struct send *s, const char *name)
{
    json_t *body = json_pack("{s:s}", "event", name);

    event_write(&s->events, body);
    admin_note(s->a.admin, body);
    json_decref(body);
}

/* The destination's estimate is of what libxl and devices take. */
static int64_t usual_start_ns(const struct send *s)
{
    const bool slow = s->a.domain.type == LIBXL_DOMAIN_TYPE_HVM ||
                      s->a.accept.finish.high_ns > SLOW_FINISH_NS;

    return slow ? SLOW_START_NS : START_NS;
}

/* The journal says that the guest is still ours, and whoever comes after us goes by that. */
static void stand_down(void *arg)
{
    struct send *s = arg;

    if (!s->stood_down)
        rescuer_begin_disarm(&s->rescuer);
    s->stood_down = true;
}

static void fill_transfer(struct send *s)
{
    const struct options *o = s->a.options;
    struct transfer *t = &s->transfer;
    struct link_job *job = &t->job;

    t->options = o;
    t->log = &s->a.log;
    t->view = &s->view;
    t->events = &s->events;
    t->cancel = &s->a.cancel;
    t->admin = s->a.admin;
    t->control = &s->a.control;
    t->mailbox = s->a.mailbox;
    t->xl = &s->a.xl;
    t->domid = s->a.domain.domid;
    t->lock_fd = s->a.lock.fd;
    t->journal = &s->a.journal;
    s->hooks = (struct hooks){
        .config_dir = o->config_dir,
        .role = "source",
        .domain = s->a.domain.name,
        .uuid = s->a.domain.uuid,
        .domid = s->a.domain.domid,
        .peer = o->address.host,
        .log = &s->a.log,
    };
    t->hooks = &s->hooks;
    t->all_sent = stand_down;
    t->arg = s;
    t->whole_stream = s->a.domain.type == LIBXL_DOMAIN_TYPE_HVM;
    snprintf(s->a.journal.now.peer, sizeof(s->a.journal.now.peer), "%s", s->a.where);
    message_session_text(s->a.accept.session, s->a.journal.now.session);
    snprintf(s->a.journal.now.peer_journal, sizeof(s->a.journal.now.peer_journal), "%s",
        s->a.accept.journal);
    snprintf(
        s->a.journal.now.peer_key, sizeof(s->a.journal.now.peer_key), "%s", s->a.peer.fingerprint);

    job->role = LINK_SOURCE;
    memcpy(job->session, s->a.accept.session, sizeof(job->session));
    memcpy(job->key, s->a.accept.key, sizeof(job->key));
    job->lanes = s->a.accept.lanes;
    job->domid = s->a.domain.domid;
    job->insecure = o->insecure;
    job->verbose = o->log_level >= LOG_DEBUG;
    snprintf(job->config_dir, sizeof(job->config_dir), "%s", o->config_dir);
    snprintf(job->fingerprint, sizeof(job->fingerprint), "%s", s->a.peer.fingerprint);
    snprintf(job->host, sizeof(job->host), "%s", o->address.host);
    job->port = o->address.port;
    snprintf(job->from, sizeof(job->from), "%s", o->address.from);
    job->dscp = o->address.dscp;
    job->connect_ns = link_connect_ns(o->silent_ns);
    job->silent_ns = o->silent_ns;
    job->compress = o->compress;
    job->kernel_tls = o->kernel_tls && s->a.domain.memory_kb / job->lanes <= KERNEL_TLS_MOST_KB;
    /* Offline no page is sent twice. */
    job->delta_cache_bytes = o->mode == MODE_LIVE ? o->delta_cache_bytes : 0;
    job->bandwidth_bits_per_s = o->bandwidth_bits_per_s;
    job->limits = o->limits;
    job->costs = s->a.costs;
    resumable_fill_job(&s->a.resumable, job);
    job->early = s->a.accept.early;
    t->has_hooks = hooks_any(o->config_dir, HOOKS_BEFORE_SUSPEND);
    t->takes_turns = o->mode == MODE_LIVE;
    job->asks = t->has_hooks || t->takes_turns;
    t->start_ns = o->start_ns ?: usual_start_ns(s);
    job->result_ns = t->start_ns;
    /* A guest with a device model is libxl's to suspend, with that. */
    job->suspend_limit_ns = s->a.domain.type == LIBXL_DOMAIN_TYPE_HVM ? 0 : o->suspend_ns;
}

static int tell_failure(struct send *s, struct err *why, int code, const char *guest)
{
    /* When a connection breaks, nobody knows at which end. */
    if (why->side == SIDE_UNKNOWN && why->class != ERR_PEER)
        why->side = SIDE_SOURCE;

    event_tell(&s->events, event_failed(why, code, guest));
    /* Hooks may take their time. */
    turn_end(&s->transfer.pause_turn);
    turn_end(&s->waiting.turn);
    /* What they write is not to be the last word. */
    hooks_run_failed(&s->hooks, why, guest);
    if (code == EXIT_FAILED && !strcmp(guest, "here") && !s->unsettled) {
        char text[ADVICE_BYTES];

        handoff_failure(why, s->a.domain.name, s->a.where, text);
        log_error(&s->a.log, "%s", text);
    } else if (code == EXIT_REFUSED && s->a.domain.uuid[0]) {
        log_error(&s->a.log, "%s; nothing was done to \"%s\"", why->text, s->a.domain.name);
    } else {
        log_error(&s->a.log, "%s", why->text);
    }
    return code;
}

/* --- what the machine may ask for --- */

static int disarm(void *arg, struct err *e)
{
    struct send *s = arg;

    stand_down(s);
    return rescuer_disarm(&s->rescuer, e);
}

static int record(void *arg, struct err *e)
{
    struct send *s = arg;

    s->a.journal.now.state = s->state;
    snprintf(s->a.journal.now.peer_journal, sizeof(s->a.journal.now.peer_journal), "%s",
        s->transfer.ready.mark.journal);
    return journal_save(&s->a.journal, e);
}

static int check_limit(void *arg, struct err *e)
{
    struct send *s = arg;

    int rc = transfer_may_give(&s->transfer, e);

    if (!rc && (cancel_is_fired(&s->a.cancel) || !admin_may_give(s->a.admin)))
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "%s", admin_why_stopped(s->a.admin));
    return rc;
}

/* A send that failed did not hand all of the frame to the kernel. It must not do so later either,
 * when TLS flushes what is left of it before the next frame or a goodbye: the connection ends here.
 */
static int send_go(void *arg, struct err *e)
{
    struct send *s = arg;
    const struct transfer *t = &s->transfer;
    const struct message_go go = {
        .mark = t->ready.mark,
        .within_ns = t->start_limit_ns - t->ready_ns,
    };
    const int rc = message_send_go(&s->a.control, &go, e);

    if (rc) {
        channel_shutdown(s->a.control.ch);
        s->transfer.peer_lost = true;
    } else {
        tell_step(s, "go");
    }
    return rc;
}

static int take_back(void *arg, struct err *e)
{
    struct send *s = arg;
    struct err ignored = ERR_INIT;

    (void)e;
    s->a.journal.now.state = HANDOFF_LIVE;
    if (journal_save(&s->a.journal, &ignored))
        log_warn(&s->a.log, "%s", ignored.text);
    return 0;
}

/* By what Xen says. A helper that refused before it touched the guest leaves nothing to undo, and
 * the log-dirty mode may be somebody else's. */
static int resume(void *arg, struct err *e)
{
    struct send *s = arg;
    const struct transfer *t = &s->transfer;

    s->found = BACK_RUNNING;
    if (t->op.helper_error.class == ERR_REFUSED && !t->suspending_ns &&
        s->a.journal.now.cap == JOURNAL_NO_CAP)
        return 0;
    return bring_back_guest(&s->a.xl, &s->a.journal.now, &s->a.lock, &s->found, e);
}

static int pass_on(void *arg, struct err *e)
{
    struct send *s = arg;

    (void)e;
    recover_pass_on(&s->a.log, s->a.domain.uuid, s->a.journal.now.session, s->a.where);
    return 0;
}

static int give_up_name(void *arg, struct err *e)
{
    struct send *s = arg;
    const struct xl_domain *d = &s->a.domain;

    (void)e;
    rename_away(&s->a.xl, d->domid, d->name, d->name);
    return 0;
}

/* If this is lost, the destination merely remembers for longer than it has to. */
static int send_heard(void *arg, struct err *e)
{
    struct send *s = arg;
    struct channel *ch = s->a.control.ch;
    struct err none = ERR_INIT;

    (void)e;
    if (message_send_empty(&s->a.control, CONTROL_HEARD, &none) || ch->ops->finish(ch, &none))
        log_debug(&s->a.log, "%s", none.text);
    return 0;
}

static int destroy(void *arg, struct err *e)
{
    struct send *s = arg;
    const int rc = transfer_end(&s->transfer, e);

    return rc ? rc : xl_destroy(&s->a.xl, s->a.domain.domid, e);
}

static int forget(void *arg, struct err *e)
{
    struct send *s = arg;

    (void)e;
    journal_remove(&s->a.journal);
    return 0;
}

/* GO was sent and no answer came: do not guess. */
static int advise(void *arg, struct err *e)
{
    struct send *s = arg;
    char text[ADVICE_BYTES];

    (void)e;
    journal_keep(&s->a.journal);
    tell_failure(s, s->why, EXIT_DOUBT, "unknown");
    handoff_advice(&s->a.journal.now, s->a.domain.domid, text);
    log_error(&s->a.log, "%s", text);
    return 0;
}

static int take_step(struct send *s, enum handoff_event event, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_RECORD)] = record,
        [HANDOFF_INDEX(HANDOFF_DISARM)] = disarm,
        [HANDOFF_INDEX(HANDOFF_CHECK_LIMIT)] = check_limit,
        [HANDOFF_INDEX(HANDOFF_SEND_GO)] = send_go,
        [HANDOFF_INDEX(HANDOFF_PASS_ON)] = pass_on,
        [HANDOFF_INDEX(HANDOFF_RENAME_AWAY)] = give_up_name,
        [HANDOFF_INDEX(HANDOFF_SEND_HEARD)] = send_heard,
        [HANDOFF_INDEX(HANDOFF_TAKE_BACK)] = take_back,
        [HANDOFF_INDEX(HANDOFF_RESUME)] = resume,
        [HANDOFF_INDEX(HANDOFF_DESTROY)] = destroy,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = advise,
    };
    const struct handoff_step step = handoff_next(HANDOFF_SOURCE, s->state, event);

    s->state = step.next;
    return handoff_carry_out(step, doers, s, e);
}

/* --- the ends --- */

static void summarise(const struct send *s, struct summary *sum)
{
    const struct transfer *t = &s->transfer;
    const struct downtime_report *engine = &t->total.downtime;
    struct downtime_parts *d = &sum->downtime;
    const int64_t engine_ns = engine->suspend_ns + engine->clean_ns + engine->last_round_ns +
                              engine->state_ns + engine->receiver_ns + engine->disks_ns;

    *sum = (struct summary){.name = s->a.domain.name,
        .host = s->a.where,
        .whole_ns = t->started_ns - s->start_ns,
        .total = t->total,
        .lanes = t->lanes};
    d->engine = *engine;
    d->hand_off_ns = t->started_ns - t->ready_ns;
    d->journal_ns = s->a.journal.decisive_save_ns + t->taken_save_ns;
    d->whole_ns = t->started_ns - t->suspending_ns;
    /* The rest of the pause; which is longer than what we saw of it if we heard late of the
     * suspend. */
    d->libxl_ns = d->whole_ns - d->hand_off_ns - engine_ns;
    if (d->libxl_ns < 0) {
        d->whole_ns -= d->libxl_ns;
        d->libxl_ns = 0;
    }
}

static void learn(const struct send *s, const struct downtime_parts *d)
{
    const int64_t after_ns = d->engine.receiver_ns + d->libxl_ns + d->hand_off_ns;
    struct err e = ERR_INIT;

    if (negotiate_learn(&s->a, d->engine.suspend_ns, after_ns, &e))
        log_debug(&s->a.log, "%s", e.text);
}

/* The destination leaves when the guest has its name there. */
static void await_goodbye(struct send *s)
{
    const int64_t deadline_ns = deadline_in(GOODBYE_NS);
    struct err end = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len_bytes;

    while (mailbox_wait(s->a.mailbox, &type, &body, &len_bytes, NULL, deadline_ns, &end) >= 0)
        ;
}

static int conclude_done(struct send *s)
{
    struct summary sum;
    struct err e = ERR_INIT;

    turn_end(&s->waiting.turn);
    admin_note_phase(s->a.admin, "moved");
    if (take_step(s, HANDOFF_STARTED_CAME, &e)) {
        log_warn(&s->a.log,
            "\"%s\" runs on %s, but its suspended copy here could not be destroyed (%s): xl "
            "destroy %u",
            s->a.domain.name, s->a.where, e.text, s->a.domain.domid);
        journal_keep(&s->a.journal);
    }
    await_goodbye(s);
    e = (struct err)ERR_INIT;
    if (departed_note(s->a.domain.name, s->a.domain.uuid, s->a.options->address.host, &e))
        log_debug(&s->a.log, "%s", e.text);
    e = (struct err)ERR_INIT;
    summarise(s, &sum);
    learn(s, &sum.downtime);
    s->sum = (struct metrics_sum){.duration_ns = sum.whole_ns,
        .wire_bytes = sum.total.wire_bytes,
        .downtime_ns = sum.downtime.whole_ns,
        .predicted_ns = sum.total.predicted.whole_ns,
        .delta_pages = sum.total.delta_pages,
        .delta_saved_bytes = sum.total.delta_saved_bytes};
    event_tell(&s->events, event_done(&sum));
    view_summary(&s->view, &sum);
    s->hooks.domid = 0;
    hooks_run_started(&s->hooks);
    if (s->a.options->paused)
        view_say(
            &s->view, "it is paused there: xl unpause %s", s->a.options->name ?: s->a.domain.name);
    return EXIT_DONE;
}

static int conclude_doubt(struct send *s, struct err *why)
{
    struct err e = ERR_INIT;

    s->why = why;
    if (take_step(s, HANDOFF_NO_ANSWER, &e))
        log_error(&s->a.log, "%s", e.text);
    return EXIT_DOUBT;
}

/* GO was never sent, or the destination gave the guest back. */
static int conclude_failed(struct send *s, struct err *why, enum handoff_event event)
{
    struct err e = ERR_INIT;

    if (!transfer_stop(&s->transfer, why)) {
        journal_keep(&s->a.journal);
        tell_failure(s, why, EXIT_DOUBT, "unknown");
        log_error(&s->a.log,
            "libxl does not come back: run xmigrate --recover, which looks after "
            "\"%s\" once this process has ended",
            s->a.domain.name);
        metrics_count(LINK_SOURCE, EXIT_DOUBT, &s->sum, &s->a.log);
        /* libxl's thread still uses what we would free. */
        _exit(EXIT_DOUBT);
    }
    /* FAILED also comes without a READY, and may have come before GO. */
    if (take_step(s, s->transfer.peer_failed ? HANDOFF_FAILED_CAME : event, &e)) {
        const bool runs = brought_back_runs(s->found);

        journal_keep(&s->a.journal);
        s->unsettled = true;
        handoff_unsettled(why, s->a.domain.name, &e, runs);
        return tell_failure(s, why, runs ? EXIT_FAILED : EXIT_DOUBT, runs ? "here" : "unknown");
    }

    const bool untouched = why->class == ERR_REFUSED && !s->transfer.suspending_ns;

    resumable_learn(&s->a.domain, why);
    if (s->found == BACK_GONE) {
        tell_failure(s, why, EXIT_FAILED, "gone");
        log_error(
            &s->a.log, "\"%s\" is gone: it ended or was destroyed meanwhile", s->a.domain.name);
        return EXIT_FAILED;
    }
    return tell_failure(s, why, untouched ? EXIT_REFUSED : EXIT_FAILED, "here");
}

static int conclude_refused(struct send *s, struct err *why)
{
    if (why->code == ESRCH && !s->a.domain.uuid[0])
        s->had_gone = gone_before(s->a.options, &s->a.log, why);
    if (s->had_gone)
        tell_step(s, "gone");
    negotiate_end(&s->a, why);
    return s->had_gone ? EXIT_DONE : tell_failure(s, why, EXIT_REFUSED, "here");
}

static void release(struct send *s)
{
    rescuer_end(&s->rescuer);
    transfer_clear(&s->transfer); /* its share of the host's bandwidth ends, and is noted */
    admin_close(s->a.admin);
    turn_end(&s->waiting.turn);
    negotiate_release(&s->a);
    view_destroy(&s->view);
}

static int move(struct send *s)
{
    struct transfer *t = &s->transfer;
    struct err e = ERR_INIT;

    if (prepare(s, &e))
        return conclude_refused(s, &e);
    waiting_open_admin(&s->waiting);
    fill_transfer(s);
    tell_start(s);
    if (transfer_start(t, &e) || transfer_until_ready(t, &e))
        return conclude_failed(s, &e, HANDOFF_TROUBLE);
    tell_step(s, "ready");
    if (take_step(s, HANDOFF_READY_CAME, &e))
        return conclude_failed(s, &e, HANDOFF_GO_UNSENT);
    if (!transfer_until_started(t, &e))
        return conclude_done(s);
    return t->peer_failed ? conclude_failed(s, &e, HANDOFF_FAILED_CAME) : conclude_doubt(s, &e);
}

int send_main(const struct options *o)
{
    struct send s = {
        .state = HANDOFF_LIVE,
        .a = {.options = o, .lock = {.fd = -1}},
        .rescuer = {.sock = -1},
        .waiting.turn = TURN_INIT,
        .transfer.pause_turn = TURN_INIT,
        .transfer.pace.budget = BUDGET_INIT,
        .start_ns = now_ns(),
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };

    view_init(&s.view, o->log_level == LOG_ERROR);
    s.waiting.a = &s.a;
    s.waiting.events = &s.events;
    s.waiting.view = &s.view;
    s.a.before_asking = waiting_for_turn;
    s.a.told_to_wait = waiting_at_peer;
    s.a.arg = &s.waiting;
    s.a.log = (struct log){o->log_level, view_log, &s.view};

    const int code = move(&s);
    struct err e = ERR_INIT;

    if (!s.had_gone)
        metrics_count(LINK_SOURCE, code, &s.sum, &s.a.log);
    /* libxl's thread would still use what we free. */
    if (transfer_end(&s.transfer, &e))
        _exit(code);
    release(&s);
    return code;
}
