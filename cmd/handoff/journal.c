#include "cmd/handoff/journal.h"

#include "base/deadline.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOURNAL_VERSION = 3, JOURNAL_MAX_BYTES = 8192, DOMID_MAX = 0x7fef };

/* -1: none has that name. */
static int role_named(const char *name)
{
    for (int i = 0; name && i < HANDOFF_ROLES; i++)
        if (!strcmp(handoff_role_name((enum handoff_role)i), name))
            return i;
    return -1;
}

/* Of those that are recorded; -1: none has that name. */
static int state_named(const char *name)
{
    static const enum handoff_state recorded[] = {
        HANDOFF_LIVE, HANDOFF_GIVEN, HANDOFF_COMING, HANDOFF_TAKEN};

    for (size_t i = 0; name && i < sizeof(recorded) / sizeof(recorded[0]); i++)
        if (!strcmp(handoff_state_name(recorded[i]), name))
            return (int)recorded[i];
    return -1;
}

static bool take_text(const json_t *o, const char *key, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text && snprintf(out, cap, "%s", text) < (int)cap;
}

static bool take_int(const json_t *o, const char *key, json_int_t min, json_int_t max, int *v)
{
    const json_t *f = json_object_get(o, key);

    if (!json_is_integer(f) || json_integer_value(f) < min || json_integer_value(f) > max)
        return false;
    *v = (int)json_integer_value(f);
    return true;
}

/* 8-4-4-4-12 lower-case hex digits: it becomes part of a file's name. */
static bool is_uuid(const char *text)
{
    if (strlen(text) != JOURNAL_UUID_BYTES - 1)
        return false;
    for (size_t i = 0; i < JOURNAL_UUID_BYTES - 1; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

static bool read_fields(const json_t *o, struct journal_record *s)
{
    int version, domid, supervisor, helper;

    if (!take_int(o, "version", JOURNAL_VERSION, JOURNAL_VERSION, &version) ||
        !take_int(o, "domid", -1, DOMID_MAX, &domid) ||
        !take_int(o, "cap", JOURNAL_NO_CAP, UINT16_MAX, &s->cap) ||
        !take_int(o, "supervisor", 0, INT32_MAX, &supervisor) ||
        !take_int(o, "helper", 0, INT32_MAX, &helper) ||
        !json_is_boolean(json_object_get(o, "logging")) ||
        !json_is_boolean(json_object_get(o, "suspending")) ||
        !take_text(o, "uuid", s->uuid, sizeof(s->uuid)) || !is_uuid(s->uuid) ||
        !take_text(o, "name", s->name, sizeof(s->name)) ||
        !take_text(o, "peer", s->peer, sizeof(s->peer)))
        return false;

    const int role = role_named(json_string_value(json_object_get(o, "role")));
    const int state = state_named(json_string_value(json_object_get(o, "phase")));

    if (role < 0 || state < 0 ||
        handoff_role_of((enum handoff_state)state) != (enum handoff_role)role)
        return false;
    s->role = (enum handoff_role)role;
    s->state = (enum handoff_state)state;
    s->logging = json_is_true(json_object_get(o, "logging"));
    s->suspending = json_is_true(json_object_get(o, "suspending"));
    s->domid = domid < 0 ? JOURNAL_NO_DOMID : (uint32_t)domid;
    s->supervisor = supervisor;
    s->helper = helper;
    return true;
}

int journal_parse(const char *text, size_t len_bytes, struct journal_record *s, struct err *e)
{
    json_t *o = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
    struct journal_record got = {0};
    const bool good = json_is_object(o) && read_fields(o, &got);

    json_decref(o);
    if (!good)
        return err_set(
            e, ERR_LOCAL, EBADMSG, "this is not a state file of version %d", JOURNAL_VERSION);
    *s = got;
    return 0;
}

char *journal_text(const struct journal_record *s)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:b, s:i, s:I, s:s, s:s, s:s, s:i, s:i}", "version",
        JOURNAL_VERSION, "role", handoff_role_name(s->role), "phase", handoff_state_name(s->state),
        "logging", s->logging, "suspending", s->suspending, "cap", s->cap, "domid",
        s->domid == JOURNAL_NO_DOMID ? (json_int_t)-1 : (json_int_t)s->domid, "uuid", s->uuid,
        "name", s->name, "peer", s->peer, "supervisor", (int)s->supervisor, "helper",
        (int)s->helper);
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;

    json_decref(o);
    return text;
}

/* path.json -> path.SUFFIX */
static void sibling(const char *path, const char *suffix, char out[static JOURNAL_PATH_BYTES])
{
    const size_t stem = strlen(path) - strlen("json");

    snprintf(out, JOURNAL_PATH_BYTES, "%.*s%s", (int)stem, path, suffix);
}

/* -EBUSY without an error when another process holds it. The file of the lock is removed with
 * the state, so what was locked must still be what has the name. */
