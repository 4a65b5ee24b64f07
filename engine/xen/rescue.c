/* SPDX-License-Identifier: MIT */
#include "engine/xen/rescue.h"

#include "base/deadline.h"
#include "base/limited.h"
#include "engine/xen/tmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenguest.h>
#include <xenstore.h>

#define TELL_NS (3 * NS_PER_S)

/* 0, -ESRCH without an error, or -errno with one. */
static int read_info(struct xen *x, uint32_t domid, xc_domaininfo_t *info, struct err *e)
{
    const int n = xc_domain_getinfolist(x->xch, domid, 1, info);

    if (n < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen about domain %u", domid);
    return n == 1 && info->domain == domid ? 0 : -ESRCH;
}

int rescue_read_uuid(struct xen *x, uint32_t domid, uint8_t uuid[static 16], struct err *e)
{
    xc_domaininfo_t info;
    const int rc = read_info(x, domid, &info, e);

    if (rc == -ESRCH)
        return err_set(e, ERR_LOCAL, ESRCH, "there is no domain %u", domid);
    if (!rc)
        memcpy(uuid, info.handle, 16);
    return rc;
}

int rescue_query(struct xen *x, uint32_t domid, const uint8_t uuid[static 16],
    enum rescue_status *status, struct err *e)
{
    xc_domaininfo_t info;
    const int rc = read_info(x, domid, &info, e);

    if (rc && rc != -ESRCH)
        return rc;
    if (rc || memcmp(info.handle, uuid, 16) || (info.flags & XEN_DOMINF_dying))
        *status = RESCUE_GONE;
    else if (!(info.flags & XEN_DOMINF_shutdown))
        *status = RESCUE_RUNNING;
    else if ((info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) == SHUTDOWN_suspend)
        *status = RESCUE_SUSPENDED;
    else
        *status = RESCUE_SHUT_DOWN;
    return 0;
}

int rescue_log_dirty_off(struct xen *x, uint32_t domid, struct err *e)
{
    /* A Xen without shadow paging answers EINVAL for a PV domain, where it cannot have been on;
     * others EOPNOTSUPP. */
    if (xc_shadow_control(x->xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0) < 0 &&
        errno != EINVAL && errno != EOPNOTSUPP)
        return err_sys(e, ERR_LOCAL, errno, "cannot turn log-dirty off for domain %u", domid);
    return 0;
}

int rescue_stop_noting(struct xen *x, uint32_t domid, struct err *e)
{
    return tmem_stop(x, domid, e);
}

/* ---- resuming ---- */

/* A thread's, when it is left behind. */
struct telling {
    uint32_t domid;
    struct err e;
};

/* A domain that xenstored takes for shut down has no end that it would tell of. */
static void tell_xenstored(void *arg)
{
    struct telling *t = arg;
    struct xs_handle *xs = xs_open(0);

    if (!xs) {
        err_sys(&t->e, ERR_LOCAL, errno, "xenstored cannot be reached");
        return;
    }
    if (!xs_resume_domain(xs, t->domid))
        err_sys(&t->e, ERR_LOCAL, errno, "xenstored would not hear of it");
    xs_close(xs);
}

static int tell_in_time(uint32_t domid, struct err *e)
{
    static const struct limited_call steps = {tell_xenstored, NULL, free};
    struct telling *t = malloc(sizeof(*t));

    if (!t)
        return err_sys(e, ERR_LOCAL, ENOMEM, "xenstored was not told");
    *t = (struct telling){.domid = domid, .e = ERR_INIT};

    int rc = limited_run(&steps, t, deadline_in(TELL_NS));

    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    if (rc)
        err_sys(e, ERR_LOCAL, -rc, "xenstored was not told");
    else if (err_is_set(&t->e))
        rc = err_take(e, &t->e);
    free(t);
    return rc;
}

int rescue_tell_resumed(uint32_t domid, struct err *e)
{
    struct err why = ERR_INIT;

    if (!tell_in_time(domid, &why))
        return 0;
    err_prepend(&why, "domain %u runs again, but not all tools will hear when it ends", domid);
    return err_take(e, &why);
}

int rescue_resume(struct xen *x, uint32_t domid, struct err *untold, struct err *e)
{
    if (xc_domain_resume(x->xch, domid, 1))
        return err_sys(e, ERR_LOCAL, errno, "cannot resume domain %u", domid);
    rescue_tell_resumed(domid, untold);
    return 0;
}

/* ---- a copy that is never to run ---- */

int rescue_hold(struct xen *x, uint32_t domid, bool *has_run, struct err *e)
{
    xc_domaininfo_t info;

    /* Xen counts pauses: one more unpause does not start it. */
    if (xc_domain_pause(x->xch, domid))
        return err_sys(e, ERR_LOCAL, errno, "cannot pause domain %u", domid);

    const int rc = read_info(x, domid, &info, e);

    if (rc == -ESRCH)
        return err_set(e, ERR_LOCAL, ESRCH, "there is no domain %u", domid);
    if (rc)
        return rc;
    *has_run = info.cpu_time > 0;
    if (*has_run && xc_domain_unpause(x->xch, domid))
        return err_sys(e, ERR_LOCAL, errno, "cannot unpause domain %u", domid);
    return 0;
}

int rescue_destroy(struct xen *x, uint32_t domid, struct err *e)
{
    xc_domaininfo_t info;

    if (!xc_domain_destroy(x->xch, domid) || errno == ESRCH)
        return 0;

    const int code = errno, rc = read_info(x, domid, &info, e);

    if (rc == -ESRCH || (!rc && info.flags & XEN_DOMINF_dying))
        return 0;
    return rc ? rc : err_sys(e, ERR_LOCAL, code, "cannot destroy domain %u", domid);
}
