/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/journal.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"
#include "cmd/handoff/journal_id.h"
#include "cmd/lock_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another process may amend a record while it is read. */
enum { READ_TRIES = 3 };

/* path.json -> path.SUFFIX */
static void sibling(const char *path, const char *suffix, char out[static JOURNAL_PATH_BYTES])
{
    const size_t stem = strlen(path) - strlen("json");

    snprintf(out, JOURNAL_PATH_BYTES, "%.*s%s", (int)stem, path, suffix);
}

/* -EBUSY without an error when another process holds it. */
static int take_lock(const char *state_path, int *lock_fd, struct err *e)
{
    char path[JOURNAL_PATH_BYTES];
    int fd, rc;

    sibling(state_path, "lock", path);
    rc = lock_file_take(path, &fd);
    if (!rc)
        *lock_fd = fd;
    else if (rc == -EWOULDBLOCK)
        close(fd);
    else
        return err_sys(e, ERR_LOCAL, -rc, "cannot open the lock %s", path);
    return rc ? -EBUSY : 0;
}

/* A note of READY is lost with the power, and then GO may have been sent. */
static void allow_for_power_loss(struct journal_record *s)
{
    if (s->state == HANDOFF_COMING && !journal_is_of_this_boot(s))
        s->state = HANDOFF_READY;
}

/* How many bytes, or -errno. */
static ssize_t read_text(const char *path, char text[static JOURNAL_FILE_BYTES], struct err *e)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const ssize_t n = read(fd, text, JOURNAL_FILE_BYTES);
    const int code = errno;

    close(fd);
    return n < 0 ? err_sys(e, ERR_LOCAL, code, "cannot read %s", path) : n;
}

/* -ENOENT without an error when there is none. */
static int load(const char *path, struct journal_record *s, struct err *e)
{
    char text[JOURNAL_FILE_BYTES];
    struct err why;
    int rc = -EBADMSG;

    for (int i = 0; i < READ_TRIES && rc == -EBADMSG; i++) {
        const ssize_t n = read_text(path, text, e);

        if (n < 0)
            return (int)n;
        why = (struct err)ERR_INIT;
        rc = journal_parse(text, (size_t)n, s, &why);
    }
    if (rc)
        err_take(e, &why);
    else
        rc = journal_check_name(s, strrchr(path, '/') + 1, e);
    err_prepend(e, "%s", path);
    if (!rc)
        allow_for_power_loss(s);
    return rc;
}

