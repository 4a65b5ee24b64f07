/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/receive.h"

#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/answer.h"
#include "cmd/xmigrate/departed.h"
#include "cmd/xmigrate/hooks.h"
#include "cmd/xmigrate/lacking.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "cmd/xmigrate/metrics.h"
#include "cmd/xmigrate/peer_status.h"
#include "cmd/xmigrate/receive_private.h"
#include "cmd/xmigrate/session/router.h"
#include "cmd/xmigrate/session/measured.h"
#include "cmd/signals.h"
#include "crypto/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The guest has just begun to run, and what is done for it now slows its waking down. */
#define WAKING_NS (500 * NS_PER_MS)

/* How often one that has to wait looks whether it is its turn. */
#define QUEUE_LOOK_NS (250 * NS_PER_MS)

/* For dom0's balloon. */
#define BALLOON_LOOK_NS (100 * NS_PER_MS)
#define BALLOON_NS      (20 * NS_PER_S)

/* --- before anything is changed --- */

static int check_offer(struct receive *r, struct err *e)
{
    if (r->in.wants == WANTS_LISTING)
        return 0;

    int rc = xl_open(&r->xl, &r->in.log, deadline_in(XL_SHORT_NS), e);

    if (!rc && r->in.wants == WANTS_TO_SEND)
        rc = admit_offer(&r->xl, r->o->policy, &r->in.offer, r->o->early_disks, &r->admission, e);
    return rc;
}

/* --- its turn, and its memory --- */

static int tell_to_wait(struct receive *r, unsigned ahead, struct err *e)
{
    const struct message_wait wait = {.ahead = ahead, .at_once = r->o->max_incoming};

    log_info(&r->in.log, "%s waits: %u come before it, and %u at once may (--max-incoming)",
        r->in.who, ahead, r->o->max_incoming);
    return message_send_wait(&r->in.control, &wait, e);
}

/* With --max-incoming, in the order in which they came. */
static int await_turn(struct receive *r, struct err *e)
{
    const int64_t deadline_ns = deadline_in(MESSAGE_WAIT_LIMIT_NS);
    unsigned ahead, told = 0;
    int rc;

    if (!r->o->max_incoming)
        return 0;
    while (!(rc = newcomer_ahead(&r->newcomer, &ahead, e)) && ahead >= r->o->max_incoming) {
        if (deadline_passed(deadline_ns))
            return err_set(e, ERR_REFUSED, ETIMEDOUT,
                "it has waited for an hour, and %u still come before it (--max-incoming %u)", ahead,
                r->o->max_incoming);
        if (ahead != told)
            rc = tell_to_wait(r, ahead, e);
        told = ahead;
        if (!rc)
            rc = incoming_idle(&r->in, deadline_in(QUEUE_LOOK_NS), e);
        if (rc)
            return rc;
    }
    /* Much may have changed. */
    return rc || !told ? rc : admit_identity(&r->xl, &r->in.offer, &r->admission, e);
}

/* Dom0's balloon may have to give it up first. */
static int await_room(struct receive *r, struct err *e)
{
    const int64_t deadline_ns = deadline_in(deadline_earlier(r->o->silent_ns / 2, BALLOON_NS));
    int rc = newcomer_promise(&r->newcomer, &r->xl, &r->admission.config, r->in.offer.name, e);

    while (!rc && !(rc = newcomer_has_room(&r->newcomer, &r->xl, e))) {
        if (deadline_passed(deadline_ns))
            return err_set(e, ERR_REFUSED, ENOMEM,
                "too little memory for \"%s\": dom0 there was asked to give some up, and does not",
                r->in.offer.name);
        rc = incoming_idle(&r->in, deadline_in(BALLOON_LOOK_NS), e);
    }
    return rc < 0 ? rc : 0;
}

