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
#include "cmd/handoff/machine.h"
#include "cmd/paths.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    JOURNAL_NAME_BYTES = 256,
    JOURNAL_UUID_BYTES = 37,
    JOURNAL_PEER_BYTES = 400,
    JOURNAL_ID_BYTES = 33,   /* 32 hex digits: of a journal, of a session */
    JOURNAL_BOOT_BYTES = 37, /* the kernel's boot_id */
    JOURNAL_KEY_BYTES = 64,
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
    char name[JOURNAL_NAME_BYTES];  /* the guest's own, without suffix */
    char peer[JOURNAL_PEER_BYTES];  /* the other host, for messages */
    char session[JOURNAL_ID_BYTES]; /* empty: not agreed on yet */
    char boot[JOURNAL_BOOT_BYTES];  /* this host's, when the record was written */
    /* Source: where the other end is, and what its READY said of it. */
    char host[JOURNAL_PEER_BYTES];
    int port;
    bool insecure;
    char peer_journal[JOURNAL_ID_BYTES];
    /* Destination. */
    char peer_key[JOURNAL_KEY_BYTES];  /* the source's fingerprint; empty: --insecure */
    char moved_to[JOURNAL_PEER_BYTES]; /* the host that it moved on to */
    pid_t supervisor;
    pid_t helper; /* 0: not known */
};

struct journal {
    struct journal_record now; /* change it, then journal_save() */
    char path[JOURNAL_PATH_BYTES];
    int lock_fd;
};

/* 32 hex digits. */
bool journal_is_id(const char *text);

/* This host's boot id, and the journal's own, made when there is none. */
int journal_boot(char boot[static JOURNAL_BOOT_BYTES], struct err *e);
int journal_id(char id[static JOURNAL_ID_BYTES], struct err *e);

/* Take the lock and write the first state. ERR_REFUSED (-EBUSY) when a migration of that domain
 * in that role is under way; also when an old one left a record that still means something here. */
int journal_begin(struct journal *f, const struct journal_record *first, struct err *e);

/* The record that is there, locked. -ENOENT without an error when there is none; ERR_REFUSED
 * (-EBUSY) when a migration is in charge of it. */
int journal_open(struct journal *f, enum handoff_role role, const char *uuid, struct err *e);

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

/* Every record nobody is in charge of any more. visit owns f, locked, and ends with
 * journal_remove() or journal_keep(). A file that makes no sense is logged and left alone. */
int journal_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct journal *f), void *arg, struct err *e);

/* Pure: text to state and back (malloc'ed). -EBADMSG for text that makes no sense. */
int journal_parse(const char *text, size_t len_bytes, struct journal_record *s, struct err *e);
char *journal_text(const struct journal_record *s);

#endif
