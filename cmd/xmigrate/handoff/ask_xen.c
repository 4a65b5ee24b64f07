/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/ask_xen.h"

#include "cmd/handoff/record.h"

#include <errno.h>

int ask_xen(const struct log *log, uint32_t domid, const char *uuid, enum rescue_status *status,
    struct err *e)
{
    uint8_t bytes[16];
    struct xen x;
    int rc;

    if (!journal_uuid_bytes(uuid, bytes))
        return err_set(e, ERR_INTERNAL, EINVAL, "\"%s\" is no UUID", uuid);
    rc = xen_open(&x, log, e);
    if (rc)
        return rc;
    rc = rescue_query(&x, domid, bytes, status, e);
    xen_close(&x);
    return rc;
}
