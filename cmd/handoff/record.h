/* SPDX-License-Identifier: MIT */
/* What the journal (journal.h) remembers of one migration, and its text. */
#ifndef CMD_HANDOFF_RECORD_H
#define CMD_HANDOFF_RECORD_H

#include "base/err.h"
#include "cmd/handoff/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    JOURNAL_NAME_BYTES = 256,
    JOURNAL_UUID_BYTES = 37,
    JOURNAL_PEER_BYTES = 400,
    JOURNAL_HOST_BYTES = 256,
    JOURNAL_ID_BYTES = 33,   /* 32 hex digits: of a journal, of a session */
    JOURNAL_BOOT_BYTES = 37, /* the kernel's boot_id */
    JOURNAL_KEY_BYTES = 64,
    JOURNAL_FILE_NAME_BYTES = 512,

    /* A record's file: its text, and in the last sector, which a disk writes whole or not at all,
     * what has changed since. */
    JOURNAL_FILE_BYTES = 8192,
    JOURNAL_AMENDMENT_BYTES = 512,
    JOURNAL_AMENDMENT_AT = JOURNAL_FILE_BYTES - JOURNAL_AMENDMENT_BYTES,
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
    char host[JOURNAL_HOST_BYTES];
    int port;
    bool insecure;
    char peer_journal[JOURNAL_ID_BYTES];
    /* Both: the other end's fingerprint, of which alone a question or an answer is taken; empty:
     * --insecure. */
    char peer_key[JOURNAL_KEY_BYTES];
    /* An absolute path: no other host, but a file; else empty. What is written beside it has
     * a name that follows from the supervisor's number (new_file.h). */
    char file[JOURNAL_FILE_NAME_BYTES];
    uint64_t file_inode; /* what the file is told by under either name; 0: it is not whole yet */
    bool revive;         /* the guest is to be built again from it */
    /* Of a compact file, to read it again: absolute paths; empty: it needs none. */
    char file_key[JOURNAL_FILE_NAME_BYTES];
    char file_parent[JOURNAL_FILE_NAME_BYTES];
    /* Destination. */
    char moved_to[JOURNAL_PEER_BYTES]; /* the host that it moved on to */
    pid_t supervisor;
    pid_t helper; /* 0: not known */
};

/* The first record of a guest that is built here, by this process; peer: where it comes from. */
struct journal_record journal_arrival(const char *uuid, const char *name, const char *peer);

/* 32 hex digits. */
bool journal_is_id(const char *text);
/* 8-4-4-4-12 lower-case hex digits; and what they stand for. */
bool journal_is_uuid(const char *text);
bool journal_uuid_bytes(const char *text, uint8_t bytes[static 16]);

/* Pure: a file's text to the record, as amended. -EBADMSG for text that makes no sense. */
int journal_parse(const char *text, size_t len_bytes, struct journal_record *s, struct err *e);
/* Its processes died before any of them had touched the guest. */
bool journal_is_harmless(const struct journal_record *s);
/* Settled here; it only waits for the source to hear of it. */
bool journal_is_history(const struct journal_record *s);

/* Does a file of that name (without its directory) have to hold it? A copy beside it would be a
 * second record of one migration. */
int journal_check_name(const struct journal_record *s, const char *file, struct err *e);

/* The record's text, malloc'ed; and all of a file that is not amended. */
char *journal_text(const struct journal_record *s);
int journal_file_text(
    const struct journal_record *s, char text[static JOURNAL_FILE_BYTES], struct err *e);

/* The last sector: the state and what is to be undone (logging, suspending) are these. */
void journal_amendment(const struct journal_record *s, char text[static JOURNAL_AMENDMENT_BYTES]);

#endif
