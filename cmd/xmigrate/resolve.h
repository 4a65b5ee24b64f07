/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --resolve [DOM]: settles what became of guests that were given away. The host that a
 * guest was given to is asked, over a control connection of its own. If it ran there, our copy
 * goes; if it never will, it runs on here; else what is known and what is safe is printed, and
 * nothing is done.
 */
#ifndef CMD_XMIGRATE_RESOLVE_H
#define CMD_XMIGRATE_RESOLVE_H

#include "cmd/handoff/record.h"
#include "cmd/xmigrate/session/listener.h"
#include "cmd/xmigrate/ui/options.h"

/* Returns the exit code: 4 when something stays open. */
int resolve_main(const struct options *o, const struct log *log);
int resolve_one(const struct options *o, const char *dom, const struct log *log);

/* Only asked: does the other host say that it was started there, whatever came then? */
bool resolve_has_started(
    const struct options *o, const struct journal_record *s, const struct log *log);

/* The same for all guests, by a listener that has just started. */
int resolve_at_start(const struct listen_options *o, const struct log *log);

#endif
