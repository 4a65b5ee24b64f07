/* SPDX-License-Identifier: MIT */
/*
 * The journal: which state the hand-off of a guest is in (machine.h), and what else must be known
 * to bring it to an end when all processes of the migration die, or the power goes. One file for
 * each migration in the state directory, out-UUID.json at the source and in-UUID.json at the
 * destination, and a lock file beside it that the supervisor holds while it lives.
 *
 * A record has a file of fixed size and a second one of the same size. What changes is written to
 * the second, and then they change names (fsync of file and directory): a full disk cannot stop
 * what has begun. Where only the state has changed, or what is to be undone, the record itself is
 * amended (record.h): one sector is written in place, and fdatasync has no metadata to write. That
 * is how the decisive states are saved, because the guest stands still. What a host knows of
 * settled arrivals is kept until the source has acknowledged it; a record that gives way to a new
 * arrival of the guest is set aside as past-SESSION.json.
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
    int64_t decisive_save_ns;      /* and for "given" or "taken" */
    bool amendable;                /* the record's file is on disk under its name, */
    int record_fd;                 /* open here, */
    struct journal_record written; /* and says this before it is amended */
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

/* A guest was given away, and it is not known what came of that, or its copy here is still to be
 * destroyed; and nobody is in charge of it. */
bool journal_any_unsettled(void);

/* That process has left an arrival that is not settled. */
bool journal_left_by(pid_t supervisor);

/* On disk when it returns 0. */
int journal_save(struct journal *f, struct err *e);
/* Survives every process. After a power loss the record may say what it said before. */
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
