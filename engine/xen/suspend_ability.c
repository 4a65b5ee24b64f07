/* SPDX-License-Identifier: MIT */
#include "engine/xen/suspend_ability.h"

#include "base/deadline.h"
#include "base/limited.h"
#include "engine/xen/hvm.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xenstore.h>

#define READ_NS (20 * NS_PER_S)

/* Of one character, or 0. */
static char read_feature(struct xs_handle *xs, uint32_t domid, const char *name)
{
    unsigned len = 0;
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/%s", domid, name);

    char *value = xs_read(xs, XBT_NULL, path, &len);
    const char feature = value && len == 1 ? *value : 0;

    free(value);
    return feature;
}

enum suspend_ability suspend_ability_read(struct xs_handle *xs, uint32_t domid)
{
    const char feature = read_feature(xs, domid, "feature-suspend");

    return feature == '0' ? SUSPEND_CANNOT : feature == '1' ? SUSPEND_CAN : SUSPEND_UNKNOWN;
}

int suspend_ability_refuse(uint32_t domid, struct err *e)
{
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "domain %u says that it cannot suspend (control/feature-suspend is 0): it needs a kernel "
        "that can",
        domid);
}

/* A thread's, when it is left behind. */
struct reading {
    uint32_t domid;
    bool hvm;
    struct suspend_facts facts;
    int rc;
    struct log log;
    struct err e;
};

/* Of an HVM guest: all others have them. */
static int read_drivers(struct reading *r)
{
    uint64_t irq = 0;
    struct xen x;
    int rc = xen_open(&x, &r->log, &r->e);

    if (rc)
        return rc;
    rc = hvm_param_read(&x, r->domid, HVM_PARAM_CALLBACK_IRQ, &irq, &r->e);
    xen_close(&x);
    r->facts.has_drivers = irq != 0;
    return rc;
}

static void make_reading(void *arg)
{
    struct reading *r = arg;
    struct xs_handle *xs = xenstore_open(&r->e);

    if (!xs) {
        r->rc = -r->e.code;
        return;
    }
    r->facts.ability = suspend_ability_read(xs, r->domid);
    r->facts.resumable = read_feature(xs, r->domid, "feature-resumable") == '1';
    r->facts.has_drivers = true;
    if (r->hvm)
        r->rc = read_drivers(r);
    xenstore_close(xs);
}

int suspend_facts_read(uint32_t domid, bool hvm, struct suspend_facts *f, struct err *e)
{
    static const struct limited_call steps = {make_reading, NULL, free};
    struct reading *r = calloc(1, sizeof(*r));

    if (!r)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *r = (struct reading){
        .domid = domid, .hvm = hvm, .log = {LOG_ERROR, log_to_stderr, "xmigrate"}, .e = ERR_INIT};

    int rc = limited_run(&steps, r, deadline_in(READ_NS));

    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    rc = rc ? err_sys(e, ERR_LOCAL, -rc, "cannot start a thread") : r->rc;
    if (err_is_set(&r->e))
        err_take(e, &r->e);
    *f = r->facts;
    free(r);
    return rc;
}