static int begin_state(struct receive *r, struct err *e)
{
    struct journal_record s = journal_arrival(r->in.offer.uuid, r->in.offer.name, r->in.who);

    message_session_text(r->accept.session, s.session);
    snprintf(s.peer_key, sizeof(s.peer_key), "%s", r->in.peer.fingerprint);
    return journal_begin(&r->journal, &s, e);
}

static int make_secrets(struct receive *r, struct err *e)
{
    const struct expect_guest guest = receive_expected(r);

    r->accept.lanes = r->in.offer.lanes < MAX_LANES ? r->in.offer.lanes : MAX_LANES;
    r->accept.early = r->admission.early;
    r->accept.xen = r->admission.xen;
    r->accept.finish = expect_finish(&guest);
    if (journal_id(r->accept.journal, e))
        return -e->code;
    if (getrandom(r->accept.session, sizeof(r->accept.session), 0) !=
            (ssize_t)sizeof(r->accept.session) ||
        getrandom(r->accept.key, sizeof(r->accept.key), 0) != (ssize_t)sizeof(r->accept.key))
        return err_sys(e, ERR_LOCAL, errno, "no random numbers for the session");
    return 0;
}

/* From now on the router passes connections here that show one of these tokens, each once. */
static int expect_connections(struct receive *r, bool has_trunk, struct err *e)
{
    uint8_t tokens[ROUTER_MAX_TOKENS][PREAMBLE_TOKEN_BYTES];
    const unsigned count = r->accept.lanes + has_trunk;
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        rc = lane_token(r->accept.key, r->accept.session,
            i < r->accept.lanes ? (uint16_t)i : LANE_TRUNK, tokens[i], e);
    return rc ? rc : router_register(r->build.lanes.router_sock, count, tokens[0], e);
}

/* Everything that the helper has to know except the domid, which libxl allocates. */
static void fill_job(struct receive *r)
{
    struct link_job *job = &r->build.job;

    *job = (struct link_job){
        .role = LINK_DESTINATION,
        .lanes = r->accept.lanes,
        .insecure = r->o->insecure,
        .early = r->accept.early,
        .verbose = r->in.log.max >= LOG_DEBUG,
        .connect_ns = link_connect_ns(r->o->silent_ns),
        .control_handshake_ns = r->in.handshake_ns,
        .silent_ns = r->o->silent_ns,
    };
    memcpy(job->session, r->accept.session, sizeof(job->session));
    memcpy(job->key, r->accept.key, sizeof(job->key));
    snprintf(job->config_dir, sizeof(job->config_dir), "%s", r->o->config_dir);
    snprintf(job->fingerprint, sizeof(job->fingerprint), "%s", r->in.peer.fingerprint);
}

static struct hooks hooks_of(const struct receive *r)
{
    return (struct hooks){
        .config_dir = r->o->config_dir,
        .role = "destination",
        .domain = r->in.offer.name,
        .uuid = r->in.offer.uuid,
        .peer = r->in.who,
        .log = &r->in.log,
    };
}

/* Long before the suspend: the source does not wait for this host in between. */
static int run_first_hooks(struct receive *r, struct err *e)
{
    const struct hooks h = hooks_of(r);
    const int rc = hooks_check(r->o->config_dir, e);

    return rc ? rc : hooks_run(&h, &r->cancel, e);
}

static int prepare(struct receive *r, struct err *e)
{
    int rc = signals_fire(&r->cancel, e);

    if (!rc)
        rc = newcomer_join(&r->newcomer, e);
    if (!rc)
        rc = await_turn(r, e);
    if (!rc)
        rc = await_room(r, e);
    if (!rc)
        rc = make_secrets(r, e);
    if (!rc)
        rc = begin_state(r, e);
    if (!rc)
        rc = build_prepare(&r->build, e);
    if (!rc)
        rc = expect_connections(r, true, e);
    if (!rc)
        fill_job(r);
    return rc ? rc : run_first_hooks(r, e);
}

