/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/recover.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/machine.h"
#include "cmd/handoff/names.h"
#include "cmd/lock.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/handoff/ask_xen.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/handoff/copy.h"
#include "cmd/xmigrate/handoff/filed.h"
#include "cmd/xmigrate/handoff/rename.h"
#include "cmd/xmigrate/handoff/sweep.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/rescue.h"
#include "engine/xen/suspend.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A helper whose supervisor was killed cleans up itself; it is given this long. */
#define HELPER_LIMIT_NS (SUSPEND_END_NS + 15 * NS_PER_S)

/* A guest may stand still until xenstored has accepted a connection, or does not. */
#define XL_OPEN_NS (3 * NS_PER_S)

/* --- xmigrate --recover --- */

struct recovery {
    struct xl *xl;
    const struct log *log;
    const struct recover_peer *peer;     /* NULL: nobody can be asked */
    const struct recover_report *report; /* NULL: nobody is told */
    int exit_code;
    bool revives; /* a guest is in a file and nowhere else, */
    bool brief;   /* and stays there */
    int late_fd;  /* the last of copy_destroy()'s */

    /* The one at hand. */
    struct journal *journal;
    struct xl_domain copy; /* ours, unless there is none */
    enum handoff_state next;
};

static void raise_exit(struct recovery *r, int code)
{
    if (code > r->exit_code)
        r->exit_code = code;
}

/* The helper's lock, once it has finished its own cleanup. */
static int wait_for_lock(struct domain_lock *lock, uint32_t domid, struct err *e)
{
    const int64_t deadline_ns = deadline_in(HELPER_LIMIT_NS);

    for (;;) {
        struct err busy = ERR_INIT;
        const int rc = domain_lock_take(lock, domid, &busy);

        if (rc != -EBUSY || deadline_passed(deadline_ns))
            return rc ? err_take(e, &busy) : 0;
        sleep_until_ns(deadline_in(100 * NS_PER_MS));
    }
}

/* Xen alone is asked: the guest may stand still, and xenstored hang. */
static int find_departed(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    enum rescue_status status;
    const int rc = ask_xen(r->log, s->domid, s->uuid, &status, e);

    if (rc)
        return rc;
    r->copy.domid = s->domid;
    r->copy.shut_down = status == RESCUE_SUSPENDED || status == RESCUE_SHUT_DOWN;
    return status == RESCUE_GONE ? -ESRCH : 0;
}

/* Of what an earlier boot of this host had half-built nothing is left, and the guest itself may
 * have its number. */
static int find_half_built(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    char name[XL_NAME_BYTES + sizeof(HANDOFF_INCOMING)];
    int rc;

    if (!journal_is_of_this_boot(s))
        return -ESRCH;
    snprintf(name, sizeof(name), "%s%s", s->name, HANDOFF_INCOMING);
    rc = copy_find(r->xl, name, s->uuid, s->domid, &r->copy.domid, e);
    if (!rc)
        rc = xl_look_at(r->xl, r->copy.domid, s->uuid, &r->copy, e);
    /* A guest that was restored from a file is whole once it has its name. One that another host
     * sends is not before it is taken, whatever somebody calls it. */
    return !rc && !s->session[0] && !strcmp(r->copy.name, s->name) ? -ESRCH : rc;
}

/* -ESRCH without an error when there is none. */
static int find_copy(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    struct err why = ERR_INIT;
    int rc;

    r->copy = (struct xl_domain){0};
    if (journal_is_past(r->journal))
        return -ESRCH;
    if (s->role == HANDOFF_SOURCE)
        rc = find_departed(r, &why);
    else if (s->state == HANDOFF_COMING || s->state == HANDOFF_READY)
        rc = find_half_built(r, &why);
    else
        rc = xl_look_at(r->xl, s->domid, s->uuid, &r->copy, &why);
    if (rc)
        r->copy = (struct xl_domain){0};
    return rc && rc != -ESRCH ? err_take(e, &why) : rc;
}

static enum handoff_event what_was_found(const struct recovery *r, bool there)
{
    if (!there)
        return HANDOFF_FOUND_NONE;

