/* SPDX-License-Identifier: MIT */
#include "engine/xen/emulator_nodes.h"

#include "base/deadline.h"
#include "base/limited.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define ASK_NS (3 * NS_PER_S)

enum { PATH_BYTES = 64 };

/* A thread's, when it is left behind. */
struct asking {
    char path[PATH_BYTES];
    bool has_entries;
    struct err e;
};

static void write_running(void *arg)
{
    struct asking *a = arg;
    struct xs_handle *xs = xenstore_open(&a->e);

    if (xs && !xs_write(xs, XBT_NULL, a->path, "running", strlen("running")))
        err_sys(&a->e, ERR_LOCAL, errno, "cannot write %s in xenstore", a->path);
    xenstore_close(xs);
}

static void list_entries(void *arg)
{
    struct asking *a = arg;
    struct xs_handle *xs = xenstore_open(&a->e);
    char **names = NULL;
    unsigned count = 0;

    if (xs && !xenstore_list(xs, a->path, &names, &count, &a->e))
        a->has_entries = count;
    free(names);
    xenstore_close(xs);
}

static const struct limited_call writing = {write_running, NULL, free};
static const struct limited_call listing = {list_entries, NULL, free};

/* steps: a thread that is left behind still needs them. */
static int ask(const struct limited_call *steps, uint32_t domid, const char *node,
    bool *has_entries, struct err *e)
{
    struct asking *a = malloc(sizeof(*a));

    if (!a)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *a = (struct asking){.e = ERR_INIT};
    snprintf(a->path, sizeof(a->path), "/local/domain/0/device-model/%u/%s", domid, node);

    int rc = limited_run(steps, a, deadline_in(ASK_NS));

    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    if (rc)
        err_sys(e, ERR_LOCAL, -rc, "xenstored cannot be asked");
    else if (err_is_set(&a->e))
        rc = err_take(e, &a->e);
    else if (has_entries)
        *has_entries = a->has_entries;
    free(a);
    return rc;
}

int emulator_say_running(uint32_t domid, struct err *e)
{
    return ask(&writing, domid, "state", NULL, e);
}

int emulator_keeps_physmap(uint32_t domid, bool *keeps, struct err *e)
{
    return ask(&listing, domid, "physmap", keeps, e);
}
