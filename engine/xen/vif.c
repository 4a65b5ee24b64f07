/* SPDX-License-Identifier: MIT */
#include "engine/xen/vif.h"

#include "base/io.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

enum { PATH_BYTES = 80 };

static void state_path(uint32_t domid, unsigned devid, char path[static PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "/local/domain/0/backend/vif/%u/%u/state", domid, devid);
}

/* 1: Connected; 0: not yet; -ENOENT. */
static int look(struct xs_handle *xs, const char *path)
{
    static const char connected[] = "4"; /* XenbusStateConnected */
    unsigned len;
    char *state = xs_read(xs, XBT_NULL, path, &len);

    if (!state)
        return -ENOENT;

    const bool is = !strcmp(state, connected);

    free(state);
    return is;
}

static int look_at_all(struct xs_handle *xs, uint32_t domid, const unsigned *devids, unsigned count)
{
    unsigned there = 0, connected = 0;
    char path[PATH_BYTES];

    for (unsigned i = 0; i < count; i++) {
        state_path(domid, devids[i], path);

        const int rc = look(xs, path);

        there += rc >= 0;
        connected += rc == 1;
    }
    return !there ? -ENOENT : connected == there;
}

static int await_all(struct xs_handle *xs, uint32_t domid, const unsigned *devids, unsigned count,
    int64_t deadline_ns, struct err *e)
{
    for (;;) {
        int rc = look_at_all(xs, domid, devids, count);

        if (rc)
            return rc < 0 ? rc : 0;
        rc = io_wait(xs_fileno(xs), POLLIN, NULL, deadline_ns);
        if (!rc)
            rc = xenstore_drop_events(xs, NULL, e);
        if (rc)
            return rc;
    }
}

int vif_await_connected(
    uint32_t domid, const unsigned *devids, unsigned count, int64_t deadline_ns, struct err *e)
{
    struct xs_handle *xs = xenstore_open(e);
    char path[PATH_BYTES];
    int rc = 0;

    if (!xs)
        return -e->code;
    for (unsigned i = 0; i < count && !rc; i++) {
        state_path(domid, devids[i], path);
        if (!xs_watch(xs, path, ""))
            rc = err_sys(e, ERR_LOCAL, errno, "xenstore: cannot watch %s", path);
    }
    if (!rc)
        rc = await_all(xs, domid, devids, count, deadline_ns, e);
    xenstore_close(xs);
    return rc;
}