    /* A copy that was paused later has run nevertheless. */
    const bool stopped = r->journal->now.role == HANDOFF_SOURCE ? r->copy.shut_down
                                                                : r->copy.paused && !r->copy.cpu_ns;

    return stopped ? HANDOFF_FOUND_STOPPED : HANDOFF_FOUND_RUNNING;
}

/* --- what the machine may ask for --- */

static void say_resumed(
    const struct recovery *r, const struct journal_record *s, enum brought_back found)
{
    if (found == BACK_GONE)
        log_info(r->log, "\"%s\" (domain %u) is gone; nothing to do", s->name, s->domid);
    else if (found == BACK_RESUMED)
        log_info(r->log,
            "\"%s\" (domain %u) was left suspended on its way to %s: it is resumed here", s->name,
            s->domid, s->peer);
    else if (found == BACK_CONTINUED)
        log_info(r->log,
            "\"%s\" (domain %u) stays here; its device model was left paused and runs on", s->name,
            s->domid);
    else
        log_info(r->log, "\"%s\" (domain %u) stays here%s", s->name, s->domid,
            !s->logging                ? ""
            : s->cap == JOURNAL_NO_CAP ? ", its log-dirty mode is off"
                                       : ", its log-dirty mode is off and its cap as it was");
}

static int resume_left(void *arg, struct err *e)
{
    struct recovery *r = arg;
    const struct journal_record *s = &r->journal->now;
    struct domain_lock lock;
    enum brought_back found;
    int rc = wait_for_lock(&lock, s->domid, e);

    if (rc)
        return rc;
    rc = bring_back_guest(r->xl, s, &lock, &found, e);
    if (brought_back_runs(found) && bring_back_name(r->xl, s, e))
        rc = -e->code;
    /* Resumed by its helper, which starts no monitor. */
    if (!rc && (found == BACK_RUNNING || found == BACK_CONTINUED) && s->suspending)
        rc = monitor_start(s->domid, s->uuid, e);
    domain_lock_release(&lock);
    if (!rc)
        say_resumed(r, s, found);
    return rc;
}

static int take_back(void *arg, struct err *e)
{
    struct recovery *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    r->journal->now.state = HANDOFF_LIVE;
    if (journal_save(r->journal, &none))
        log_warn(r->log, "%s", none.text);
    return 0;
}

static int pass_on(void *arg, struct err *e)
{
    struct recovery *r = arg;

    (void)e;
    recover_pass_on(r->log, r->journal->now.uuid, r->journal->now.session, r->journal->now.peer);
    return 0;
}

static int give_up_name(void *arg, struct err *e)
{
    struct recovery *r = arg;
    const struct journal_record *s = &r->journal->now;
    struct err none = ERR_INIT;
    struct xl_domain d;

    (void)e;
    if (!xl_look_at(r->xl, s->domid, s->uuid, &d, &none))
        rename_away(r->xl, d.domid, d.name, s->name);
    else
        log_warn(r->log, "%s", none.text);
    return 0;
}

static int take_own_name(void *arg, struct err *e)
{
    struct recovery *r = arg;

    (void)e;
    rename_own(r->xl, r->copy.domid, r->copy.name, r->journal->now.name);
    return 0;
}

static int send_heard(void *arg, struct err *e)
{
    struct recovery *r = arg;

    (void)e;
    r->peer->heard(r->peer->arg);
    return 0;
}

static int record(void *arg, struct err *e)
{
    struct recovery *r = arg;

    r->journal->now.state = r->next;
    return journal_save(r->journal, e);
}

/* That a taken copy has not run yet is not enough: it must never run. */
static int hold(void *arg, struct err *e)
{
    struct recovery *r = arg;
    bool has_run = false;
    struct xen x;
    int rc = xen_open(&x, r->log, e);

    if (rc)
        return rc;
    rc = rescue_hold(&x, r->copy.domid, &has_run, e);
    xen_close(&x);
    if (!rc && has_run)
        rc = err_set(e, ERR_LOCAL, EBUSY, "domain %u has just been started", r->copy.domid);
    return rc;
}

