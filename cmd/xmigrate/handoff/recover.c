#include "cmd/xmigrate/handoff/recover.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/machine.h"
#include "cmd/handoff/names.h"
#include "cmd/lock.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/rescue.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A helper whose supervisor was killed cleans up itself; it is given this long. */
#define HELPER_LIMIT_NS (15 * NS_PER_S)

static int log_dirty_off(const struct log *log, uint32_t domid, struct err *e)
{
    struct xen x;
    int rc = xen_open(&x, log, e);

    if (!rc) {
        rc = rescue_log_dirty_off(&x, domid, e);
        xen_close(&x);
    }
    return rc;
}

static int put_cap_back(struct xl *xl, const struct journal_record *left, struct err *e)
{
    return left->cap == JOURNAL_NO_CAP ? 0 : xl_set_cap(xl, left->domid, (unsigned)left->cap, e);
}

int recover_guest(
    struct xl *xl, const struct journal_record *left, enum recover_found *found, struct err *e)
{
    const uint32_t domid = left->domid;
    struct err gone = ERR_INIT;
    struct xl_domain d;
    int rc = xl_look_at(xl, domid, left->uuid, &d, &gone);

    *found = RECOVER_GONE;
    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &gone);
    *found = RECOVER_RUNNING;
    rc = left->logging ? log_dirty_off(xl->log, domid, e) : 0;

    /* A guest that stands still is helped even if something before went wrong. */
    int step = put_cap_back(xl, left, e);

    if (!rc)
        rc = step;
    step = strcmp(d.name, left->name)
               ? xl_rename(xl, domid, d.name, left->name, deadline_in(XL_SHORT_NS), e)
               : 0;
    if (!rc)
        rc = step;
    if (!xl_is_suspended(&d))
        return rc;
    step = xl_resume(xl, domid, e);
    if (step)
        return step;
    *found = RECOVER_RESUMED;
    step = monitor_start(domid, left->uuid, e);
    return rc ? rc : step;
}

/* --- xmigrate --recover --- */

struct recovery {
    struct xl xl;
    const struct log *log;
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

/* -ESRCH without an error when there is none. What libxl built for us is told by its name from the
 * same guest moving within one host. */
static int find_copy(struct recovery *r, struct err *e)
{
    const struct journal_record *s = &r->journal->now;
    char name[XL_NAME_BYTES + sizeof(HANDOFF_INCOMING)];
    struct err none = ERR_INIT;
    int rc;

    if (s->state == HANDOFF_COMING || s->state == HANDOFF_READY) {
        snprintf(name, sizeof(name), "%s%s", s->name, HANDOFF_INCOMING);
        rc = xl_by_name(&r->xl, name, &r->copy, &none);
        if (!rc && strcmp(r->copy.uuid, s->uuid))
            return -ESRCH;
    } else {
        rc = xl_look_at(&r->xl, s->domid, s->uuid, &r->copy, &none);
    }
    return rc && rc != -ESRCH ? err_take(e, &none) : rc;
}

static enum handoff_event what_was_found(const struct recovery *r, bool there)
{
    if (!there)
        return HANDOFF_FOUND_NONE;

    /* A copy that was paused later has run all the same. */
    const bool stopped = r->journal->now.role == HANDOFF_SOURCE ? r->copy.shut_down
                                                                : r->copy.paused && !r->copy.cpu_ns;