/* The file for the next state: all its bytes are there before they are needed. */
static int open_spare(const char *path, struct err *e)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int rc = fd < 0 ? errno : posix_fallocate(fd, 0, JOURNAL_FILE_BYTES);

    if (!rc)
        return fd;
    rc = err_sys(e, ERR_LOCAL, rc, "cannot make %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What was the record is the spare file then. The very first record has none to change with. */
static int change_names(const char *spare, const char *path, struct err *e)
{
    if (!renameat2(AT_FDCWD, spare, AT_FDCWD, path, RENAME_EXCHANGE) ||
        (errno == ENOENT && !rename(spare, path)))
        return 0;
    return err_sys(e, ERR_LOCAL, errno, "cannot replace %s", path);
}

/* The file, open. */
static int write_record(const struct journal_record *s, const char *spare, struct err *e)
{
    char text[JOURNAL_FILE_BYTES];
    int rc = journal_file_text(s, text, e);

    err_prepend(e, "%s", spare);
    if (rc)
        return rc;

    const int fd = open_spare(spare, e);

    if (fd < 0)
        return fd;
    rc = io_write_full(fd, text, sizeof(text), NULL, DEADLINE_NEVER);
    if (!rc && fsync(fd))
        rc = -errno;
    if (!rc)
        return fd;
    close(fd);
    return err_sys(e, ERR_LOCAL, -rc, "cannot write %s", spare);
}

static int stamp_boot(struct journal *f, struct err *e)
{
    const int rc = *f->boot ? 0 : journal_boot(f->boot, e);

    if (rc)
        f->boot[0] = '\0';
    memcpy(f->now.boot, f->boot, sizeof(f->now.boot));
    return rc;
}

static void close_record(struct journal *f)
{
    if (f->amendable)
        close(f->record_fd);
    f->amendable = false;
}

/* A new file under the record's name, also on disk: the old one is written to next, and the power
 * shall not bring it back. So the new one can be amended. */
static int replace_record(struct journal *f, struct err *e)
{
    char spare[JOURNAL_PATH_BYTES];

    close_record(f);
    sibling(f->path, "new", spare);

    const int fd = write_record(&f->now, spare, e);
    int rc = fd < 0 ? fd : change_names(spare, f->path, e);

    if (!rc)
        rc = journal_sync_dir(f->path, e);
    if (!rc) {
        f->record_fd = fd;
        f->amendable = true;
        memcpy(&f->written, &f->now, sizeof(f->written));
    } else if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* It was copied byte by byte: if the same was said in other bytes, it is only written again. */
static bool can_amend(const struct journal *f)
{
    struct journal_record s;

    if (!f->amendable)
        return false;
    memcpy(&s, &f->now, sizeof(s));
    s.state = f->written.state;
    s.logging = f->written.logging;
    s.suspending = f->written.suspending;
    return !memcmp(&s, &f->written, sizeof(s));
}

static int amend(struct journal *f, bool sync, struct err *e)
{
    char text[JOURNAL_AMENDMENT_BYTES];
    ssize_t n;

    journal_amendment(&f->now, text);
    n = pwrite(f->record_fd, text, sizeof(text), JOURNAL_AMENDMENT_AT);
    if (n == (ssize_t)sizeof(text) && !(sync && fdatasync(f->record_fd)))
        return 0;
    n = n < 0 || n == (ssize_t)sizeof(text) ? errno : EIO;
    close_record(f);
    return err_sys(e, ERR_LOCAL, (int)n, "cannot write %s", f->path);
}

static int put(struct journal *f, bool sync, struct err *e)
{
    const int rc = stamp_boot(f, e);

    if (rc)
        return rc;
    return can_amend(f) ? amend(f, sync, e) : replace_record(f, e);
}

static void note_save(struct journal *f, int64_t begun_ns)
{
    const int64_t took_ns = now_ns() - begun_ns;

    if (handoff_is_in_doubt(f->now.state))
        f->decisive_save_ns = took_ns;
    f->slowest_save_ns = took_ns > f->slowest_save_ns ? took_ns : f->slowest_save_ns;
}

int journal_save(struct journal *f, struct err *e)
{
    const int64_t begun_ns = now_ns();
    const int rc = put(f, true, e);

    note_save(f, begun_ns);
    return rc;
}

int journal_note(struct journal *f, struct err *e)
{
    return put(f, false, e);
}

static void name_file(
    const char *dir, enum handoff_role role, const char *uuid, char path[static JOURNAL_PATH_BYTES])
{
    snprintf(path, JOURNAL_PATH_BYTES, "%s/%s-%s.json", dir, role == HANDOFF_SOURCE ? "out" : "in",
        uuid);
}

bool journal_exists(enum handoff_role role, const char *uuid)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    struct err ignored = ERR_INIT;

    if (open_state_dir(dir, &ignored))
        return false;
    name_file(dir, role, uuid, path);
    return !access(path, F_OK);
}

static void begin_handle(struct journal *f)
{
    f->lock_fd = -1;
    f->boot[0] = '\0';
    f->amendable = false;
    f->slowest_save_ns = f->decisive_save_ns = 0;
}

/* Locks it, whether it is there or not. */
static int lock_record(
    struct journal *f, enum handoff_role role, const char *uuid, const char *name, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = open_state_dir(dir, e);

    begin_handle(f);
    if (rc)
        return rc;
    if (!journal_is_uuid(uuid))
        return err_set(e, ERR_INTERNAL, EINVAL, "\"%s\" is no UUID", uuid);
    name_file(dir, role, uuid, f->path);
    rc = take_lock(f->path, &f->lock_fd, e);
    if (rc == -EBUSY && !err_is_set(e))
        err_set(e, ERR_REFUSED, EBUSY, "\"%s\" is being %s already", name,
            role == HANDOFF_SOURCE ? "moved away" : "received");
    return rc;
}

/* What an earlier migration left says no. */
static int refuse_left(const struct journal *f, const struct journal_record *old, struct err *e)
{
    if (handoff_is_in_doubt(old->state))
        return err_set(e, ERR_REFUSED, EBUSY,
            "an earlier migration of \"%s\" ended in doubt (%s says %s): xmigrate --recover says "
            "what can be done",
            old->name, f->path, handoff_state_name(old->state));
    if (!journal_is_harmless(old) && !journal_is_history(old))
        return err_set(e, ERR_REFUSED, EBUSY,
            "an earlier migration of \"%s\" left something behind: run xmigrate --recover first",
            old->name);
    return 0;
}

/* A source that moves the guest here again has settled what was before. Another one may still ask
 * what became of the guest that it gave to this host. */
static int set_aside(const struct journal *f, const struct journal_record *old, struct err *e)
{
    char past[JOURNAL_PATH_BYTES];

    if (!journal_is_history(old) || !old->session[0] ||
        (old->peer_key[0] && !strcmp(old->peer_key, f->now.peer_key)))
        return 0;
    snprintf(past, sizeof(past), "%.*s/past-%s.json", (int)(strrchr(f->path, '/') - f->path),
        f->path, old->session);
    return rename(f->path, past) ? err_sys(e, ERR_LOCAL, errno, "cannot set %s aside", f->path) : 0;
}

int journal_begin(struct journal *f, const struct journal_record *first, struct err *e)
{
    struct journal_record old;
    int rc;

    f->now = *first;
    rc = lock_record(f, first->role, first->uuid, first->name, e);
    if (rc)
        return rc;
    rc = load(f->path, &old, e);
    if (!rc) {
        rc = refuse_left(f, &old, e);
        if (!rc)
            rc = set_aside(f, &old, e);
    } else if (rc == -ENOENT && !err_is_set(e)) {
        rc = 0;
    }
    if (rc) {
        journal_keep(f);
        return rc;
    }
    rc = stamp_boot(f, e);
    /* Twice: then both files are there, and it was seen that they can change names. */
    for (int i = 0; i < 2 && !rc; i++)
        rc = replace_record(f, e);
    if (rc)
        journal_remove(f); /* nothing has begun */
    return rc;
}

int journal_open(struct journal *f, enum handoff_role role, const char *uuid, struct err *e)
{
    int rc = lock_record(f, role, uuid, uuid, e);

    if (rc)
        return rc;
    rc = load(f->path, &f->now, e);
    if (rc == -ENOENT && !err_is_set(e))
        journal_remove(f); /* the lock was made for nothing */
    else if (rc)
        journal_keep(f);
    return rc;
}

static bool is_state_name(const char *name)
{
    const size_t len = strlen(name);

    return (!strncmp(name, "in-", 3) || !strncmp(name, "out-", 4) || !strncmp(name, "past-", 5)) &&
           len > 5 && !strcmp(name + len - 5, ".json");
}

/* The record that has this path, if it is of that session. */
static int open_if_of(struct journal *f, const char *path, const char *session, struct err *e)
{
    struct journal_record seen;
    int rc = load(path, &seen, e);

    begin_handle(f);
    if (rc)
        return rc;
    if (strcmp(seen.session, session))
        return -ENOENT;
    snprintf(f->path, sizeof(f->path), "%s", path);
    rc = take_lock(path, &f->lock_fd, e);
    if (rc == -EBUSY && !err_is_set(e))
        return err_set(e, ERR_REFUSED, EBUSY, "\"%s\" is still being received", seen.name);
    if (!rc)
        rc = load(path, &f->now, e);
    if (!rc && strcmp(f->now.session, session))
        rc = -ENOENT;
    if (rc)
        journal_keep(f);
    return rc;
}

int journal_open_session(struct journal *f, const char *uuid, const char *session, struct err *e)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    int rc = open_state_dir(dir, e);

    f->lock_fd = -1;
    if (rc)
        return rc;
    if (!journal_is_uuid(uuid) || !journal_is_id(session))
        return -ENOENT;
    name_file(dir, HANDOFF_DESTINATION, uuid, path);
    rc = open_if_of(f, path, session, e);
    if (rc != -ENOENT || err_is_set(e))
        return rc;
    snprintf(path, sizeof(path), "%s/past-%s.json", dir, session);
    return open_if_of(f, path, session, e);
}

