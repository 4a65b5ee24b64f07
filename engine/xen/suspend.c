/* SPDX-License-Identifier: MIT */
#include "engine/xen/suspend.h"

#include "base/io.h"
#include "base/limited.h"
#include "engine/xen/suspend_ability.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char word[] = "suspend";

enum { PATH_BYTES = 64, TRANSACTION_TRIES = 100 };

static int xenstore_error(struct err *e, const char *what)
{
    return err_sys(e, ERR_LOCAL, errno, "xenstore: cannot %s", what);
}

static void shutdown_path(uint32_t domid, char path[static PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/control/shutdown", domid);
}

/* Without a watch. */
static int connect_xenstore(struct suspend *s, uint32_t domid, struct err *e)
{
    *s = (struct suspend){.domid = domid, .xs = xenstore_open(e)};
    return s->xs ? 0 : -e->code;
}

static int watch(struct suspend *s, struct err *e)
{
    return xs_watch(s->xs, "@releaseDomain", "") ? 0
                                                 : xenstore_error(e, "watch for a domain's end");
}

int suspend_open(struct suspend *s, uint32_t domid, struct err *e)
{
    int rc = connect_xenstore(s, domid, e);

    if (!rc)
        rc = watch(s, e);
    if (rc)
        suspend_close(s);
    return rc;
}

void suspend_close(struct suspend *s)
{
    xenstore_close(s->xs);
    s->xs = NULL;
}

/* 1: shut down, or gone. */
static int is_down(const struct suspend *s, struct xen *x, struct err *e)
{
    xc_domaininfo_t info;
    const int n = xc_domain_getinfolist(x->xch, s->domid, 1, &info);

    if (n < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen about domain %u", s->domid);
    return n == 0 || info.domain != s->domid || (info.flags & XEN_DOMINF_shutdown) ||
           (info.flags & XEN_DOMINF_dying);
}

/* Some of the work that is due, or a wait for news until it is. Work that fails ends the wait
 * as a cancel does. */
static int work_or_wait(struct suspend *s, const struct suspend_work *work, int64_t *work_ns,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    if (deadline_passed(*work_ns))
        return work->step(work->arg, work_ns, e) ? -ECANCELED : 0;

    const int rc = io_wait(
        xs_fileno(s->xs), POLLIN, cancel, deadline_earlier(*work_ns, deadline_ns));

    if (rc == -ETIMEDOUT && !deadline_passed(deadline_ns))
        return 0;
    return rc ? rc : xenstore_drop_events(s->xs, NULL, e);
}

/* The watch was there before anybody looked, so nothing is missed between two looks. */
static int await(struct suspend *s, struct xen *x, const struct suspend_work *work,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    int64_t work_ns = work ? deadline_in(SUSPEND_QUICK_NS) : DEADLINE_NEVER;

    for (;;) {
        int rc = is_down(s, x, e);

        if (rc)
            return rc < 0 ? rc : 0;
        rc = work_or_wait(s, work, &work_ns, cancel, deadline_ns, e);
        if (rc)
            return rc;
    }
}

/* 1: committed; 0: it reads something else, and nothing was written; -EAGAIN: somebody was faster.
 */
static int clear_once(struct suspend *s, const char *path, struct err *e)
{
    const xs_transaction_t t = xs_transaction_start(s->xs);
    unsigned len = 0;

    if (t == XBT_NULL)
        return xenstore_error(e, "begin a transaction");

    char *value = xs_read(s->xs, t, path, &len);
    const bool asked = value && len == sizeof(word) - 1 && !memcmp(value, word, len);

    free(value);
    if (!asked || !xs_write(s->xs, t, path, "", 0)) {
        const int rc = asked ? xenstore_error(e, "take the request to suspend back") : 0;

        xs_transaction_end(s->xs, t, true);
        return rc;
    }
    if (xs_transaction_end(s->xs, t, false))
        return 1;
    return errno == EAGAIN ? -EAGAIN : xenstore_error(e, "end a transaction");
}

/* 1: the guest will not suspend for it. 0: there was none, or the guest has acknowledged it. */
static int take_back(struct suspend *s, struct err *e)
{
    char path[PATH_BYTES];
    int rc = -EAGAIN;

    shutdown_path(s->domid, path);
    for (int i = 0; i < TRANSACTION_TRIES && rc == -EAGAIN; i++)
        rc = clear_once(s, path, e);
    return rc == -EAGAIN ? err_set(e, ERR_LOCAL, EAGAIN, "xenstore: no transaction succeeds") : rc;
}

/* For so long only as a guest may take that does not say whether it can. -ETIMEDOUT with an error:
 * the request is taken back; without one: it has acknowledged it. */
static int await_unknown(struct suspend *s, struct xen *x, const struct suspend_work *work,
    const struct cancel *cancel, int64_t until_ns, struct err *e)
{
    const int rc = await(s, x, work, cancel, until_ns, e);
    const int taken_back = rc == -ETIMEDOUT ? take_back(s, e) : 0;

    if (taken_back < 0)
        return taken_back;
    if (taken_back)
        err_set(e, ERR_GUEST, EOPNOTSUPP,
            "the guest did not acknowledge the request to suspend within %d s, and its kernel does "
            "not say that it can (control/feature-suspend is empty)",
            (int)(SUSPEND_UNKNOWN_NS / NS_PER_S));
    return rc;
}

static int await_suspend(struct suspend *s, struct xen *x, const struct suspend_work *work,
    const struct cancel *cancel, int64_t deadline_ns, bool unknown, bool *taken_back, struct err *e)
{
    const int64_t unknown_ns = deadline_in(SUSPEND_UNKNOWN_NS);

    *taken_back = false;
    if (unknown && unknown_ns < deadline_ns) {
        const int rc = await_unknown(s, x, work, cancel, unknown_ns, e);

        *taken_back = rc == -ETIMEDOUT && err_is_set(e);
        if (rc != -ETIMEDOUT || *taken_back)
            return rc;
    }
    return await(s, x, work, cancel, deadline_ns, e);
}

int suspend_ask(struct suspend *s, struct xen *x, const struct suspend_work *work,
    const struct cancel *cancel, int64_t deadline_ns, bool *pending, struct err *e)
{
    const enum suspend_ability ability = suspend_ability_read(s->xs, s->domid);
    struct err ignored = ERR_INIT;
    char path[PATH_BYTES];
    bool taken_back;

    *pending = false;
    if (ability == SUSPEND_CANNOT)
        return suspend_ability_refuse(s->domid, e);
    shutdown_path(s->domid, path);
    if (!xs_write(s->xs, XBT_NULL, path, word, sizeof(word) - 1))
        return xenstore_error(e, "ask the guest to suspend");

    const int rc = await_suspend(
        s, x, work, cancel, deadline_ns, ability == SUSPEND_UNKNOWN, &taken_back, e);

    *pending = rc && !taken_back && take_back(s, &ignored) != 1;
    if (rc == -ECANCELED)
        err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    else if (rc == -ETIMEDOUT)
        err_set(e, ERR_GUEST, ETIMEDOUT, "the guest did not suspend");
    return rc;
}

/* ---- with a limit ---- */

/* A thread's, when it is left behind. */
struct ending {
    uint32_t domid;
    int64_t wait_ns;
    struct log log;
    int rc;
    struct err e;
};

static int end_now(struct suspend *s, struct xen *x, const struct ending *j, struct err *e)
{
    int rc = take_back(s, e);

    if (rc)
        return rc < 0 ? rc : 0;
    rc = watch(s, e);
    if (!rc)
        rc = await(s, x, NULL, NULL, deadline_in(j->wait_ns), e);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static void make_end(void *arg)
{
    struct ending *j = arg;
    struct suspend s;
    struct xen x;

    j->rc = xen_open(&x, &j->log, &j->e);
    if (j->rc)
        return;
    j->rc = connect_xenstore(&s, j->domid, &j->e);
    if (!j->rc)
        j->rc = end_now(&s, &x, j, &j->e);
    suspend_close(&s);
    xen_close(&x);
}

int suspend_end(uint32_t domid, int64_t wait_ns, struct err *e)
{
    static const struct limited_call steps = {make_end, NULL, free};
    struct ending *j = calloc(1, sizeof(*j));

    if (!j)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *j = (struct ending){.domid = domid,
        .wait_ns = wait_ns,
        .log = {LOG_ERROR, log_to_stderr, "xmigrate"},
        .e = ERR_INIT};

    int rc = limited_run(
        &steps, j, deadline_in(wait_ns + (SUSPEND_END_NS - SUSPEND_ACKNOWLEDGED_NS)));

    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "domain %u was asked to suspend and may still do so: xenstored does not answer", domid);
    rc = rc ? err_sys(e, ERR_LOCAL, -rc, "cannot start a thread") : j->rc;
    if (err_is_set(&j->e))
        err_take(e, &j->e);
    free(j);
    return rc;
}