    return stopped ? HANDOFF_FOUND_STOPPED : HANDOFF_FOUND_RUNNING;
}

/* --- what the machine may ask for --- */

static void say_resumed(
    const struct recovery *r, const struct journal_record *s, enum recover_found found)
{
    if (found == RECOVER_GONE)
        log_info(r->log, "\"%s\" (domain %u) is gone; nothing to do", s->name, s->domid);
    else if (found == RECOVER_RESUMED)
        log_info(r->log,
            "\"%s\" (domain %u) was left suspended on its way to %s: it is resumed here", s->name,
            s->domid, s->peer);
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
    enum recover_found found;
    int rc = wait_for_lock(&lock, s->domid, e);

    if (rc)
        return rc;
    rc = recover_guest(&r->xl, s, &found, e);
    /* Resumed by its helper, which starts no monitor. */
    if (!rc && found == RECOVER_RUNNING && s->suspending)
        rc = monitor_start(s->domid, s->uuid, e);
    domain_lock_release(&lock);
    if (!rc)
        say_resumed(r, s, found);
    return rc;
}

static int record(void *arg, struct err *e)
{
    struct recovery *r = arg;

    r->journal->now.state = r->next;
    return journal_save(r->journal, e);
}

static int destroy_half_built(void *arg, struct err *e)
{
    struct recovery *r = arg;
    const int rc = xl_destroy(&r->xl, r->copy.domid, e);

    if (!rc)
        log_info(r->log, "\"%s\" (domain %u), half-built for a migration from %s, is destroyed",
            r->copy.name, r->copy.domid, r->journal->now.peer);
    return rc;
}

static int destroy_old(void *arg, struct err *e)
{
    struct recovery *r = arg;
    const int rc = xl_destroy(&r->xl, r->copy.domid, e);

    if (!rc)
        log_info(r->log, "\"%s\" (domain %u) has run on %s since: its copy here is destroyed",
            r->copy.name, r->copy.domid, r->journal->now.peer);
    return rc;
}

/* A guest without a monitor is no reason to keep the record. */
static int watch_arrived(void *arg, struct err *e)
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

/* What was found settles it, or leaves nothing to be done. */
static void say_found(const struct recovery *r, enum handoff_event event)
{
    const struct journal_record *s = &r->journal->now;
    const bool none = event == HANDOFF_FOUND_NONE;

    if (s->state == HANDOFF_LIVE && none)
        say_resumed(r, s, RECOVER_GONE);
    else if (s->state == HANDOFF_GIVEN && none)
        log_info(r->log, "\"%s\" was given to %s and is gone here", s->name, s->peer);
    else if (s->state == HANDOFF_GIVEN && event == HANDOFF_FOUND_RUNNING)
        log_info(r->log, "\"%s\" (domain %u) was given to %s but runs here", r->copy.name,
            r->copy.domid, s->peer);
    else if ((s->state == HANDOFF_COMING || s->state == HANDOFF_READY) && none)
        log_info(r->log, "of \"%s\" from %s nothing is left here", s->name, s->peer);
}

/* What stays recorded for the source to ask about. */
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

    if (s->state == HANDOFF_GIVEN && event != HANDOFF_FOUND_NONE && put_cap_back(&r->xl, s, &e))
        log_error(r->log, "%s", e.text);
}

static int settle(struct recovery *r, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_RECORD)] = record,
        [HANDOFF_INDEX(HANDOFF_RESUME)] = resume_left,
        [HANDOFF_INDEX(HANDOFF_UNBUILD)] = destroy_half_built,
        [HANDOFF_INDEX(HANDOFF_DESTROY)] = destroy_old,
        [HANDOFF_INDEX(HANDOFF_MONITOR)] = watch_arrived,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = advise,
    };
    const struct journal_record *s = &r->journal->now;
    struct handoff_step step;
    int rc = find_copy(r, e);

    if (rc && rc != -ESRCH)
        return rc;

    const enum handoff_event event = what_was_found(r, !rc);

    say_found(r, event);
    put_given_cap_back(r, event);
    step = handoff_next(s->role, s->state, event);
    r->next = step.next;
    rc = handoff_carry_out(step, doers, r, e);
    if (!rc)
        say_history(r);
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
    }
    journal_keep(j); /* unless it was forgotten */
}

/* The meeting places of supervisors and helpers that were killed: link-PID. */
static void remove_dead_links(void)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_run_dir(dir, &ignored) ? NULL : opendir(dir);

    for (const struct dirent *entry; d && (entry = readdir(d));) {
        uint64_t pid;

        if (!strncmp(entry->d_name, "link-", 5) &&
            parse_u64(entry->d_name + 5, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) &&
            errno == ESRCH &&
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
            unlink(path);
    }
    if (d)
        closedir(d);
}

int recover_main(const struct log *log)
{
    struct recovery r = {.log = log, .exit_code = EXIT_DONE};
    struct err e = ERR_INIT;
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&r.xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = journal_visit_orphans(log, recover_one, &r, &e);
        xl_close(&r.xl);
        remove_dead_links();
    }
    if (!rc)
        return r.exit_code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}

/* --- xmigrate --resume DOM --- */

/* The guest's own name: what it was called before it was given away. */
static void own_name(const struct xl_domain *d, char name[static XL_NAME_BYTES])
{
    const size_t len = strlen(d->name), tail = strlen(HANDOFF_AWAY);

    snprintf(name, XL_NAME_BYTES, "%s", d->name);
    if (len > tail && !strcmp(name + len - tail, HANDOFF_AWAY))
        name[len - tail] = '\0';
}

