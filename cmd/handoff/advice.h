/* SPDX-License-Identifier: MIT */
/*
 * What a person is told when a hand-off cannot be settled by this host alone: the one place where
 * such words are made. Who follows them to the letter is as safe as the programs are: never two
 * copies that run, never old memory after newer has run.
 */
#ifndef CMD_HANDOFF_ADVICE_H
#define CMD_HANDOFF_ADVICE_H

#include "cmd/handoff/journal.h"

enum { ADVICE_BYTES = 1280 };

/* For a record with our copy, domain domid, still there. */
void handoff_advice(const struct journal_record *s, uint32_t domid, char text[static ADVICE_BYTES]);

/* What this host knows of an arrival that its source may still ask about. */
void handoff_history(const struct journal_record *s, char text[static ADVICE_BYTES]);

/* A move that failed and left the guest as it was, running on at the source unless it has ended:
 * who failed, why, where the guest is, and what to do. For the source's own messages; peer: the
 * destination. */
void handoff_failure(
    const struct err *why, const char *name, const char *peer, char text[static ADVICE_BYTES]);

/* A guest that could not be brought back altogether: why becomes what failed at first, what failed
 * then, and what to do, which depends on whether it is known to run. */
void handoff_unsettled(struct err *why, const char *name, const struct err *trouble, bool runs);

#endif