bool journal_is_past(const struct journal *f)
{
    return !strncmp(strrchr(f->path, '/') + 1, "past-", 5);
}

/* Is there a record of that role that is so? */
static bool find_record(
    enum handoff_role role, bool (*is_so)(const char *path, const void *arg), const void *arg)
{
    const char *prefix = role == HANDOFF_SOURCE ? "out-" : "in-";
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_state_dir(dir, &ignored) ? NULL : opendir(dir);
    bool found = false;

    for (const struct dirent *entry; d && !found && (entry = readdir(d));)
        found = is_state_name(entry->d_name) && !strncmp(entry->d_name, prefix, strlen(prefix)) &&
                snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path) &&
                is_so(path, arg);
    if (d)
        closedir(d);
    return found;
}

static bool is_there(const char *path, const void *arg)
{
    (void)path;
    (void)arg;
    return true;
}

bool journal_any(enum handoff_role role)
{
    return find_record(role, is_there, NULL);
}

/* Nobody is in charge of it: a migration that has just given its guest away is. */
static bool is_unsettled(const char *path, const void *arg)
{
    struct err ignored = ERR_INIT;
    struct journal f = {.lock_fd = -1};
    bool unsettled = !load(path, &f.now, &ignored) &&
                     (f.now.state == HANDOFF_GIVEN || f.now.state == HANDOFF_MOVED);

    (void)arg;
    if (!unsettled)
        return false;
    snprintf(f.path, sizeof(f.path), "%s", path);
    unsettled = !take_lock(path, &f.lock_fd, &ignored);
    journal_keep(&f);
    return unsettled;
}