static int check_resumable(
    struct xl *xl, const struct xl_domain *d, const char *name, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain other;

    if (!d->shut_down)
        return err_set(e, ERR_REFUSED, EALREADY,
            "\"%s\" (domain %u) %s: there is nothing to resume", d->name, d->domid,
            d->paused ? "is paused (xl unpause starts it)" : "runs");
    if (!xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" (domain %u) has shut down (%s) and was not suspended: it cannot be resumed",
            d->name, d->domid, xl_reason_name(d->reason));
    if (!strcmp(name, d->name))
        return 0;

    const int rc = xl_by_name(xl, name, &other, &none);

    if (!rc)
        return err_set(e, ERR_REFUSED, EEXIST,
            "\"%s\" is domain %u here now; if that is the same guest, moved, destroy the copy left "
            "behind instead: xl destroy %u",
            name, other.domid, d->domid);
    return rc == -ESRCH ? 0 : err_take(e, &none);
}

struct resumption {
    struct xl *xl;
    const struct log *log;
    struct xl_domain domain;
    char name[XL_NAME_BYTES]; /* its own */
    struct journal journal;   /* lock_fd -1: there is no record of it */
};

static int resume_guest(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct journal_record left = {.logging = true, .cap = JOURNAL_NO_CAP, .domid = r->domain.domid};
    struct domain_lock lock;
    enum recover_found found;
    int rc;

    snprintf(left.uuid, sizeof(left.uuid), "%s", r->domain.uuid);
    snprintf(left.name, sizeof(left.name), "%s", r->name);
    rc = domain_lock_take(&lock, left.domid, e);
    if (rc)
        return rc;
    rc = recover_guest(r->xl, &left, &found, e);
    if (!rc && found == RECOVER_RESUMED)
        log_info(r->log, "\"%s\" (domain %u) runs again", left.name, left.domid);
    domain_lock_release(&lock);
    return rc;
}

static int take_back(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    if (r->journal.lock_fd < 0)
        return 0;
    r->journal.now.state = HANDOFF_LIVE;
    if (journal_save(&r->journal, &none))
        log_warn(r->log, "%s", none.text);
    return 0;
}

/* A person has decided: what was in doubt about this guest no longer is. */
static int forget_resumed(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    if (r->journal.lock_fd < 0)
        return 0;
    if (put_cap_back(r->xl, &r->journal.now, &none))
        log_error(r->log, "%s", none.text);
    journal_remove(&r->journal);
    return 0;
}

static int refuse(void *arg, struct err *e)
{
    struct resumption *r = arg;
    char text[ADVICE_BYTES];

    handoff_advice(&r->journal.now, r->domain.domid, text);
    return err_set(e, ERR_REFUSED, EBUSY, "%s", text);
}

/* Its record, or what its name says: a guest that was given away may have lost its record. */
static int read_record(struct resumption *r, struct err *e)
{
    struct journal_record *now = &r->journal.now;
    const int rc = journal_open(&r->journal, HANDOFF_SOURCE, r->domain.uuid, e);

    if (!rc || rc != -ENOENT)
        return rc;
    *now = (struct journal_record){.cap = JOURNAL_NO_CAP, .peer = "another host"};
    now->state = strcmp(r->domain.name, r->name) ? HANDOFF_GIVEN : HANDOFF_LIVE;
    snprintf(now->name, sizeof(now->name), "%s", r->name);
    return 0;
}

static int resume_domain(struct resumption *r, const char *dom, bool force, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_TAKE_BACK)] = take_back,
        [HANDOFF_INDEX(HANDOFF_RESUME)] = resume_guest,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget_resumed,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = refuse,
    };
    int rc = xl_find(r->xl, dom, &r->domain, e);

    if (rc)
        return rc;
    own_name(&r->domain, r->name);
    rc = check_resumable(r->xl, &r->domain, r->name, e);
    if (!rc)
        rc = read_record(r, e);
    if (!rc)
        rc = handoff_carry_out(handoff_next(HANDOFF_SOURCE, r->journal.now.state,
                                   force ? HANDOFF_RESUME_FORCED : HANDOFF_RESUME_ASKED),
            doers, r, e);
    journal_keep(&r->journal);
    return rc;
}

int resume_main(const char *dom, bool force, const struct log *log)
{
    struct err e = ERR_INIT;
    struct xl xl;
    struct resumption r = {.xl = &xl, .log = log, .journal = {.lock_fd = -1}};
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = resume_domain(&r, dom, force, &e);
        xl_close(&xl);
    }
    if (!rc)
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return e.class == ERR_REFUSED ? EXIT_REFUSED : EXIT_FAILED;
}
