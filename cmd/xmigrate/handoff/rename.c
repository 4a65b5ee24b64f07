/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/rename.h"

#include "base/deadline.h"
#include "cmd/handoff/names.h"

#include <stdio.h>
#include <string.h>

/* The destination waits to be heard meanwhile, for 6 s at least. */
#define AWAY_NS (5 * NS_PER_S)

enum { TAIL_BYTES = 16 };

_Static_assert(sizeof(HANDOFF_AWAY) <= TAIL_BYTES && sizeof(HANDOFF_INCOMING) <= TAIL_BYTES,
    "a name with a tail fits");

void rename_away(struct xl *xl, uint32_t domid, const char *called, const char *name)
{
    char away[XL_NAME_BYTES + TAIL_BYTES];
    struct err e = ERR_INIT;

    snprintf(away, sizeof(away), "%s%s", name, HANDOFF_AWAY);
    if (!strcmp(called, name) && xl_rename(xl, domid, name, away, deadline_in(AWAY_NS), &e))
        log_warn(xl->log, "the suspended copy here, domain %u, is still called \"%s\": %s", domid,
            name, e.text);
}

void rename_own(struct xl *xl, uint32_t domid, const char *called, const char *name)
{
    char incoming[XL_NAME_BYTES + TAIL_BYTES];
    struct err e = ERR_INIT;

    snprintf(incoming, sizeof(incoming), "%s%s", name, HANDOFF_INCOMING);
    if (!strcmp(called, incoming) &&
        xl_rename(xl, domid, incoming, name, deadline_in(XL_SHORT_NS), &e))
        log_warn(xl->log, "\"%s\" runs here and is still called \"%s\": %s; later: xl rename %u %s",
            name, incoming, e.text, domid, name);
}