static int destroy_half_built(void *arg, struct err *e)
{
    struct recovery *r = arg;
    int late_fd;
    const int rc = copy_destroy(r->xl, r->copy.domid, r->journal->now.state, &late_fd, e);

    if (late_fd >= 0)
        r->late_fd = late_fd;
    if (!rc)
        log_info(r->log, "\"%s\" (domain %u), half-built for a migration from %s, is destroyed",
            r->copy.name, r->copy.domid, r->journal->now.peer);
    return rc;
}

static int destroy_old(void *arg, struct err *e)
{
    struct recovery *r = arg;
    const int rc = xl_destroy(r->xl, r->copy.domid, e);

    if (!rc)
        log_info(r->log, "\"%s\" (domain %u) %s %s: its copy here is destroyed",
            r->journal->now.name, r->copy.domid,
            filed_is(&r->journal->now) ? "is saved in" : "has run since on", r->journal->now.peer);
    return rc;
}

/* A guest without a monitor is no reason to keep the record. */
static int start_monitor(void *arg, struct err *e)
{
    struct recovery *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    if (monitor_start(r->copy.domid, r->copy.uuid, &none))
        log_error(r->log, "%s", none.text);
    return 0;
}

static int forget(void *arg, struct err *e)
{
    struct recovery *r = arg;

    (void)e;
    r->revives |= filed_is_revived(&r->journal->now);
    if (!filed_is_revived(&r->journal->now))
        journal_remove(r->journal);
    return 0;
}

static int advise(void *arg, struct err *e)
{
    struct recovery *r = arg;
    char text[ADVICE_BYTES];

    (void)e;
    handoff_advice(&r->journal->now, r->copy.domid, text);
    log_warn(r->log, "%s", text);
    raise_exit(r, EXIT_DOUBT);
    return 0;
}

/* --- one after the other --- */

/* What was found settles it, or leaves nothing to do. */
static void say_found(const struct recovery *r, enum handoff_event event)
{
    const struct journal_record *s = &r->journal->now;
    const bool none = event == HANDOFF_FOUND_NONE;

    if (s->state == HANDOFF_LIVE && none)
        say_resumed(r, s, BACK_GONE);
    else if (s->state == HANDOFF_GIVEN && none)
        log_info(r->log, "\"%s\" was given to %s and is gone here", s->name, s->peer);
    else if (s->state == HANDOFF_GIVEN && event == HANDOFF_FOUND_RUNNING)
        log_info(r->log, "\"%s\" (domain %u) was given to %s but runs here", s->name, r->copy.domid,
            s->peer);
    else if ((s->state == HANDOFF_COMING || s->state == HANDOFF_READY) && none)
        log_info(r->log, "of \"%s\" from %s nothing is left here", s->name, s->peer);
}

/* States that stay on record for the source to ask about. */
static void say_history(const struct recovery *r)
{
    char text[ADVICE_BYTES];

    if (r->journal->lock_fd < 0 || r->journal->now.role != HANDOFF_DESTINATION ||
        handoff_is_in_doubt(r->next))
        return;
    handoff_history(&r->journal->now, text);
    log_info(r->log, "%s", text);
}

/* What the move has changed of a guest that was given away and is still there: it may have been
 * slowed down, and if it runs, somebody else resumed it who knows nothing of its log-dirty mode. */
static void put_given_right(struct recovery *r, enum handoff_event event)
{
    const struct journal_record *s = &r->journal->now;
    struct err e = ERR_INIT;

    if (s->state != HANDOFF_GIVEN || event == HANDOFF_FOUND_NONE)
        return;
    bring_back_cap(r->xl, s, &e);
    if (event == HANDOFF_FOUND_RUNNING)
        bring_back_unlogged(r->xl, s, &e);
    if (err_is_set(&e))
        log_error(r->log, "%s", e.text);
}

