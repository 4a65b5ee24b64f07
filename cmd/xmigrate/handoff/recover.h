/*
 * Bringing a guest back, decided by what Xen says and not by a return code: after a failed
 * migration, for `xmigrate --recover` and `--resume DOM`.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RECOVER_H
#define CMD_XMIGRATE_HANDOFF_RECOVER_H

#include "base/log.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/calls.h"

enum recover_found {
    RECOVER_RUNNING, /* it had never stopped, or runs again: nothing was to be done */
    RECOVER_RESUMED, /* it was suspended and is resumed, with a monitor */
    RECOVER_GONE,    /* no such domain any more */
};

/* The source's guest, not given away (or given back): its own name and cap back, and if it is
 * suspended, resumed and a monitor started. Its log-dirty mode is switched off if we may have
 * switched it on (left->logging): somebody else's migration would lose pages by it. The caller
 * holds the domain's lock. */
int recover_guest(
    struct xl *xl, const struct journal_record *left, enum recover_found *found, struct err *e);

/* xmigrate --recover: every record nobody is in charge of. Returns the exit code: 0 when
 * nothing is left to do, 3 when something failed, 4 when a person must look. */
int recover_main(const struct log *log);

/* xmigrate --resume [--force] DOM. Returns the exit code. Without force a guest that was given away
 * is refused, with the advice for it. */
int resume_main(const char *dom, bool force, const struct log *log);

#endif
