/* SPDX-License-Identifier: MIT */
/*
 * The journal: which state the hand-off of a guest is in (machine.h), and what else must be known
 * to bring it to an end when all processes of the migration die, or the power goes. One file for
 * each migration in the state directory, out-UUID.json at the source and in-UUID.json at the
 * destination, and a lock file beside it that the supervisor holds while it lives.
 *
 * A record has a file of fixed size and a second one of the same size to write the next state to;
 * then they change names (fsync of file and directory): a full disk cannot stop what has begun.
 * What a host knows of settled arrivals is kept until the source has acknowledged it; a record
 * that gives way to a new arrival of the guest is set aside as past-SESSION.json.
 *
 * The journal has a random id. Who finds no record of a session asks for it: under another id
 * nothing is known, and "no record" never means "it did not run".
 *
 * The lock of cmd/lock.h keeps engines off one domain and is the helper's too; this one says that
 * somebody is still in charge of the record.
 */
#ifndef CMD_HANDOFF_JOURNAL_H
#define CMD_HANDOFF_JOURNAL_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/handoff/journal_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct journal {
    struct journal_record now; /* change it, then journal_save() */
    char path[JOURNAL_PATH_BYTES];
    int lock_fd;
    char boot[JOURNAL_BOOT_BYTES]; /* this host's, once it was asked for */
    int64_t slowest_save_ns;       /* how long the disk took at most */
    struct journal_record next;    /* what journal_prepare() wrote, */
    bool prepared;                 /* if nothing else was written since */
};

/* Take the lock and write the first state. ERR_REFUSED (-EBUSY) when a migration of that domain
 * in that role is under way; also when an old one left a record that still means something here. */
int journal_begin(struct journal *f, const struct journal_record *first, struct err *e);

/* The record that is there, locked. -ENOENT without an error when there is none; ERR_REFUSED
 * (-EBUSY) when a migration is in charge of it. */
int journal_open(struct journal *f, enum handoff_role role, const char *uuid, struct err *e);

/* What this host knows of an arrival in that session, locked; as journal_open(). */
int journal_open_session(struct journal *f, const char *uuid, const char *session, struct err *e);

/* Of an arrival before the last one: no domain here is its copy any more. */
bool journal_is_past(const struct journal *f);

/* Anything of that role is recorded. */
bool journal_any(enum handoff_role role);

/* That process has left an arrival that is not settled. */
bool journal_left_by(pid_t supervisor);

/* What is likely to be saved next is written beforehand, while nobody waits: a journal_save() of
 * just that has only the names to change. Nothing is lost when this fails. */
int journal_prepare(struct journal *f, enum handoff_state state, struct err *e);

/* On disk when it returns 0. */
int journal_save(struct journal *f, struct err *e);
/* Survives every process, but not a power loss: then the record says what it said before. */
int journal_note(struct journal *f, struct err *e);

/* The migration is over and nothing needs to be remembered. */
void journal_remove(struct journal *f);
/* Leave the file for a person or --recover to find. */
void journal_keep(struct journal *f);

/* A migration of that domain in that role is under way, or left its file. */
bool journal_exists(enum handoff_role role, const char *uuid);

/* Removes what lies beside no record: its owner was killed, or could not write. */
void journal_sweep(void);

/* Every record nobody is in charge of any more, departures first: within one host they hold the
 * names that arrivals get. visit owns f, locked, and ends with journal_remove() or journal_keep().
 * A file that makes no sense is logged and left alone: the result is how many there are, or
 * -errno. */
int journal_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct journal *f), void *arg, struct err *e);

#endif