static int take_lock(const char *state_path, int *lock_fd, struct err *e)
{
    char path[JOURNAL_PATH_BYTES];
    struct stat held, named;

    sibling(state_path, "lock", path);
    for (;;) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
            return err_sys(e, ERR_LOCAL, errno, "cannot open the lock %s", path);
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            const int code = errno;

            close(fd);
            return code == EWOULDBLOCK ? -EBUSY
                                       : err_sys(e, ERR_LOCAL, code, "cannot lock %s", path);
        }
        if (!fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev) {
            *lock_fd = fd;
            return 0;
        }
        close(fd);
    }
}

/* -ENOENT without an error when there is none. */
static int load(const char *path, struct journal_record *s, struct err *e)
{
    char text[JOURNAL_MAX_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const ssize_t n = read(fd, text, sizeof(text));
    const int code = errno;

    close(fd);
    if (n < 0)
        return err_sys(e, ERR_LOCAL, code, "cannot read %s", path);

    const int rc = journal_parse(text, (size_t)n, s, e);

    err_prepend(e, "%s", path);
    return rc;
}

static int sync_dir(const char *path, struct err *e)
{
    char dir[JOURNAL_PATH_BYTES];

    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);

    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fsync(fd))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot sync %s", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

int journal_save(struct journal *f, struct err *e)
{
    char temp[JOURNAL_PATH_BYTES];
    char *text = journal_text(&f->now);

    if (!text)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for %s", f->path);
    sibling(f->path, "new", temp);

    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_sys(e, ERR_LOCAL, errno, "cannot write %s", temp) : 0;

    if (!rc) {
        rc = io_write_full(fd, text, strlen(text), NULL, DEADLINE_NEVER);
        if (!rc && fsync(fd))
            rc = -errno;
        if (!rc && rename(temp, f->path))
            rc = -errno;
        if (rc)
            err_sys(e, ERR_LOCAL, -rc, "cannot write %s", f->path);
        close(fd);
    }
    free(text);
    return rc ? rc : sync_dir(f->path, e);
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

    if (open_run_dir(dir, &ignored))
        return false;
    name_file(dir, role, uuid, path);
    return !access(path, F_OK);
}

/* Its processes died before any of them had touched the guest. */
static bool is_harmless(const struct journal_record *s)
{
    return s->state == HANDOFF_LIVE && !s->logging && !s->suspending && s->cap == JOURNAL_NO_CAP;
}

/* Locks it, whether it is there or not. */
static int lock_record(
    struct journal *f, enum handoff_role role, const char *uuid, const char *name, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = open_run_dir(dir, e);

    f->lock_fd = -1;
    if (rc)
        return rc;
    if (!is_uuid(uuid))
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
            "an earlier migration of \"%s\" ended in doubt (%s says %s): run xmigrate --recover, "
            "and when it is clear where the guest runs, remove that file",
            old->name, f->path, handoff_state_name(old->state));
    if (!is_harmless(old))
        return err_set(e, ERR_REFUSED, EBUSY,
            "an earlier migration of \"%s\" left something behind: run xmigrate --recover first",
            old->name);
    return 0;
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
    if (!rc)
        rc = refuse_left(f, &old, e);
    else if (rc == -ENOENT && !err_is_set(e))
        rc = 0;
    if (!rc)
        rc = journal_save(f, e);
    if (rc)
        journal_keep(f);
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

void journal_remove(struct journal *f)
{
    char lock[JOURNAL_PATH_BYTES];

    if (f->lock_fd < 0)
        return;
    sibling(f->path, "lock", lock);
    unlink(f->path);
    unlink(lock);
    journal_keep(f);
}

void journal_keep(struct journal *f)
{
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    f->lock_fd = -1;
}

static bool is_state_name(const char *name)
{
    const size_t len = strlen(name);

    return (!strncmp(name, "in-", 3) || !strncmp(name, "out-", 4)) && len > 5 &&
           !strcmp(name + len - 5, ".json");
}

static void visit_one(
    const struct log *log, const char *path, void (*visit)(void *arg, struct journal *f), void *arg)
{
    struct err e = ERR_INIT;
    struct journal f = {.lock_fd = -1};

    snprintf(f.path, sizeof(f.path), "%s", path);

    int rc = take_lock(path, &f.lock_fd, &e);

    if (!rc)
        rc = load(path, &f.now, &e);
    if (!rc) {
        visit(arg, &f);
        return;
    }
    if (err_is_set(&e))
        log_warn(log, "%s; left as it is", e.text);
    journal_keep(&f);
}

int journal_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct journal *f), void *arg, struct err *e)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    int rc = open_run_dir(dir, e);

    if (rc)
        return rc;

    DIR *d = opendir(dir);

    if (!d)
        return err_sys(e, ERR_LOCAL, errno, "cannot read the run directory %s", dir);
    for (const struct dirent *entry; (entry = readdir(d));)
        if (is_state_name(entry->d_name) &&
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
            visit_one(log, path, visit, arg);
    closedir(d);
    return 0;
}
