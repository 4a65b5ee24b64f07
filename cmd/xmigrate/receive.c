/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/receive.h"

#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/answer.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/monitor.h"
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

/* --- before anything is changed --- */

static int check_offer(struct receive *r, struct err *e)
{
    const int rc = xl_open(&r->xl, &r->in.log, deadline_in(XL_SHORT_NS), e);

    return rc || r->in.asked ? rc
                             : admit_offer(&r->xl, r->o->policy, &r->in.offer, &r->admission, e);
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
        .silent_ns = r->o->silent_ns,
    };
    memcpy(job->session, r->accept.session, sizeof(job->session));
    memcpy(job->key, r->accept.key, sizeof(job->key));
    snprintf(job->config_dir, sizeof(job->config_dir), "%s", r->o->config_dir);
    snprintf(job->fingerprint, sizeof(job->fingerprint), "%s", r->in.peer.fingerprint);
}

static int prepare(struct receive *r, struct err *e)
{
    int rc = signals_fire(&r->cancel, e);

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
    return rc;
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
    };
    const struct measured_params p = {
        .router_sock = r->build.lanes.router_sock,
        .session = &session,
        .log = &r->in.log,
    };
    int rc = signals_fire(&r->cancel, e);

    if (!rc && !r->o->insecure)
        rc = tls_open(&session.tls, r->o->config_dir, e);
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
    if (r->in.asked)
        return answer_question(&r->in, &r->xl);
    return r->in.offer.measure ? answer_measurement(r, e) : receive_domain(r, e);
}

/* The source takes the end of its connection for a goodbye: the guest can be moved on then. */
static void clean_up(struct receive *r)
{
    build_clear(&r->build);
    incoming_close(&r->in);
    journal_keep(&r->journal);
    xl_config_dispose(&r->admission.config);
    if (r->xl.ctx)
        xl_close(&r->xl);
    explicit_bzero(r->accept.key, sizeof(r->accept.key));
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
        .state = HANDOFF_COMING,
        .build = {.in = &r->in,
            .xl = &r->xl,
            .admission = &r->admission,
            .journal = &r->journal,
            .lanes = {.router_sock = router_sock},
            .lock = {.fd = -1}},
    };
    incoming_init(&r->in, o, log, &r->cancel);
    xl_config_init(&r->admission.config);
    if (cancel_init(&r->cancel, &e)) {
        log_error(log, "%s", e.text);
        return EXIT_FAILED;
    }

    int code = serve(r, fd, caller, &e);

    /* A restore that did not end still uses what would be freed here. */
    if (r->build.op.async)
        return code;
    clean_up(r);
    if (code == EXIT_DONE && !r->in.offer.measure && !r->in.asked) {
        e = (struct err)ERR_INIT;
        monitor_become(r->build.domid, r->in.offer.uuid, &e);
        log_error(log, "%s", e.text);
        code = EXIT_FAILED;
    }
    signals_reset();
    cancel_destroy(&r->cancel);
    free(r);
    return code;
}
