/* SPDX-License-Identifier: MIT */
/*
 * Bringing a guest back, decided by what Xen says and not by a return code: after a failed
 * migration or checkpoint, for `xmigrate --recover`, `--resolve` and `--resume DOM`.
 */
#ifndef CMD_XMIGRATE_HANDOFF_BRING_BACK_H
#define CMD_XMIGRATE_HANDOFF_BRING_BACK_H

#include "cmd/handoff/journal.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/libxl/calls.h"

enum brought_back {
    BACK_UNKNOWN,   /* Xen could not be asked, or would not resume it */
    BACK_RUNNING,   /* it had never stopped, or runs again: there was nothing to do */
    BACK_CONTINUED, /* it ran, but its device model was paused: that runs on */
    BACK_RESUMED,   /* it was suspended and is resumed, with a monitor */
    BACK_GONE,      /* no such domain any more */
};

/* The source's guest, not given away (or given back): if it is suspended, it is resumed before all
 * else, by hypercalls, so that no libxl and no xenstored that hangs keeps it waiting; then
 * xenstored knows, its device model runs, it has a monitor, and its own cap back. What of that
 * fails is an error, but *found says that it runs. Its log-dirty mode is switched off first if we
 * may have switched it on (left->logging): somebody else's migration would lose pages by it. If the
 * lock, which the caller holds, says that it is asked to suspend, that is taken back, or waited
 * for. */
int bring_back_guest(struct xl *xl, const struct journal_record *left,
    const struct domain_lock *lock, enum brought_back *found, struct err *e);

/* It is known to run here. */
static inline bool brought_back_runs(enum brought_back found)
{
    return found == BACK_RUNNING || found == BACK_CONTINUED || found == BACK_RESUMED;
}

/* Its log-dirty mode off and nothing noted, if we may have switched that on and no migration or
 * checkpoint of it is under way. */
int bring_back_unlogged(struct xl *xl, const struct journal_record *left, struct err *e);

/* And its own name, which a guest may have lost that was given away. */
int bring_back_name(struct xl *xl, const struct journal_record *left, struct err *e);

/* Give the guest its own cap back, if it was slowed down. */
int bring_back_cap(struct xl *xl, const struct journal_record *left, struct err *e);

#endif
