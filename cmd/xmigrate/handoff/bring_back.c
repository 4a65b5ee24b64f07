/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/bring_back.h"

#include "base/deadline.h"
#include "cmd/xmigrate/handoff/ask_xen.h"
#include "cmd/xmigrate/handoff/hvm.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/suspend.h"

#include <errno.h>
#include <string.h>

int bring_back_cap(struct xl *xl, const struct journal_record *left, struct err *e)
{
    return left->cap == JOURNAL_NO_CAP ? 0 : xl_set_cap(xl, left->domid, (unsigned)left->cap, e);
}

/* --- by Xen alone --- */

/* It shall not suspend when everybody has left. *now is what it is then. */
static int end_suspend(const struct log *log, const struct journal_record *left,
    enum rescue_status *now, struct err *e)
{
    log_info(log, "\"%s\" was asked to suspend: taking that back, or waiting for it (up to %d s)",
        left->name, (int)(SUSPEND_ACKNOWLEDGED_NS / NS_PER_S));

    const int rc = suspend_end(left->domid, SUSPEND_ACKNOWLEDGED_NS, e);

    return rc ? rc : ask_xen(log, left->domid, left->uuid, now, e);
}

/* Of a guest that runs; who resumed it may have been unable to say so. */
static int tell_again(const struct journal_record *left, struct err *e)
{
    return left->suspending ? rescue_tell_resumed(left->domid, e) : 0;
}

/* A suspended guest is resumed even if an earlier step failed. */
static int stop_logging(struct xen *x, const struct journal_record *left, struct err *e)
{
    if (left->logging)
        rescue_log_dirty_off(x, left->domid, e);
    rescue_stop_noting(x, left->domid, e);
    return err_is_set(e) ? -e->code : 0;
}

static int make_run(struct xen *x, const struct log *log, const struct journal_record *left,
    const struct domain_lock *lock, enum brought_back *found, struct err *e)
{
    struct err untold = ERR_INIT;
    enum rescue_status now;
    int rc = ask_xen(log, left->domid, left->uuid, &now, e);

    if (rc)
        return rc;
    if (now != RESCUE_GONE)
        rc = stop_logging(x, left, e);
    if (now == RESCUE_RUNNING && domain_lock_is_asked(lock) && end_suspend(log, left, &now, e))
        rc = -e->code;
    if (now == RESCUE_SUSPENDED && hvm_resume(x, log, left, &untold, e))
        return -e->code;
    if (now == RESCUE_RUNNING)
        tell_again(left, &untold);
    if (err_is_set(&untold))
        rc = err_take(e, &untold);
    *found = now == RESCUE_GONE ? BACK_GONE : now == RESCUE_SUSPENDED ? BACK_RESUMED : BACK_RUNNING;
    return rc;
}

/* --- what a guest that runs can wait for --- */

static int continue_device_model(const struct log *log, const struct journal_record *left,
    enum brought_back *found, struct err *e)
{
    bool was_paused;
    const int rc = hvm_continue_device_model(log, left, &was_paused, e);

    if (was_paused && *found == BACK_RUNNING)
        *found = BACK_CONTINUED;
    return rc;
}

static int put_back(
    struct xl *xl, const struct journal_record *left, enum brought_back *found, struct err *e)
{
    int rc = continue_device_model(xl->log, left, found, e);

    if (*found == BACK_RESUMED && monitor_start(left->domid, left->uuid, e))
        rc = -e->code;
    if (bring_back_cap(xl, left, e))
        rc = -e->code;
    return rc;
}

int bring_back_guest(struct xl *xl, const struct journal_record *left,
    const struct domain_lock *lock, enum brought_back *found, struct err *e)
{
    struct xen x;
    int rc = xen_open(&x, xl->log, e);

    *found = BACK_UNKNOWN;
    if (rc)
        return rc;
    rc = make_run(&x, xl->log, left, lock, found, e);
    xen_close(&x);
    if (brought_back_runs(*found) && put_back(xl, left, found, e))
        rc = -e->code;
    if (!rc)
        domain_lock_note_asked(lock, false);
    return rc;
}

int bring_back_unlogged(struct xl *xl, const struct journal_record *left, struct err *e)
{
    struct domain_lock lock;
    struct err busy = ERR_INIT;
    enum rescue_status now;
    struct xen x;
    int rc;

    if (domain_lock_take(&lock, left->domid, &busy))
        return 0;
    /* The number may be another guest's by now. */
    rc = ask_xen(xl->log, left->domid, left->uuid, &now, e);
    if (!rc && now == RESCUE_RUNNING && !(rc = xen_open(&x, xl->log, e))) {
        rc = stop_logging(&x, left, e);
        xen_close(&x);
    }
    domain_lock_release(&lock);
    return rc;
}

int bring_back_name(struct xl *xl, const struct journal_record *left, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_look_at(xl, left->domid, left->uuid, &d, &none);

    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &none);
    return strcmp(d.name, left->name)
               ? xl_rename(xl, left->domid, d.name, left->name, deadline_in(XL_SHORT_NS), e)
               : 0;
}