bool journal_any_unsettled(void)
{
    return find_record(HANDOFF_SOURCE, is_unsettled, NULL);
}

static bool is_left_by(const char *path, const void *arg)
{
    const pid_t *supervisor = arg;
    struct err ignored = ERR_INIT;
    struct journal_record s;

    return !load(path, &s, &ignored) && s.supervisor == *supervisor && !journal_is_history(&s);
}

bool journal_left_by(pid_t supervisor)
{
    return find_record(HANDOFF_DESTINATION, is_left_by, &supervisor);
}

void journal_remove(struct journal *f)
{
    if (f->lock_fd < 0)
        return;
    unlink(f->path);
    journal_keep(f);
}

/* Without a record there is nothing to lock or to write anew. */
void journal_keep(struct journal *f)
{
    char path[JOURNAL_PATH_BYTES];

    if (f->lock_fd < 0)
        return;
    close_record(f);
    if (access(f->path, F_OK) && errno == ENOENT) {
        sibling(f->path, "new", path);
        unlink(path);
        sibling(f->path, "lock", path);
        lock_file_drop(path, f->lock_fd);
    } else {
        close(f->lock_fd);
    }
    f->lock_fd = -1;
}

/* A lock or a next state whose record is not there: keeping nothing removes them. */
static void sweep_one(const char *dir, const char *name)
{
    const char *dot = strrchr(name, '.');
    struct err ignored = ERR_INIT;
    struct journal f = {.lock_fd = -1};
    char record[NAME_MAX + 8];

    if (!dot || (strcmp(dot, ".lock") && strcmp(dot, ".new")))
        return;
    snprintf(record, sizeof(record), "%.*s.json", (int)(dot - name), name);
    if (is_state_name(record) &&
        snprintf(f.path, sizeof(f.path), "%s/%s", dir, record) < (int)sizeof(f.path) &&
        access(f.path, F_OK) && errno == ENOENT && !take_lock(f.path, &f.lock_fd, &ignored))
        journal_keep(&f);
}

void journal_sweep(void)
{
    char dir[PATHS_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_state_dir(dir, &ignored) ? NULL : opendir(dir);

    for (const struct dirent *entry; d && (entry = readdir(d));)
        sweep_one(dir, entry->d_name);
    if (d)
        closedir(d);
}

/* 1: it makes no sense. */
static int visit_one(
    const struct log *log, const char *path, void (*visit)(void *arg, struct journal *f), void *arg)
{
    struct err e = ERR_INIT;
    struct journal f = {.lock_fd = -1};

    snprintf(f.path, sizeof(f.path), "%s", path);
    if (!take_lock(path, &f.lock_fd, &e) && !load(path, &f.now, &e)) {
        visit(arg, &f);
        return 0;
    }
    if (e.code == EBADMSG)
        log_error(log,
            "%s; it is left as it is: see whether the domain runs here (xl list) or on the other "
            "host, then remove the file",
            e.text);
    else if (err_is_set(&e))
        log_error(log, "%s; the record is left as it is: try again", e.text);
    journal_keep(&f);
    return err_is_set(&e);
}

int journal_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct journal *f), void *arg, struct err *e)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    int rc = open_state_dir(dir, e);

    if (rc)
        return rc;

    DIR *d = opendir(dir);

    if (!d)
        return err_sys(e, ERR_LOCAL, errno, "cannot read the state directory %s", dir);
    for (int arrivals = 0; arrivals < 2; arrivals++, rewinddir(d))
        for (const struct dirent *entry; (entry = readdir(d));)
            if (is_state_name(entry->d_name) && (entry->d_name[0] != 'o') == arrivals &&
                snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
                rc += visit_one(log, path, visit, arg);
    closedir(d);
    return rc;
}
