/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/gone.h"

#include "cmd/xmigrate/departed.h"
#include "cmd/xmigrate/peer_status.h"

#include <errno.h>

bool gone_before(const struct options *o, const struct log *log, struct err *why)
{
    struct err unasked = ERR_INIT;
    struct departed d;
    bool there = false;

    if (!departed_find(o->domain, o->address.host, &d))
        return false;
    if (peer_status_has(o, d.uuid, &there, &unasked)) {
        log_info(log,
            "\"%s\" is not here: it went to %s at %s, and what came of it there could not "
            "be asked: %s",
            o->domain, o->address.host, d.when, unasked.text);
        return true;
    }
    if (!there) {
        *why = (struct err)ERR_INIT;
        err_set(why, ERR_REFUSED, ESRCH,
            "\"%s\" is not here: it went to %s at %s, and is not there any more", o->domain,
            o->address.host, d.when);
        return false;
    }
    log_info(log, "\"%s\" is not here: it went to %s at %s, and is there: nothing is left to do",
        o->domain, o->address.host, d.when);
    return true;
}
