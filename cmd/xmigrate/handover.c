/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"
#include "base/units.h"
#include "cmd/handoff/advice.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/handoff/copy.h"
#include "cmd/xmigrate/handoff/rename.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/receive_private.h"
#include "engine/xen/domain.h"
#include "engine/xen/rescue.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A disk that takes so long is what made it late. */
#define SLOW_SAVE_NS NS_PER_S
/* The guest stands still, and the source takes it back when this takes longer. */
#define UNPAUSE_NS (4 * NS_PER_S)
/* The guest connects its devices again, which takes this host's processor, if it has but one. */
#define CONNECTING_NS (300 * NS_PER_MS)

/* --- what the machine may ask for --- */

/* "Taken" is on disk, and that is enough for a running guest: Xen tells the rest. */
static int record(void *arg, struct err *e)
{
    struct receive *r = arg;
    struct err here = ERR_INIT;

    r->journal.now.state = r->state;

    const int rc = journal_save(&r->journal, &here);

    if (rc && r->state != HANDOFF_STARTED)
        return err_take(e, &here);
    if (rc)
        log_warn(&r->in.log, "%s", here.text);
    return 0;
}

static int note(void *arg, struct err *e)
{
    struct receive *r = arg;

    r->journal.now.state = r->state;
    return journal_note(&r->journal, e);
}

static int64_t boottime_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int send_ready(void *arg, struct err *e)
{
    struct receive *r = arg;
    struct message_ready ready = {
        .domid = r->build.domid,
        .finish_ns = now_ns() - r->build.helper_done_ns,
    };

    admin_note_phase(r->admin, "ready");
    memcpy(r->mark.journal, r->accept.journal, sizeof(r->mark.journal));
    memcpy(r->mark.boot, r->journal.boot, sizeof(r->mark.boot));
    r->mark.clock_ns = boottime_ns();
    ready.mark = r->mark;
    return message_send_ready(&r->in.control, &ready, e);
}

static int take_own_name(void *arg, struct err *e)
{
    struct receive *r = arg;

    (void)e;
    rename_own(&r->xl, r->build.domid, r->admission.name, r->in.offer.name);
    return 0;
}

/* Nobody else checks: once it has sent GO, the source waits for our word. */
static int check_limit(void *arg, struct err *e)
{
    struct receive *r = arg;
    char took[UNITS_TEXT_BYTES];

    if (boottime_ns() <= r->start_limit_ns) {
        if (!admin_may_give(r->admin))
            return err_set(e, ERR_CANCELLED, ECANCELED, "%s", admin_why_stopped(r->admin));
        admin_note_phase(r->admin, "taken");
        return 0;
    }
    if (r->journal.slowest_save_ns >= SLOW_SAVE_NS)
        return err_set(e, ERR_PEER, ETIMEDOUT,
            "it could not be started within the limit (--start-timeout) and was given back: the "
            "destination's disk took %s to sync %s",
            format_duration(r->journal.slowest_save_ns, took), r->journal.path);
    return err_set(e, ERR_PEER, ETIMEDOUT,
        "it could not be started within the limit (--start-timeout) and was given back");
}

/* libxl did not return from the unpause and may still carry it out, or failed half-way. FAILED lets
 * the guest run on at the source, so it must not have run here and never may. Returns whether it
 * runs. */
static bool hold_guest(struct receive *r)
{
    struct err e = ERR_INIT;
    bool has_run = false;
    const int rc = rescue_hold(&r->build.xen, r->build.domid, &has_run, &e);

    r->may_run = rc != 0;
    if (rc)
        log_error(&r->in.log, "%s", e.text);
    return !rc && has_run;
}

/* libxl wakes a device model, too, which may be slow. */
static int64_t unpause_limit_ns(const struct receive *r)
{
    return deadline_in(
        r->admission.config.c_info.type == LIBXL_DOMAIN_TYPE_HVM ? XL_SHORT_NS : UNPAUSE_NS);
}

/* What is on disk must not say less than the source is told: nobody could see that it runs. */
static int keep_paused(struct receive *r, struct err *e)
{
    r->journal.now.state = HANDOFF_STARTED;
    return journal_save(&r->journal, e);
}

