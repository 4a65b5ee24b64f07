/*
 * State files: what a migration must leave behind for --recover when all its processes die. One
 * file for each migration in the run directory, out-UUID.json at the source and in-UUID.json at the
 * destination, replaced as a whole (temporary file, fsync, rename), and a lock file beside it
 * that the supervisor holds while it lives.
 *
 * The lock of cmd/lock.h keeps engines off one domain and is the helper's too; this one says that
 * somebody is still in charge of the file.
 */
#ifndef CMD_XMIGRATE_HANDOFF_STATE_H
#define CMD_XMIGRATE_HANDOFF_STATE_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/paths.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    STATE_NAME_BYTES = 256,
    STATE_UUID_BYTES = 37,
    STATE_PEER_BYTES = 300,
    STATE_PATH_BYTES = PATHS_BYTES + 64,
};

#define STATE_NO_DOMID UINT32_MAX
#define STATE_NO_CAP   (-1)

enum state_role { STATE_SOURCE, STATE_DESTINATION };

enum state_phase {
    STATE_LIVE,     /* source: the guest is ours, running or suspended */
    STATE_GIVEN,    /* source: GO was or may have been sent */
    STATE_INCOMING, /* destination: being built */
    STATE_TAKEN,    /* destination: GO came; it may run here */
};

struct state {
    enum state_role role;
    enum state_phase phase;
    bool logging;    /* source: log-dirty may be on, and by us */
    bool suspending; /* source: the guest was asked to suspend; whoever monitored it has left */
    int cap; /* source: the guest's own, to be put back for one of ours; STATE_NO_CAP: it is */
    uint32_t domid; /* STATE_NO_DOMID: not known yet */
    char uuid[STATE_UUID_BYTES];
    char name[STATE_NAME_BYTES]; /* the guest's own, without suffix */
    char peer[STATE_PEER_BYTES]; /* the other host, for messages */
    pid_t supervisor;
    pid_t helper; /* 0: not known */
};

struct state_file {
    struct state now; /* change it, then state_save() */
    char path[STATE_PATH_BYTES];
    int lock_fd;
};

/* Take the lock and write the first state. ERR_REFUSED (-EBUSY) when a migration of that domain
 * in that role is under way; also when an old one left a file, unless that says that the guest was
 * not touched yet. */
int state_begin(struct state_file *f, const struct state *first, struct err *e);

/* On disk when it returns 0. */
int state_save(struct state_file *f, struct err *e);

/* The migration is over and nothing needs to be remembered. */
void state_remove(struct state_file *f);
/* Leave the file for a person or --recover to find. */
void state_keep(struct state_file *f);

/* A migration of that domain in that role is under way, or left its file. */
bool state_exists(enum state_role role, const char *uuid);

/* Every state file nobody is in charge of any more. visit owns f, locked, and ends with
 * state_remove() or state_keep(). A file that makes no sense is logged and left alone. */
int state_visit_orphans(const struct log *log, void (*visit)(void *arg, struct state_file *f),
    void *arg, struct err *e);

/* Pure: text to state and back (malloc'ed). -EBADMSG for text that makes no sense. */
int state_parse(const char *text, size_t len_bytes, struct state *s, struct err *e);
char *state_text(const struct state *s);

const char *state_phase_name(enum state_phase phase);

#endif