static int take_step(struct recovery *r, enum handoff_event event, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_HOLD)] = hold,
        [HANDOFF_INDEX(HANDOFF_RECORD)] = record,
        [HANDOFF_INDEX(HANDOFF_TAKE_BACK)] = take_back,
        [HANDOFF_INDEX(HANDOFF_RESUME)] = resume_left,
        [HANDOFF_INDEX(HANDOFF_PASS_ON)] = pass_on,
        [HANDOFF_INDEX(HANDOFF_RENAME_AWAY)] = give_up_name,
        [HANDOFF_INDEX(HANDOFF_RENAME_OWN)] = take_own_name,
        [HANDOFF_INDEX(HANDOFF_SEND_HEARD)] = send_heard,
        [HANDOFF_INDEX(HANDOFF_UNBUILD)] = destroy_half_built,
        [HANDOFF_INDEX(HANDOFF_DESTROY)] = destroy_old,
        [HANDOFF_INDEX(HANDOFF_MONITOR)] = start_monitor,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = advise,
    };
    const struct journal_record *s = &r->journal->now;
    const struct handoff_step step = handoff_next(s->role, s->state, event);

    r->next = step.next;
    return handoff_carry_out(step, doers, r, e);
}

/* Go by what Xen says of our copy; if that settles nothing, by what the other end says. */
static int settle(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    enum handoff_event event;
    int rc = find_copy(r, e);

    if (rc && rc != -ESRCH)
        return rc;
    event = what_was_found(r, !rc);
    say_found(r, event);
    put_given_right(r, event);
    if (r->peer && s->state == HANDOFF_GIVEN && event == HANDOFF_FOUND_STOPPED)
        event = r->peer->ask(r->peer->arg, s);
    if (s->state == HANDOFF_MOVED && filed_is(s) && event != HANDOFF_FOUND_RUNNING &&
        filed_publish(r->log, s, e))
        return -e->code;
    rc = take_step(r, event, e);
    if (!rc && r->next == HANDOFF_BACK)
        filed_drop(s);
    return rc;
}

static void recover_one(void *arg, struct journal *j)
{
    struct recovery *r = arg;
    const struct journal_record before = j->now;
    struct err e = ERR_INIT;

    r->journal = j;
    r->next = before.state;
    if (settle(r, &e)) {
        log_error(r->log, "\"%s\": %s", j->now.name, e.text);
        raise_exit(r, EXIT_FAILED);
    } else {
        say_history(r);
    }
    if (r->report)
        r->report->settled(r->report->arg, &before, r->next, err_is_set(&e) ? &e : NULL);
    journal_keep(j); /* unless it was forgotten */
}

int recover_answer(struct xl *xl, const struct log *log, struct journal *j, struct err *e)
{
    struct recovery r = {.xl = xl, .log = log, .journal = j};
    int rc = 0;

    if (j->now.state == HANDOFF_COMING) {
        rc = take_step(&r, HANDOFF_PEER_ASKS, e);
        j->now.state = r.next;
    }
    if (!rc)
        rc = settle(&r, e);
    return rc || j->now.state != HANDOFF_TAKEN ? rc : take_step(&r, HANDOFF_PEER_ASKS, e);
}

int recover_heard(struct xl *xl, const struct log *log, struct journal *j, struct err *e)
{
    struct recovery r = {.xl = xl, .log = log, .journal = j};
    const int rc = find_copy(&r, e);

    return rc && rc != -ESRCH ? rc : take_step(&r, HANDOFF_HEARD_CAME, e);
}

void recover_pass_on(
    const struct log *log, const char *uuid, const char *session, const char *where)
{
    struct journal came;
    struct err none = ERR_INIT;
    struct handoff_step step;

    if (journal_open(&came, HANDOFF_DESTINATION, uuid, &none))
        return;
    step = handoff_next(HANDOFF_DESTINATION, came.now.state, HANDOFF_PASSED_ON);
    if (strcmp(came.now.session, session) && (step.actions & HANDOFF_RECORD)) {
        came.now.state = step.next;
        snprintf(came.now.moved_to, sizeof(came.now.moved_to), "%s", where);
        if (journal_save(&came, &none))
            log_warn(log, "%s", none.text);
    }
    journal_keep(&came);
}

