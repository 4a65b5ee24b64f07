/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/limited.h"

#include "base/limited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct xl xl;
    int rc;
    struct err e;
    struct xl_call *call; /* a copy */
};

static void make_call(void *arg)
{
    struct job *j = arg;

    j->rc = j->call->make(&j->xl, j->call, &j->e);
}

/* It may outlive the caller's log. */
static void leave_call(void *arg)
{
    struct job *j = arg;

    xl_set_log(&j->xl, NULL);
}

static void free_job(struct job *j)
{
    free(j->call);
    free(j);
}

static void drop_call(void *arg)
{
    struct job *j = arg;

    xl_close(&j->xl);
    free_job(j);
}

int xl_call_limited(
    struct xl *xl, struct xl_call *c, size_t size_bytes, int64_t deadline_ns, struct err *e)
{
    static const struct limited_call steps = {make_call, leave_call, drop_call};
    const struct log *log = xl->log;
    struct job *j;

    if (xl->patient)
        return c->make(xl, c, e);

    int rc = xl->ctx ? 0 : xl_open(xl, log, deadline_ns, e);

    if (rc)
        return rc;
    j = calloc(1, sizeof(*j));
    if (j)
        *j = (struct job){.xl = *xl, .e = ERR_INIT, .call = malloc(size_bytes)};
    if (!j || !j->call) {
        free(j);
        return err_set(e, ERR_LOCAL, ENOMEM, "cannot %s: out of memory", c->what);
    }
    memcpy(j->call, c, size_bytes);
    rc = limited_run(&steps, j, deadline_ns);
    if (rc == -ETIMEDOUT) {
        *xl = (struct xl){.log = log};
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "libxl, asked to %s, does not answer: does another tool hold on to the domain, is "
            "xenstored alive?",
            c->what);
    }
    if (rc) {
        free_job(j);
        return err_sys(e, ERR_LOCAL, -rc, "libxl cannot be asked to %s", c->what);
    }
    memcpy(c, j->call, size_bytes);
    rc = j->rc;
    if (err_is_set(&j->e))
        err_take(e, &j->e);
    free_job(j);
    return rc;
}
