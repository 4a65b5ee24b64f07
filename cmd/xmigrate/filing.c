/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/filing.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/xmigrate/throttle.h"

#include <errno.h>
#include <string.h>

/* What is left to write when nothing more is read from the guest may stand still for so long: disks
 * may be busy. */
#define END_NS (120 * NS_PER_S)

/* --- what the helper says --- */

static struct throttle throttle_of(const struct filing *f)
{
    return (struct throttle){f->xl, f->journal, f->log, f->events};
}

/* Only --recover wants to know, and only if all goes wrong: no reason to fail. */
static void note(struct filing *f, bool *what, bool is)
{
    struct err e = ERR_INIT;

    *what = is;
    if (journal_save(f->journal, &e))
        log_warn(f->log, "%s", e.text);
}

static void take_event(struct filing *f, json_t *body)
{
    const struct throttle cap = throttle_of(f);
    const char *name = event_name(body);

    f->progress_ns = now_ns();
    event_write(f->events, body);
    view_event(f->view, body);
    if (!strcmp(name, "suspending")) {
        f->suspending_ns = now_ns();
        throttle_end(&cap);
        note(f, &f->journal->now.suspending, true);
    } else if (!strcmp(name, "suspended")) {
        f->suspended_ns = now_ns();
        if (f->live)
            operation_hurry(&f->op);
    }
}

static int take_total(struct filing *f, const json_t *total, struct err *e)
{
    if (!event_read_total(total, &f->total))
        return err_set(e, ERR_INTERNAL, EPROTO, "the save helper's totals make no sense");
    f->journal->now.logging = false; /* the helper has switched it off */
    f->progress_ns = now_ns();
    return 0;
}

static int hear_helper(void *arg, const struct link_message *m, struct err *e)
{
    struct filing *f = arg;
    const struct throttle cap = throttle_of(f);

    switch (m->kind) {
    case LINK_EVENT:
        take_event(f, m->body);
        return 0;
    case LINK_CAP:
        if (!f->stopping && !f->suspending_ns)
            throttle_lower(&cap, m->cap_percent);
        return 0;
    case LINK_LOGGING:
        note(f, &f->journal->now.logging, true);
        return 0;
    default:
        return take_total(f, m->body, e);
    }
}

static int give_job(void *arg, struct link_job *job, int *lock_fd, struct err *e)
{
    const struct filing *f = arg;

    (void)e;
    *job = f->job;
    *lock_fd = f->lock_fd;
    return 0;
}

static int give_files(void *arg, int link_sock, struct err *e)
{
    return compact_save_hand_over(((struct filing *)arg)->compact, link_sock, e);
}

/* --- the loop --- */

static int64_t suspend_limit_ns(const struct filing *f)
{
    return f->suspending_ns && !f->suspended_ns ? f->suspending_ns + f->suspend_ns : DEADLINE_NEVER;
}

/* A helper that is stuck in a write to the file still says that it lives. */
static int64_t progress_limit_ns(const struct filing *f)
{
    return f->suspended_ns && !f->through_ns ? f->progress_ns + f->silent_ns : DEADLINE_NEVER;
}

static int64_t next_limit_ns(const struct filing *f)
{
    return f->stopping ? DEADLINE_NEVER
                       : deadline_earlier(suspend_limit_ns(f), progress_limit_ns(f));
}

static int check_limits(const struct filing *f, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (!deadline_passed(next_limit_ns(f)))
        return 0;
    if (deadline_passed(progress_limit_ns(f)))
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "nothing more of the guest, which is suspended, came into the file within %s "
            "(--silent-timeout): does the disk below it still write?",
            format_duration(f->silent_ns, limit));
    return operation_unsuspended(f->suspend_ns, e);
}

/* Wait until something happens, or then, and deal with it. */
static int turn(struct filing *f, int64_t until_ns, struct err *e)
{
    const int rc = operation_turn(&f->op, f->stopping ? NULL : f->cancel,
        deadline_earlier(until_ns, next_limit_ns(f)), NULL, e);

    return rc ? rc : check_limits(f, e);
}

static void turn_while_stopping(void *arg, int64_t until_ns)
{
    struct err ignored = ERR_INIT;

    turn(arg, until_ns, &ignored);
}

/* --- for its owner --- */

static const struct operation_owner owner = {
    give_job, hear_helper, turn_while_stopping, give_files};

int filing_prepare(struct filing *f, struct err *e)
{
    operation_init(&f->op, &owner, f);
    return operation_prepare(&f->op, e);
}

int filing_start(struct filing *f, uint32_t domid, int fd, struct err *e)
{
    if (!f->end_ns)
        f->end_ns = END_NS;
    f->op.log = f->log;
    f->op.silent_ns = f->silent_ns;
    return operation_save_to(&f->op, domid, f->live, fd, e);
}

int filing_until_through(struct filing *f, struct err *e)
{
    int rc = 0;

    while (!rc && !f->op.done)
        rc = turn(f, DEADLINE_NEVER, e);
    f->through_ns = now_ns();
    return rc;
}

int filing_until_over(struct filing *f, struct err *e)
{
    const int64_t limit_ns = f->end_ns + f->index_ns;
    char limit[UNITS_TEXT_BYTES];
    int rc = 0;

    f->progress_ns = now_ns(); /* what is written of a frozen copy is progress, too */
    while (!rc && f->op.async) {
        rc = turn(f, f->progress_ns + limit_ns, e);
        if (!rc && f->op.async && deadline_passed(f->progress_ns + limit_ns))
            rc = err_set(e, ERR_LOCAL, ETIMEDOUT,
                "libxl did not end the file within %s: does the disk below it still write?",
                format_duration(limit_ns, limit));
    }
    return rc;
}

bool filing_stop(struct filing *f, const struct err *why)
{
    const struct throttle cap = throttle_of(f);

    f->stopping = true;
    throttle_end(&cap);
    return operation_stop(&f->op, why);
}

void filing_clear(struct filing *f)
{
    operation_clear(&f->op);
}
