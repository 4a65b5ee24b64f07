/*
 * The journal: which state the hand-off of a guest is in (machine.h), and what else must be known
 * to bring it to an end when all processes of the migration die. One file for each migration in
 * the run directory, out-UUID.json at the source and in-UUID.json at the
 * destination, replaced as a whole (temporary file, fsync, rename), and a lock file beside it
 * that the supervisor holds while it lives.
 *
 * The lock of cmd/lock.h keeps engines off one domain and is the helper's too; this one says that
 * somebody is still in charge of the file.
 */
#ifndef CMD_HANDOFF_JOURNAL_H
#define CMD_HANDOFF_JOURNAL_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/handoff/machine.h"
#include "cmd/paths.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    JOURNAL_NAME_BYTES = 256,
    JOURNAL_UUID_BYTES = 37,
    JOURNAL_PEER_BYTES = 300,
    JOURNAL_PATH_BYTES = PATHS_BYTES + 64,
};

#define JOURNAL_NO_DOMID UINT32_MAX
#define JOURNAL_NO_CAP   (-1)

struct journal_record {
    enum handoff_role role;
    enum handoff_state state; /* one that is recorded */
    bool logging;             /* source: log-dirty may be on, and by us */
    bool suspending; /* source: the guest was asked to suspend; whoever monitored it has left */
    int cap; /* source: the guest's own, to be put back for one of ours; JOURNAL_NO_CAP: it is */
    uint32_t domid; /* JOURNAL_NO_DOMID: not known yet */
    char uuid[JOURNAL_UUID_BYTES];
    char name[JOURNAL_NAME_BYTES]; /* the guest's own, without suffix */
    char peer[JOURNAL_PEER_BYTES]; /* the other host, for messages */
    pid_t supervisor;
    pid_t helper; /* 0: not known */
};

struct journal {
    struct journal_record now; /* change it, then journal_save() */
    char path[JOURNAL_PATH_BYTES];
    int lock_fd;
};

/* Take the lock and write the first state. ERR_REFUSED (-EBUSY) when a migration of that domain
 * in that role is under way; also when an old one left a file, unless that says that the guest was
 * not touched yet. */
int journal_begin(struct journal *f, const struct journal_record *first, struct err *e);

/* The record that is there, locked. -ENOENT without an error when there is none; ERR_REFUSED
 * (-EBUSY) when a migration is in charge of it. */
int journal_open(struct journal *f, enum handoff_role role, const char *uuid, struct err *e);

/* On disk when it returns 0. */
int journal_save(struct journal *f, struct err *e);

/* The migration is over and nothing needs to be remembered. */
void journal_remove(struct journal *f);
/* Leave the file for a person or --recover to find. */
void journal_keep(struct journal *f);

/* A migration of that domain in that role is under way, or left its file. */
bool journal_exists(enum handoff_role role, const char *uuid);

/* Every state file nobody is in charge of any more. visit owns f, locked, and ends with
 * journal_remove() or journal_keep(). A file that makes no sense is logged and left alone. */
int journal_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct journal *f), void *arg, struct err *e);

/* Pure: text to state and back (malloc'ed). -EBADMSG for text that makes no sense. */
int journal_parse(const char *text, size_t len_bytes, struct journal_record *s, struct err *e);
char *journal_text(const struct journal_record *s);

#endif
