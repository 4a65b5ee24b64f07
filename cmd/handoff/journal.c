/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/journal.h"

#include "base/deadline.h"
#include "base/io.h"
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

enum { JOURNAL_FILE_BYTES = 8192 };

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
    struct err ignored = ERR_INIT;
    char boot[JOURNAL_BOOT_BYTES];

    if (s->state == HANDOFF_COMING && !journal_boot(boot, &ignored) && strcmp(boot, s->boot))
        s->state = HANDOFF_READY;
}

/* -ENOENT without an error when there is none. */
static int load(const char *path, struct journal_record *s, struct err *e)
{
    char text[JOURNAL_FILE_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const ssize_t n = read(fd, text, sizeof(text));
    const int code = errno;

    close(fd);
    if (n < 0)
        return err_sys(e, ERR_LOCAL, code, "cannot read %s", path);

    int rc = journal_parse(text, (size_t)n, s, e);

    if (!rc)
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

static int write_record(const struct journal_record *s, const char *spare, bool sync, struct err *e)
{
    char text[JOURNAL_FILE_BYTES];
    char *json = journal_text(s);
    const size_t len = json ? strlen(json) : 0;

    if (!json)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for %s", spare);
    if (len < sizeof(text)) {
        memcpy(text, json, len);
        memset(text + len, '\n', sizeof(text) - len);
    }
    free(json);
    if (len >= sizeof(text))
        return err_set(e, ERR_LOCAL, E2BIG, "%s would be too long", spare);

    const int fd = open_spare(spare, e);

    if (fd < 0)
        return fd;

    int rc = io_write_full(fd, text, sizeof(text), NULL, DEADLINE_NEVER);

    if (!rc && sync && fsync(fd))
        rc = -errno;
    close(fd);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot write %s", spare) : 0;
}

static int stamp_boot(struct journal *f, struct err *e)
{
    const int rc = *f->boot ? 0 : journal_boot(f->boot, e);

    if (rc)
        f->boot[0] = '\0';
    memcpy(f->now.boot, f->boot, sizeof(f->now.boot));
    return rc;
}

static int replace_record(struct journal *f, bool sync, struct err *e)
{
    char spare[JOURNAL_PATH_BYTES];
    int rc = stamp_boot(f, e);

    sibling(f->path, "new", spare);
    /* It was copied byte by byte: if the same was said in other bytes, it is only written again. */
    if (!rc && !(f->prepared && !memcmp(&f->next, &f->now, sizeof(f->now))))
        rc = write_record(&f->now, spare, sync, e);
    f->prepared = false;
    if (!rc)
        rc = change_names(spare, f->path, e);
    return rc;
}

static void note_save(struct journal *f, int64_t begun_ns)
{
    const int64_t took_ns = now_ns() - begun_ns;

    f->slowest_save_ns = took_ns > f->slowest_save_ns ? took_ns : f->slowest_save_ns;
}

int journal_prepare(struct journal *f, enum handoff_state state, struct err *e)
{
    const int64_t begun_ns = now_ns();
    char spare[JOURNAL_PATH_BYTES];
    int rc = stamp_boot(f, e);

    memcpy(&f->next, &f->now, sizeof(f->next));
    f->next.state = state;
    sibling(f->path, "new", spare);
    if (!rc)
        rc = write_record(&f->next, spare, true, e);
    f->prepared = !rc;
    note_save(f, begun_ns);
    return rc;
}

int journal_save(struct journal *f, struct err *e)
{
    const int64_t begun_ns = now_ns();
    int rc = replace_record(f, true, e);

    if (!rc)
        rc = journal_sync_dir(f->path, e);

    note_save(f, begun_ns);
    return rc;
}

int journal_note(struct journal *f, struct err *e)
{
    return replace_record(f, false, e);
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
    f->prepared = false;
    f->slowest_save_ns = 0;
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
    /* Twice: then both files are there, and it was seen that they can change names. */
    rc = journal_save(f, e);
    if (!rc)
        rc = journal_save(f, e);
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

bool journal_any(enum handoff_role role)
{
    const char *prefix = role == HANDOFF_SOURCE ? "out-" : "in-";
    char dir[PATHS_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_state_dir(dir, &ignored) ? NULL : opendir(dir);
    bool any = false;

    for (const struct dirent *entry; d && (entry = readdir(d));)
        any |= is_state_name(entry->d_name) && !strncmp(entry->d_name, prefix, strlen(prefix));
    if (d)
        closedir(d);
    return any;
}

bool journal_left_by(pid_t supervisor)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_state_dir(dir, &ignored) ? NULL : opendir(dir);
    bool left = false;

    for (const struct dirent *entry; d && !left && (entry = readdir(d));) {
        struct journal_record s;

        left = is_state_name(entry->d_name) && !strncmp(entry->d_name, "in-", 3) &&
               snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path) &&
               !load(path, &s, &ignored) && s.supervisor == supervisor && !journal_is_history(&s);
    }
    if (d)
        closedir(d);
    return left;
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
