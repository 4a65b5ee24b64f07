/* SPDX-License-Identifier: MIT */
/*
 * What dead processes left, settled from their records: `xmigrate --recover` and `--resolve`, and
 * the questions of a source about an arrival.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RECOVER_H
#define CMD_XMIGRATE_HANDOFF_RECOVER_H

#include "base/log.h"
#include "cmd/handoff/journal.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/libxl/calls.h"

/* A guest that once arrived here is given to another host in that session: note that in the record
 * of its arrival, unless that is of the same session, for it moved within this host. */
void recover_pass_on(
    const struct log *log, const char *uuid, const char *session, const char *where);

/* xmigrate --recover: every record that nobody is in charge of. Returns the exit code: 0 when
 * nothing is left to do, 3 when something failed, 4 when a person has to decide. */
int recover_main(const struct log *log);

/* The same, but a guest that is to be built again from a file stays in it: that would take as long
 * as a restore does. It is left to the next of the others. */
int recover_briefly(const struct log *log);

/* As recover_main(); of each record it is told what it said, what it says now, and what went wrong
 * (NULL: nothing). */
struct recover_report {
    void (*settled)(void *arg, const struct journal_record *before, enum handoff_state now,
        const struct err *why);
    void *arg;
};
int recover_reporting(const struct recover_report *report, const struct log *log);

/* The other end of a hand-off, for those who can reach it. */
struct recover_peer {
    /* What it says of a guest that was given to it: HANDOFF_STARTED_CAME, HANDOFF_FAILED_CAME, or
     * HANDOFF_NO_ANSWER, the reason logged. */
    enum handoff_event (*ask)(void *arg, const struct journal_record *s);
    /* It may forget what it said. */
    void (*heard)(void *arg);
    void *arg;
};

/* xmigrate --resolve [DOM]: as recover_main(), but only what was moved from here, and the other end
 * is asked. dom is a name or a number; NULL: all. */
int recover_given(const struct recover_peer *peer, const char *dom, const struct log *log);

/* The source asks what became of an arrival. When this returns 0, the record, which is locked,
 * holds the answer, also on disk; its state is not HANDOFF_TAKEN then. */
int recover_answer(struct xl *xl, const struct log *log, struct journal *j, struct err *e);

/* It has heard the answer: the record goes, and a guest that runs here gets its name. */
int recover_heard(struct xl *xl, const struct log *log, struct journal *j, struct err *e);

#endif
