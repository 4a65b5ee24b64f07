/* SPDX-License-Identifier: MIT */
#include "engine/xen/suspend_ability.h"

#include "base/deadline.h"
#include "base/limited.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define CHECK_NS (20 * NS_PER_S)

enum suspend_ability suspend_ability_read(struct xs_handle *xs, uint32_t domid)
{
    enum suspend_ability ability = SUSPEND_UNKNOWN;
    unsigned len = 0;
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/feature-suspend", domid);

    char *value = xs_read(xs, XBT_NULL, path, &len);

    if (value && len == 1)
        ability = *value == '0' ? SUSPEND_CANNOT : *value == '1' ? SUSPEND_CAN : SUSPEND_UNKNOWN;
    free(value);
    return ability;
}

int suspend_ability_refuse(uint32_t domid, struct err *e)
{
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "domain %u says that it cannot suspend (control/feature-suspend is 0): it needs a kernel "
        "that can",
        domid);
}

/* A thread's, when it is left behind. */
struct check {
    uint32_t domid;
    int rc;
    struct err e;
};

static void make_check(void *arg)
{
    struct check *c = arg;
    struct xs_handle *xs = xenstore_open(&c->e);

    if (!xs)
        c->rc = -c->e.code;
    else if (suspend_ability_read(xs, c->domid) == SUSPEND_CANNOT)
        c->rc = suspend_ability_refuse(c->domid, &c->e);
    xenstore_close(xs);
}

static void leave_check(void *arg)
{
    (void)arg;
}

int suspend_ability_check(uint32_t domid, struct err *e)
{
    static const struct limited_call steps = {make_check, leave_check, free};
    struct check *c = calloc(1, sizeof(*c));

    if (!c)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *c = (struct check){.domid = domid, .e = ERR_INIT};

    int rc = limited_run(&steps, c, deadline_in(CHECK_NS));

    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    rc = rc ? err_sys(e, ERR_LOCAL, -rc, "cannot start a thread") : c->rc;
    if (err_is_set(&c->e))
        err_take(e, &c->e);
    free(c);
    return rc;
}