/* One that cannot be had is no reason not to receive. */
static void open_admin_socket(struct receive *r)
{
    const struct decide_limits none = {0};
    struct admin_status first = {.role = LINK_DESTINATION, .phase = "coming"};
    struct err e = ERR_INIT;

    snprintf(first.domain, sizeof(first.domain), "%s", r->in.offer.name);
    snprintf(first.uuid, sizeof(first.uuid), "%s", r->in.offer.uuid);
    snprintf(first.peer, sizeof(first.peer), "%s", r->in.who);
    if (admin_open(&r->admin, &first, &none, &r->cancel, &e))
        log_warn(&r->in.log, "--status and --cancel will not see this: %s", e.text);
    r->build.admin = r->admin;
}

static void tell_coming(struct receive *r)
{
    const struct message_offer *o = &r->in.offer;

    message_session_text(r->accept.session, r->events.migration);
    event_tell(
        &r->events, json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:s, s:s, s:s}", "event", "coming",
                        "domain", o->name, "uuid", o->uuid, "type", o->type, "live", o->live,
                        "lanes", (int)r->accept.lanes, "host", r->in.who, "peer_name",
                        r->in.peer.name, "peer_fingerprint", r->in.peer.fingerprint));
}

/* Until it runs here the guest is the source's. */
static const char *guest_at(int code)
{
    return code == EXIT_DOUBT ? "unknown" : "there";
}

static void tell_failed(struct receive *r, const struct err *why, int code)
{
    event_tell(&r->events, event_failed(why, code, guest_at(code)));
}

/* --- the story --- */

static int receive_domain(struct receive *r, struct err *e)
{
    int rc = prepare(r, e);

    if (rc) {
        log_error(&r->in.log, "refused %s: %s", r->in.who, e->text);
        journal_remove(&r->journal);
        incoming_tell_failure(&r->in, CONTROL_REFUSE, e);
        return EXIT_REFUSED;
    }
    log_info(&r->in.log, "coming from %s", r->in.who);
    open_admin_socket(r);
    tell_coming(r);
    r->begun = true;
    if (message_send_accept(&r->in.control, &r->accept, e) || build_until_done(&r->build, e))
        return receive_give_up(r, e);

    const int64_t ready_took_ns = now_ns() - r->build.helper_done_ns;

    if (receive_await_go(r, e))
        return receive_give_up(r, e);
    return receive_hand_over(r, ready_took_ns);
}

/* --- only to be measured --- */

static int answer_measurement(struct receive *r, struct err *e)
{
    struct session session = {
        .id = r->accept.session,
        .key = r->accept.key,
        .fingerprint = r->in.peer.fingerprint,
        .cancel = &r->cancel,
        .stall_ns = r->o->silent_ns,
        .connect_ns = r->o->silent_ns,
        .control_handshake_ns = r->in.handshake_ns,
    };
    const struct measured_params p = {
        .router_sock = r->build.lanes.router_sock,
        .session = &session,
        .log = &r->in.log,
    };
    int rc = signals_fire(&r->cancel, e);

    lacking_find(&r->admission.config, r->in.offer.cpu, &r->in.log, r->accept.lacks);
    if (!rc && !r->o->insecure)
        rc = tls_open_on(&session.tls, r->o->tls_base, r->o->config_dir, e);
    if (!rc)
        rc = make_secrets(r, e);
    if (!rc)
        rc = expect_connections(r, false, e);
    if (!rc)
        rc = message_send_accept(&r->in.control, &r->accept, e);
    session.lanes = r->accept.lanes;
    if (!rc)
        rc = measured_lanes(&p, e);
    tls_close(session.tls);
    if (rc) {
        log_error(&r->in.log, "%s, for an estimate: %s", r->in.who, e->text);
        incoming_tell_failure(&r->in, CONTROL_FAILED, e);
        return EXIT_FAILED;
    }
    log_info(&r->in.log, "%s measured the way here, for an estimate", r->in.who);
    incoming_await_heard(&r->in);
    return EXIT_DONE;
}

/* --- which of them --- */