static int unpause(void *arg, struct err *e)
{
    struct receive *r = arg;
    struct build *b = &r->build;

    int rc = early_model_check(&b->model, e);

    if (!rc && r->in.offer.paused)
        return keep_paused(r, e);
    /* libxl would ask xenstored what it is, and have a device model run. One that was started early
     * runs since it has loaded its state. */
    if (!rc)
        rc = b->op.built ? domain_unpause(&b->xen, b->domid, e)
                         : xl_unpause(&r->xl, b->domid, unpause_limit_ns(r), e);

    if (rc && hold_guest(r)) {
        *e = (struct err)ERR_INIT;
        return 0;
    }
    return rc;
}

/* libxl destroys what it could not finish. This checks, and destroys the copy if libxl had finished
 * it. */
static int destroy_copy(void *arg, struct err *e)
{
    struct receive *r = arg;
    uint32_t domid;
    const int rc = copy_find(&r->xl, r->admission.name, r->in.offer.uuid,
        r->build.domid ? r->build.domid : JOURNAL_NO_DOMID, &domid, e);

    if (rc)
        return rc == -ESRCH ? 0 : rc;
    return copy_destroy(&r->xl, domid, r->journal.now.state, &r->late_fd, e);
}

static int forget(void *arg, struct err *e)
{
    struct receive *r = arg;

    (void)e;
    journal_remove(&r->journal);
    return 0;
}

/* Only sent when our copy is gone. One line gives the cause. */
static int send_failed(void *arg, struct err *e)
{
    struct receive *r = arg;

    (void)e;
    log_error(&r->in.log, "%s", r->why->text);
    r->heard = incoming_tell_failure(&r->in, CONTROL_FAILED, r->why);
    return 0;
}

/* It runs, whatever becomes of our word. */
static void announce(struct receive *r)
{
    int *fd = &r->build.announce_fd;
    struct err e = ERR_INIT;

    if (r->o->announce && *fd < 0)
        announce_prepare(r->build.domid, &r->admission.config, fd, &e);
    if (*fd >= 0)
        announce_now(*fd, &e);
    *fd = -1;
    if (err_is_set(&e))
        log_warn(&r->in.log, "%s", e.text);
}

static int send_started(void *arg, struct err *e)
{
    struct receive *r = arg;
    const struct message_started started = {
        .domid = r->build.domid,
        .start_ns = r->start_took_ns,
        .save_ns = r->journal.decisive_save_ns,
    };
    const int rc = message_send_started(&r->in.control, &started, e);

    announce(r);
    if (!rc)
        r->heard = incoming_await_heard(&r->in);
    return rc;
}

static int advise(void *arg, struct err *e)
{
    struct receive *r = arg;
    char text[ADVICE_BYTES];

    (void)e;
    if (err_is_set(r->why))
        log_error(&r->in.log, "%s", r->why->text);
    handoff_advice(&r->journal.now, r->build.domid, text);
    log_error(&r->in.log, "%s", text);
    journal_keep(&r->journal);
    return 0;
}

static int take_step(struct receive *r, enum handoff_event event, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_RECORD)] = record,
        [HANDOFF_INDEX(HANDOFF_NOTE)] = note,
        [HANDOFF_INDEX(HANDOFF_CHECK_LIMIT)] = check_limit,
        [HANDOFF_INDEX(HANDOFF_SEND_READY)] = send_ready,
        [HANDOFF_INDEX(HANDOFF_RENAME_OWN)] = take_own_name,
        [HANDOFF_INDEX(HANDOFF_UNPAUSE)] = unpause,
        [HANDOFF_INDEX(HANDOFF_SEND_STARTED)] = send_started,
        [HANDOFF_INDEX(HANDOFF_UNBUILD)] = destroy_copy,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget,
        [HANDOFF_INDEX(HANDOFF_SEND_FAILED)] = send_failed,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = advise,
    };
    const struct handoff_step step = handoff_next(HANDOFF_DESTINATION, r->state, event);

    r->state = step.next;
    return handoff_carry_out(step, doers, r, e);
}

/* --- the story --- */

/* One that was built early, without libxl, which takes its time. */
static int check_built_early(struct receive *r, struct err *e)
{
    struct build *b = &r->build;
    enum rescue_status status;
    uint8_t uuid[16];
    int rc;

    if (!journal_uuid_bytes(r->in.offer.uuid, uuid))
        return err_set(e, ERR_INTERNAL, EINVAL, "\"%s\" is no UUID", r->in.offer.uuid);
    rc = rescue_query(&b->xen, b->domid, uuid, &status, e);
    if (!rc && status != RESCUE_RUNNING)
        return err_set(e, ERR_LOCAL, EIO, "the domain that libxl built is no more");
    return rc ? rc : domain_check_paused(&b->xen, b->domid, e);
}

