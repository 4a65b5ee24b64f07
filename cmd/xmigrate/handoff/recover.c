/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/recover.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/machine.h"
#include "cmd/handoff/names.h"
#include "cmd/lock.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/handoff/filed.h"
#include "cmd/xmigrate/handoff/rename.h"
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

/* --- xmigrate --recover --- */

struct recovery {
    struct xl *xl;
    const struct log *log;
    const struct recover_peer *peer; /* NULL: nobody can be asked */
    int exit_code;

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

/* -ESRCH without an error when there is none. Before GO the name tells our copy, whose number may
 * not be on record yet, from the original, when a guest moves within one host. */
static int find_copy(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    char name[XL_NAME_BYTES + sizeof(HANDOFF_INCOMING)];
    struct err none = ERR_INIT;
    int rc;

    if (journal_is_past(r->journal)) {
        rc = -ESRCH;
    } else if (s->state == HANDOFF_COMING || s->state == HANDOFF_READY) {
        snprintf(name, sizeof(name), "%s%s", s->name, HANDOFF_INCOMING);
        rc = xl_by_name(r->xl, name, &r->copy, &none);
        if (!rc && (strcmp(r->copy.uuid, s->uuid) ||
                       (s->domid != JOURNAL_NO_DOMID && s->domid != r->copy.domid)))
            rc = -ESRCH;
    } else {
        rc = xl_look_at(r->xl, s->domid, s->uuid, &r->copy, &none);
    }
    if (rc)
        r->copy = (struct xl_domain){0};
    return rc && rc != -ESRCH ? err_take(e, &none) : rc;
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

    (void)e;
    rename_away(r->xl, r->copy.domid, r->copy.name, r->journal->now.name);
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
    const int rc = xl_destroy(r->xl, r->copy.domid, e);

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
        log_info(r->log, "\"%s\" (domain %u) %s %s: its copy here is destroyed", r->copy.name,
            r->copy.domid, filed_is(&r->journal->now) ? "is saved in" : "has run since on",
            r->journal->now.peer);
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
        log_info(r->log, "\"%s\" (domain %u) was given to %s but runs here", r->copy.name,
            r->copy.domid, s->peer);
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

/* The guest may have been slowed down when everybody died. */
static void put_given_cap_back(struct recovery *r, enum handoff_event event)
{
    const struct journal_record *s = &r->journal->now;
    struct err e = ERR_INIT;

    if (s->state == HANDOFF_GIVEN && event != HANDOFF_FOUND_NONE && bring_back_cap(r->xl, s, &e))
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
    put_given_cap_back(r, event);
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
    struct err e = ERR_INIT;

    r->journal = j;
    if (settle(r, &e)) {
        log_error(r->log, "\"%s\": %s", j->now.name, e.text);
        raise_exit(r, EXIT_FAILED);
    } else {
        say_history(r);
    }
    journal_keep(j); /* unless it was forgotten */
}

/* PREFIX and a process's number, of processes that were killed. */
static void remove_of_dead(const char *dir, const char *prefix)
{
    const size_t len = strlen(prefix);
    DIR *d = opendir(dir);

    for (const struct dirent *entry; d && (entry = readdir(d));) {
        uint64_t pid;

        if (!strncmp(entry->d_name, prefix, len) &&
            parse_u64(entry->d_name + len, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) &&
            errno == ESRCH)
            unlinkat(dirfd(d), entry->d_name, 0);
    }
    if (d)
        closedir(d);
}

/* The meeting places of supervisors and helpers, and a journal's id that was not yet its. */
static void remove_files_of_dead(void)
{
    struct err ignored = ERR_INIT;
    char dir[PATHS_BYTES];

    if (!open_run_dir(dir, &ignored))
        remove_of_dead(dir, "link-");
    if (!open_state_dir(dir, &ignored))
        remove_of_dead(dir, "id.");
    journal_sweep();
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
    unsigned count;
};

static void settle_if_given(void *arg, struct journal *j)
{
    struct choice *c = arg;
    char domid[12], away[JOURNAL_NAME_BYTES + sizeof(HANDOFF_AWAY)];

    snprintf(domid, sizeof(domid), "%u", j->now.domid);
    snprintf(away, sizeof(away), "%s%s", j->now.name, HANDOFF_AWAY);
    if (j->now.role != HANDOFF_SOURCE ||
        (c->dom && strcmp(c->dom, domid) && strcmp(c->dom, j->now.name) && strcmp(c->dom, away))) {
        journal_keep(j);
        return;
    }
    c->count++;
    recover_one(&c->r, j);
}

static int recover_all(struct recovery *r, const char *dom, struct err *e)
{
    struct choice c = {.r = *r, .dom = dom};
    int rc = r->peer ? journal_visit_orphans(r->log, settle_if_given, &c, e)
                     : journal_visit_orphans(r->log, recover_one, r, e);

    if (r->peer)
        *r = c.r;
    if (rc < 0)
        return rc;
    if (rc > 0 && !(dom && c.count))
        r->exit_code = EXIT_DOUBT;
    else if (dom && !c.count)
        return err_set(e, ERR_REFUSED, ESRCH,
            "no migration of \"%s\" from this host is open: there is nothing to settle", dom);
    return 0;
}

static int recover_with(const struct recover_peer *peer, const char *dom, const struct log *log)
{
    struct xl xl;
    struct recovery r = {.xl = &xl, .log = log, .peer = peer, .exit_code = EXIT_DONE};
    struct err e = ERR_INIT;
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = recover_all(&r, dom, &e);
        xl_close(&xl);
        remove_files_of_dead();
    }
    if (!rc)
        return r.exit_code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}

int recover_main(const struct log *log)
{
    return recover_with(NULL, NULL, log);
}

int recover_given(const struct recover_peer *peer, const char *dom, const struct log *log)
{
    return recover_with(peer, dom, log);
}