static int serve(struct receive *r, int fd, const struct caller *caller, struct err *e)
{
    int rc = incoming_open(&r->in, fd, caller, e);

    if (rc) {
        log_error(&r->in.log, "%s", e->text);
        return EXIT_REFUSED;
    }
    rc = incoming_hear_offer(&r->in, e);
    if (!rc)
        rc = check_offer(r, e);
    if (rc) {
        log_error(&r->in.log, "refused %s: %s", r->in.who, e->text);
        incoming_tell_failure(&r->in, CONTROL_REFUSE, e);
        return EXIT_REFUSED;
    }
    if (r->in.wants == WANTS_LISTING)
        return peer_status_answer(&r->in);
    if (r->in.wants == WANTS_ANSWER)
        return answer_question(&r->in, &r->xl);
    return r->in.offer.measure ? answer_measurement(r, e) : receive_domain(r, e);
}

/* The source takes the end of its connection for a goodbye: the guest can be moved on then. */
static void clean_up(struct receive *r)
{
    admin_close(r->admin);
    build_clear(&r->build);
    newcomer_leave(&r->newcomer);
    incoming_close(&r->in);
    journal_keep(&r->journal);
    xl_config_dispose(&r->admission.config);
    if (r->xl.ctx)
        xl_close(&r->xl);
    explicit_bzero(r->accept.key, sizeof(r->accept.key));
}

/* The source waits for nothing any more. */
static void run_last_hooks(const struct receive *r, int code, const struct err *why)
{
    struct hooks h = hooks_of(r);

    if (!r->begun)
        return;
    if (code != EXIT_DONE) {
        hooks_run_failed(&h, why, guest_at(code));
        return;
    }
    h.domid = r->build.domid;
    hooks_run_started(&h);
}

int receive_main(const struct listen_options *o, const struct log *log, int fd,
    const struct caller *caller, int router_sock)
{
    struct receive *r = calloc(1, sizeof(*r));
    struct err e = ERR_INIT;

    if (!r)
        return EXIT_FAILED;
    *r = (struct receive){
        .o = o,
        .journal = {.lock_fd = -1},
        .late_fd = -1,
        .state = HANDOFF_COMING,
        .newcomer = {.fd = -1},
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
        .build = {.in = &r->in,
            .events = &r->events,
            .newcomer = &r->newcomer,
            .xl = &r->xl,
            .admission = &r->admission,
            .journal = &r->journal,
            .lanes = {.router_sock = router_sock},
            .lock = {.fd = -1},
            .announce_fd = -1},
    };
    incoming_init(&r->in, o, log, &r->cancel);
    xl_config_init(&r->admission.config);
    if (cancel_init(&r->cancel, &e)) {
        log_error(log, "%s", e.text);
        return EXIT_FAILED;
    }

    const struct metrics_sum none = {0};
    int code = serve(r, fd, caller, &e);

    if (!r->in.offer.measure && r->in.offer.uuid[0])
        metrics_count(LINK_DESTINATION, code, &none, log);
    if (code != EXIT_DONE && err_is_set(&e))
        tell_failed(r, &e, code);
    if (code != EXIT_DONE)
        newcomer_break(&r->newcomer, &r->xl);
    if (code == EXIT_DONE && r->build.domid && departed_forget(r->in.offer.uuid, &e))
        log_debug(log, "%s", e.text);
    /* A restore that did not end still uses what would be freed here. */
    if (r->build.op.async)
        return code;
    clean_up(r);
    if (code != EXIT_DONE)
        run_last_hooks(r, code, &e);
    if (code == EXIT_DONE && r->in.wants == WANTS_TO_SEND && !r->in.offer.measure) {
        e = (struct err)ERR_INIT;
        sleep_until_ns(r->runs_ns + WAKING_NS);
        run_last_hooks(r, code, NULL);
        monitor_become(r->build.domid, r->in.offer.uuid, &e);
        log_error(log, "%s", e.text);
        code = EXIT_FAILED;
    }
    signals_reset();
    cancel_destroy(&r->cancel);
    free(r);
    return code;
}
