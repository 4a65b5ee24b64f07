/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/bring_back.h"

#include "base/deadline.h"
#include "cmd/xmigrate/handoff/hvm.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/rescue.h"
#include "engine/xen/suspend.h"

#include <errno.h>
#include <string.h>

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

int bring_back_cap(struct xl *xl, const struct journal_record *left, struct err *e)
{
    return left->cap == JOURNAL_NO_CAP ? 0 : xl_set_cap(xl, left->domid, (unsigned)left->cap, e);
}

/* What it had before, as far as that is possible. */
static int put_back(
    struct xl *xl, const struct journal_record *left, const struct xl_domain *d, struct err *e)
{
    const uint32_t domid = left->domid;
    int rc = left->logging ? log_dirty_off(xl->log, domid, e) : 0;

    if (bring_back_cap(xl, left, e) && !rc)
        rc = -e->code;
    if (strcmp(d->name, left->name) &&
        xl_rename(xl, domid, d->name, left->name, deadline_in(XL_SHORT_NS), e) && !rc)
        rc = -e->code;
    return rc;
}

/* It shall not suspend when everybody has left. *d is what it is then. */
static int end_suspend(
    struct xl *xl, const struct journal_record *left, struct xl_domain *d, struct err *e)
{
    struct err gone = ERR_INIT;
    int rc;

    log_info(xl->log,
        "\"%s\" was asked to suspend: taking that back, or waiting for it (up to %d s)", left->name,
        (int)(SUSPEND_ACKNOWLEDGED_NS / NS_PER_S));
    rc = suspend_end(left->domid, SUSPEND_ACKNOWLEDGED_NS, e);

    if (rc)
        return rc;
    rc = xl_look_at(xl, left->domid, left->uuid, d, &gone);
    if (rc == -ESRCH)
        d->dying = true;
    return rc && rc != -ESRCH ? err_take(e, &gone) : 0;
}

static int resume(struct xl *xl, const struct journal_record *left, struct err *e)
{
    const int rc = hvm_resume(xl, left, e);

    return rc ? rc : monitor_start(left->domid, left->uuid, e);
}

static int continue_device_model(
    struct xl *xl, const struct journal_record *left, enum brought_back *found, struct err *e)
{
    bool was_paused;
    const int rc = hvm_continue_device_model(xl->log, left, &was_paused, e);

    if (was_paused && *found == BACK_RUNNING)
        *found = BACK_CONTINUED;
    return rc;
}

int bring_back_guest(struct xl *xl, const struct journal_record *left,
    const struct domain_lock *lock, enum brought_back *found, struct err *e)
{
    struct err gone = ERR_INIT;
    struct xl_domain d;
    int rc = xl_look_at(xl, left->domid, left->uuid, &d, &gone);

    *found = BACK_GONE;
    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &gone);
    rc = put_back(xl, left, &d, e);
    /* A suspended guest is resumed even if an earlier step failed. */
    if (!d.shut_down && domain_lock_is_asked(lock) && end_suspend(xl, left, &d, e))
        rc = -e->code;
    *found = d.dying ? BACK_GONE : BACK_RUNNING;
    if (xl_is_suspended(&d)) {
        if (resume(xl, left, e))
            return -e->code;
        *found = BACK_RESUMED;
    }
    if (*found != BACK_GONE && continue_device_model(xl, left, found, e))
        rc = -e->code;
    if (!rc)
        domain_lock_note_asked(lock, false);
    return rc;
}
