/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/hvm.h"

#include "cmd/device_model.h"
#include "engine/xen/rescue.h"

#include <errno.h>

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

/* One that does not answer is not the guest's fault, which may well live without it. */
static void continue_before(const struct log *log, const struct journal_record *left)
{
    struct err why = ERR_INIT;
    struct device_model m;
    int rc = device_model_open(&m, left->domid, &why);

    if (rc == -ENOENT)
        return;
    if (!rc)
        rc = device_model_continue(&m, &why);
    device_model_close(&m);
    if (rc)
        log_warn(log, "\"%s\": %s; resuming it all the same", left->name, why.text);
}

int hvm_resume(struct xen *x, const struct log *log, const struct journal_record *left,
    struct err *untold, struct err *e)
{
    continue_before(log, left);
    return rescue_resume(x, left->domid, untold, e);
}