/* Visit only records that the other end has to be asked about, and only that domain, given by name
 * or number. */
struct choice {
    struct recovery r;
    const char *dom; /* NULL: all */
    bool given;      /* those that were given away, or those that need nobody else's answer */
    unsigned count;
};

static void settle_if_given(void *arg, struct journal *j)
{
    struct choice *c = arg;
    char domid[12], away[JOURNAL_NAME_BYTES + sizeof(HANDOFF_AWAY)];

    snprintf(domid, sizeof(domid), "%u", j->now.domid);
    snprintf(away, sizeof(away), "%s%s", j->now.name, HANDOFF_AWAY);
    if (j->now.role != HANDOFF_SOURCE || (j->now.state == HANDOFF_GIVEN) != c->given ||
        (c->dom && strcmp(c->dom, domid) && strcmp(c->dom, j->now.name) && strcmp(c->dom, away))) {
        journal_keep(j);
        return;
    }
    c->count++;
    recover_one(&c->r, j);
}

static void say_nothing(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

/* A guest that stands still here must not wait until other hosts have answered for others. */
static int settle_all(struct recovery *r, struct choice *c, struct err *e)
{
    /* What makes no sense is said once. */
    const struct log quiet = {.max = LOG_ERROR, .write = say_nothing};

    c->r = *r;

    int rc = journal_visit_orphans(&quiet, settle_if_given, c, e);

    c->given = true;
    if (rc >= 0)
        rc = journal_visit_orphans(r->log, settle_if_given, c, e);
    *r = c->r;
    return rc;
}

static int recover_all(struct recovery *r, const char *dom, struct err *e)
{
    struct choice c = {.dom = dom};
    int rc = r->peer ? settle_all(r, &c, e) : journal_visit_orphans(r->log, recover_one, r, e);

    if (rc < 0)
        return rc;
    if (rc > 0 && !(dom && c.count))
        r->exit_code = EXIT_DOUBT;
    else if (dom && !c.count)
        return err_set(e, ERR_REFUSED, ESRCH,
            "no migration of \"%s\" from this host is open: there is nothing to settle", dom);
    return 0;
}

/* With a dead xenstored there is no libxl, and still a guest to be resumed. */
static int open_toolstack(struct recovery *r, struct err *e)
{
    struct err why = ERR_INIT, none = ERR_INIT;
    struct xen x;
    const int rc = xl_open(r->xl, r->log, deadline_in(XL_OPEN_NS), &why);

    if (!rc)
        return 0;
    if (xen_open(&x, r->log, &none))
        return err_take(e, &why);
    xen_close(&x);
    log_warn(r->log, "%s; doing what can be done without libxl", why.text);
    return 0;
}

static int recover_with(struct recovery r, const char *dom)
{
    struct xl xl = {.log = r.log};
    struct err e = ERR_INIT;
    int rc = xl_prepare_process(&e);

    r.xl = &xl;
    r.exit_code = EXIT_DONE;
    r.late_fd = -1;
    if (!rc)
        rc = open_toolstack(&r, &e);
    if (!rc) {
        rc = recover_all(&r, dom, &e);
        if (r.revives && !r.brief && !filed_revive_all(&xl, r.log))
            raise_exit(&r, EXIT_DOUBT);
        if (!r.brief)
            copy_await_libxl(r.log, r.late_fd);
        if (xl.ctx)
            xl_close(&xl);
        sweep_dead();
    }
    if (!rc)
        return r.exit_code;
    log_error(r.log, "%s", e.text);
    return EXIT_REFUSED;
}

int recover_main(const struct log *log)
{
    return recover_with((struct recovery){.log = log}, NULL);
}

int recover_briefly(const struct log *log)
{
    return recover_with((struct recovery){.log = log, .brief = true}, NULL);
}

int recover_reporting(const struct recover_report *report, const struct log *log)
{
    return recover_with((struct recovery){.log = log, .report = report}, NULL);
}

int recover_given(const struct recover_peer *peer, const char *dom, const struct log *log)
{
    return recover_with((struct recovery){.log = log, .peer = peer}, dom);
}
