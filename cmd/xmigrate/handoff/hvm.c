/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/hvm.h"

#include "base/deadline.h"
#include "base/limited.h"
#include "cmd/device_model.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "engine/xen/rescue.h"

#include <errno.h>
#include <stdlib.h>

/* It takes milliseconds. */
#define RESUME_NS (3 * NS_PER_S)

/* Only a paused one that will not run on is a failure: the rest costs the guest little. */
static int continue_living(
    struct device_model *m, const struct log *log, bool logging, bool *was_paused, struct err *e)
{
    struct err none = ERR_INIT;

    if (logging && device_model_log_off(m, &none))
        log_warn(log, "%s", none.text);
    none = (struct err)ERR_INIT;
    if (device_model_is_paused(m, was_paused, &none))
        log_warn(log, "%s", none.text);
    return *was_paused ? device_model_continue(m, e) : 0;
}

int hvm_continue_device_model(
    const struct log *log, const struct journal_record *left, bool *was_paused, struct err *e)
{
    struct device_model m;
    struct err why = ERR_INIT;
    int rc = device_model_open(&m, left->domid, &why);

    *was_paused = false;
    if (rc == -ENOENT)
        return 0;
    if (rc == -ECONNREFUSED) {
        log_error(log, "\"%s\": %s: its emulated devices do nothing any more (see /var/log/xen)",
            left->name, why.text);
        return 0;
    }
    if (rc) {
        log_warn(log, "\"%s\": %s: if its emulated devices stand still, try xmigrate --resume %s",
            left->name, why.text, left->name);
        return 0;
    }
    rc = continue_living(&m, log, left->logging, was_paused, e);
    device_model_close(&m);
    return rc;
}

/* For what may outlive the caller's log. */
static const struct log silent = {.max = LOG_ERROR};

/* Resuming takes a hypercall, and then xenstored's answer, which may never come. */
struct vcpus {
    uint32_t domid;
    int rc;
    struct err e;
};

static void make_resume(void *arg)
{
    struct vcpus *v = arg;
    struct xen x;

    v->rc = xen_open(&x, &silent, &v->e);
    if (v->rc)
        return;
    v->rc = rescue_resume(&x, v->domid, &v->e);
    xen_close(&x);
}

static void leave_resume(void *arg)
{
    (void)arg;
}

/* -EBUSY without an error while it is suspended. */
static int look_at_vcpus(uint32_t domid, struct err *e)
{
    uint8_t uuid[16];
    enum rescue_status status;
    struct xen x;
    int rc = xen_open(&x, &silent, e);

    if (rc)
        return rc;
    rc = rescue_read_uuid(&x, domid, uuid, e);
    if (!rc)
        rc = rescue_query(&x, domid, uuid, &status, e);
    xen_close(&x);
    return !rc && status == RESCUE_SUSPENDED ? -EBUSY : rc;
}

static int resume_vcpus(const struct log *log, uint32_t domid, struct err *e)
{
    static const struct limited_call steps = {make_resume, leave_resume, free};
    struct vcpus *v = calloc(1, sizeof(*v));
    int rc;

    if (!v)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *v = (struct vcpus){.domid = domid, .e = ERR_INIT};
    rc = limited_run(&steps, v, deadline_in(RESUME_NS));
    if (rc == -ETIMEDOUT) {
        rc = look_at_vcpus(domid, e);
        if (!rc)
            log_warn(log, "domain %u runs again, but xenstored does not answer", domid);
        return rc == -EBUSY ? err_set(e, ERR_LOCAL, ETIMEDOUT, "domain %u does not resume", domid)
                            : rc;
    }
    if (!rc)
        rc = v->rc ? err_take(e, &v->e) : 0;
    else
        err_sys(e, ERR_LOCAL, -rc, "cannot resume domain %u", domid);
    free(v);
    return rc;
}

/* libxl hangs, on a lock that another tool holds or on xenstored, and the guest stands still. What
 * libxl still does of its resume later finds a domain that is not suspended, and leaves it alone.
 */
static int resume_without_libxl(
    struct xl *xl, const struct journal_record *left, const struct err *why, struct err *e)
{
    struct xl_domain d;

    log_warn(xl->log, "\"%s\": %s; resuming it without libxl", left->name, why->text);
    if (!resume_vcpus(xl->log, left->domid, e))
        return 0;

    struct err none = ERR_INIT;

    /* Too late: libxl was faster. */
    if (xl_look_at(xl, left->domid, left->uuid, &d, &none) || xl_is_suspended(&d))
        return -e->code;
    *e = (struct err)ERR_INIT;
    return 0;
}

static int resume_by_libxl(struct xl *xl, const struct journal_record *left, struct err *e)
{
    struct err why = ERR_INIT;
    const int rc = xl_resume(xl, left->domid, deadline_in(RESUME_NS), &why);

    if (rc == -ETIMEDOUT)
        return resume_without_libxl(xl, left, &why, e);
    return rc ? err_take(e, &why) : 0;
}

/* One that does not answer is not the guest's fault, which may well live without it. */
int hvm_resume(struct xl *xl, const struct journal_record *left, struct err *e)
{
    struct err why = ERR_INIT;
    struct device_model m;
    int rc = device_model_open(&m, left->domid, &why);

    if (rc == -ENOENT)
        return resume_by_libxl(xl, left, e);
    if (!rc)
        rc = device_model_continue(&m, &why);
    device_model_close(&m);
    if (rc)
        log_warn(xl->log, "\"%s\": %s; resuming it all the same", left->name, why.text);
    return resume_vcpus(xl->log, left->domid, e);
}
