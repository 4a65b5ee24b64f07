/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/copy.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/handoff/names.h"
#include "cmd/xmigrate/handoff/ask_xen.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* While the guest stands still; and while nobody waits but who looks for what was left. */
#define HURRIED_NS (4 * NS_PER_S)
#define DESTROY_NS (60 * NS_PER_S)

static bool is_own_name(const char *name, const char *incoming)
{
    const size_t len = strlen(name);

    return !strncmp(name, incoming, len) && !strcmp(incoming + len, HANDOFF_INCOMING);
}

static int find_by_number(const struct log *log, const char *uuid, uint32_t domid, struct err *e)
{
    enum rescue_status status;
    const int rc = ask_xen(log, domid, uuid, &status, e);

    return !rc && status == RESCUE_GONE ? -ESRCH : rc;
}

/* Within one host the original has that UUID, too: it has run. */
static int find_by_name_or_uuid(
    struct xl *xl, const char *incoming, const char *uuid, uint32_t *found, struct err *e)
{
    struct xl_domain d = {0};
    int rc = xl_by_name(xl, incoming, &d, e);

    if (rc == -ESRCH || (!rc && strcmp(d.uuid, uuid))) {
        rc = xl_unrun_by_uuid(xl, uuid, &d, e);
        if (!rc && is_own_name(d.name, incoming))
            rc = -ESRCH;
    }
    *found = d.domid;
    return rc;
}

int copy_find(struct xl *xl, const char *incoming, const char *uuid, uint32_t domid,
    uint32_t *found, struct err *e)
{
    struct err why = ERR_INIT;
    int rc;

    *found = domid;
    rc = domid == JOURNAL_NO_DOMID ? find_by_name_or_uuid(xl, incoming, uuid, found, &why)
                                   : find_by_number(xl->log, uuid, domid, &why);
    return rc && rc != -ESRCH ? err_take(e, &why) : rc;
}

/* libxl may be at it still. */
static int destroy_by_xen(struct xl *xl, uint32_t domid, const struct err *why, struct err *e)
{
    struct xen x;
    int rc = xen_open(&x, xl->log, e);

    if (rc)
        return rc;
    rc = rescue_destroy(&x, domid, e);
    xen_close(&x);
    if (!rc)
        log_warn(xl->log,
            "domain %u is destroyed without libxl, and what there is of its devices may be left: "
            "%s",
            domid, why->text);
    return rc;
}

int copy_destroy(
    struct xl *xl, uint32_t domid, enum handoff_state state, int *late_fd, struct err *e)
{
    struct err why = ERR_INIT;
    int fd, rc;

    *late_fd = -1;
    if (state == HANDOFF_COMING)
        return xl_destroy_until(xl, domid, deadline_in(DESTROY_NS), -1, e);
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = xl_destroy_until(xl, domid, deadline_in(HURRIED_NS), fd, &why);
    if (rc == -ETIMEDOUT)
        *late_fd = fd;
    else if (fd >= 0)
        close(fd);
    return rc ? destroy_by_xen(xl, domid, &why, e) : 0;
}

void copy_await_libxl(const struct log *log, int late_fd)
{
    eventfd_t ended;

    if (late_fd < 0)
        return;
    if (io_wait(late_fd, POLLIN, NULL, deadline_in(DESTROY_NS)) || eventfd_read(late_fd, &ended))
        log_warn(log, "libxl is still busy with the domain that was destroyed");
    else
        close(late_fd);
}
