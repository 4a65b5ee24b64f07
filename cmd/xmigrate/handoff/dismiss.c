/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/dismiss.h"

#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/machine.h"

#include <errno.h>
#include <string.h>

struct dismissal {
    const char *dom;
    const struct log *log;
    unsigned dismissed, open;
};

static void dismiss(void *arg, struct journal *j)
{
    struct dismissal *d = arg;
    const struct journal_record *now = &j->now;

    if (strcmp(d->dom, now->name) && strcmp(d->dom, now->uuid)) {
        journal_keep(j);
    } else if (handoff_next(now->role, now->state, HANDOFF_DISMISSED).actions & HANDOFF_FORGET) {
        log_info(d->log, "what became of \"%s\" (%s), which came from %s, is forgotten", now->name,
            now->uuid, now->peer);
        d->dismissed++;
        journal_remove(j);
    } else {
        d->open++;
        journal_keep(j);
    }
}

static int dismiss_all(struct dismissal *d, struct err *e)
{
    const int rc = journal_visit_orphans(d->log, dismiss, d, e);

    if (rc < 0 || d->dismissed)
        return rc < 0 ? rc : 0;
    if (d->open)
        return err_set(e, ERR_REFUSED, EBUSY,
            "a migration of \"%s\" is still open: xmigrate --recover and xmigrate --resolve settle "
            "it",
            d->dom);
    return err_set(
        e, ERR_REFUSED, ESRCH, "this host remembers no arrival of \"%s\" that is over", d->dom);
}

int dismiss_main(const char *dom, const struct log *log)
{
    struct dismissal d = {.dom = dom, .log = log};
    struct err e = ERR_INIT;

    if (!dismiss_all(&d, &e))
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}