static int check_built(struct receive *r, struct err *e)
{
    struct xl_domain d;
    int rc = xl_look_at(&r->xl, r->build.domid, r->in.offer.uuid, &d, e);

    if (!rc && (d.dying || d.shut_down || !d.paused))
        rc = err_set(
            e, ERR_LOCAL, EIO, "the domain that libxl built is not paused as it should be");
    return rc;
}

static int take_go(struct receive *r, const void *body, size_t len_bytes, struct err *e)
{
    struct message_go go;
    const int rc = message_parse_go(body, len_bytes, &go, e);

    if (rc)
        return rc;
    if (strcmp(go.mark.journal, r->mark.journal) || strcmp(go.mark.boot, r->mark.boot) ||
        go.mark.clock_ns != r->mark.clock_ns)
        return err_set(
            e, ERR_PEER, EPROTO, "%s sent a GO that answers no READY of ours", r->in.who);
    r->start_limit_ns = r->mark.clock_ns + deadline_earlier(go.within_ns, r->o->start_ns);
    return 0;
}

int receive_await_go(struct receive *r, struct err *e)
{
    const void *body;
    size_t len_bytes;
    const bool early = r->build.op.built;
    int rc = early ? 0 : check_built(r, e);

    if (!rc)
        rc = take_step(r, HANDOFF_BUILT, e);
    /* While READY and GO are on their way: what the engine needs it has looked at itself. */
    if (!rc && early)
        rc = check_built_early(r, e);
    newcomer_unclaim(&r->newcomer, &r->build.xen, &r->in.log);
    if (!rc)
        rc = build_await_go(&r->build, &body, &len_bytes, deadline_in(r->o->start_ns), e);
    return rc ? rc : take_go(r, body, len_bytes, e);
}

/* Either the source has heard our word, or we remember it until it asks. */
static void conclude(struct receive *r)
{
    struct err e = ERR_INIT;

    if (take_step(r, r->heard ? HANDOFF_HEARD_CAME : HANDOFF_UNHEARD, &e))
        log_error(&r->in.log, "%s", e.text);
    journal_keep(&r->journal);
}

/* What is left to do can wait, and the source waits for it without a hurry. */
static void let_it_wake(const struct receive *r)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
        sleep_until_ns(r->runs_ns + CONNECTING_NS);
}

int receive_hand_over(struct receive *r, int64_t ready_took_ns)
{
    const int64_t go_ns = now_ns();
    struct err e = ERR_INIT;

    if (take_step(r, HANDOFF_GO_CAME, &e))
        return receive_give_up(r, &e);
    r->runs_ns = now_ns();
    r->start_took_ns = r->runs_ns - go_ns;
    take_step(r, HANDOFF_RUNS, &e);
    let_it_wake(r);
    log_info(&r->in.log, "%s here as domain %u, from %s",
        r->in.offer.paused ? "is left paused" : "runs", r->build.domid, r->in.who);
    event_tell(
        &r->events, json_pack("{s:s, s:s, s:i, s:s, s:b, s:I}", "event", "runs", "domain",
                        r->in.offer.name, "domid", (int)r->build.domid, "uuid", r->in.offer.uuid,
                        "paused", r->in.offer.paused, "start_ns", (json_int_t)r->start_took_ns));
    r->why = &e;
    conclude(r);
    e = (struct err)ERR_INIT;

    const struct expect_guest guest = receive_expected(r);

    if (expect_learn_finish(
            &guest, r->build.engine_finish_ns + ready_took_ns + r->start_took_ns, &e))
        log_debug(&r->in.log, "%s", e.text);
    return EXIT_DONE;
}

int receive_give_up(struct receive *r, struct err *why)
{
    struct err e = ERR_INIT;

    if (!build_stop(&r->build, why)) {
        /* Its threads die with this process; --recover takes care of what it made. */
        log_error(&r->in.log, "%s; libxl does not end what it was doing: run xmigrate --recover",
            why->text);
        journal_keep(&r->journal);
        return EXIT_FAILED;
    }
    r->why = why;
    if (take_step(r, r->may_run ? HANDOFF_UNSURE : HANDOFF_TROUBLE, &e)) {
        log_error(
            &r->in.log, "%s; removing what came: %s; run xmigrate --recover", why->text, e.text);
        journal_keep(&r->journal);
        return EXIT_DOUBT;
    }
    if (r->state != HANDOFF_GONE)
        return EXIT_DOUBT;
    conclude(r);
    copy_await_libxl(&r->in.log, r->late_fd);
    return EXIT_FAILED;
}
