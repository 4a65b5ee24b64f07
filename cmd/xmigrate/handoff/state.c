#include "cmd/xmigrate/handoff/state.h"

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

enum { STATE_VERSION = 3, STATE_MAX_BYTES = 8192, DOMID_MAX = 0x7fef };

static const char *const role_names[] = {"source", "destination"};
static const char *const phase_names[] = {"live", "given", "incoming", "taken"};

const char *state_phase_name(enum state_phase phase)
{
    return phase_names[phase];
}

static int index_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (!strcmp(names[i], name))
            return (int)i;
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
    if (strlen(text) != STATE_UUID_BYTES - 1)
        return false;
    for (size_t i = 0; i < STATE_UUID_BYTES - 1; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

static bool phase_fits(enum state_role role, enum state_phase phase)
{
    return role == STATE_SOURCE ? phase == STATE_LIVE || phase == STATE_GIVEN
                                : phase == STATE_INCOMING || phase == STATE_TAKEN;
}

static bool read_fields(const json_t *o, struct state *s)
{
    int version, domid, supervisor, helper;

    if (!take_int(o, "version", STATE_VERSION, STATE_VERSION, &version) ||
        !take_int(o, "domid", -1, DOMID_MAX, &domid) ||
        !take_int(o, "cap", STATE_NO_CAP, UINT16_MAX, &s->cap) ||
        !take_int(o, "supervisor", 0, INT32_MAX, &supervisor) ||
        !take_int(o, "helper", 0, INT32_MAX, &helper) ||
        !json_is_boolean(json_object_get(o, "logging")) ||
        !json_is_boolean(json_object_get(o, "suspending")) ||
        !take_text(o, "uuid", s->uuid, sizeof(s->uuid)) || !is_uuid(s->uuid) ||
        !take_text(o, "name", s->name, sizeof(s->name)) ||
        !take_text(o, "peer", s->peer, sizeof(s->peer)))
        return false;

    const int role = index_of(role_names, 2, json_string_value(json_object_get(o, "role")));
    const int phase = index_of(phase_names, 4, json_string_value(json_object_get(o, "phase")));

    if (role < 0 || phase < 0 || !phase_fits((enum state_role)role, (enum state_phase)phase))
        return false;
    s->role = (enum state_role)role;
    s->phase = (enum state_phase)phase;
    s->logging = json_is_true(json_object_get(o, "logging"));
    s->suspending = json_is_true(json_object_get(o, "suspending"));
    s->domid = domid < 0 ? STATE_NO_DOMID : (uint32_t)domid;
    s->supervisor = supervisor;
    s->helper = helper;
    return true;
}

int state_parse(const char *text, size_t len_bytes, struct state *s, struct err *e)
{
    json_t *o = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
    struct state got = {0};
    const bool good = json_is_object(o) && read_fields(o, &got);

    json_decref(o);
    if (!good)
        return err_set(
            e, ERR_LOCAL, EBADMSG, "this is not a state file of version %d", STATE_VERSION);
    *s = got;
    return 0;
}

char *state_text(const struct state *s)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:b, s:i, s:I, s:s, s:s, s:s, s:i, s:i}", "version",
        STATE_VERSION, "role", role_names[s->role], "phase", phase_names[s->phase], "logging",
        s->logging, "suspending", s->suspending, "cap", s->cap, "domid",
        s->domid == STATE_NO_DOMID ? (json_int_t)-1 : (json_int_t)s->domid, "uuid", s->uuid, "name",
        s->name, "peer", s->peer, "supervisor", (int)s->supervisor, "helper", (int)s->helper);
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;

    json_decref(o);
    return text;
}

/* path.json -> path.SUFFIX */
static void sibling(const char *path, const char *suffix, char out[static STATE_PATH_BYTES])
{
    const size_t stem = strlen(path) - strlen("json");

    snprintf(out, STATE_PATH_BYTES, "%.*s%s", (int)stem, path, suffix);
}

/* -EBUSY without an error when another process holds it. The file of the lock is removed with
 * the state, so what was locked must still be what has the name. */
static int take_lock(const char *state_path, int *lock_fd, struct err *e)
{
    char path[STATE_PATH_BYTES];
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
static int load(const char *path, struct state *s, struct err *e)
{
    char text[STATE_MAX_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const ssize_t n = read(fd, text, sizeof(text));
    const int code = errno;

    close(fd);
    if (n < 0)
        return err_sys(e, ERR_LOCAL, code, "cannot read %s", path);

    const int rc = state_parse(text, (size_t)n, s, e);

    err_prepend(e, "%s", path);
    return rc;
}

static int sync_dir(const char *path, struct err *e)
{
    char dir[STATE_PATH_BYTES];

    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);

    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fsync(fd))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot sync %s", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

int state_save(struct state_file *f, struct err *e)
{
    char temp[STATE_PATH_BYTES];
    char *text = state_text(&f->now);

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
    const char *dir, enum state_role role, const char *uuid, char path[static STATE_PATH_BYTES])
{
    snprintf(
        path, STATE_PATH_BYTES, "%s/%s-%s.json", dir, role == STATE_SOURCE ? "out" : "in", uuid);
}

bool state_exists(enum state_role role, const char *uuid)
{
    char dir[PATHS_BYTES], path[STATE_PATH_BYTES];
    struct err ignored = ERR_INIT;

    if (open_run_dir(dir, &ignored))
        return false;
    name_file(dir, role, uuid, path);
    return !access(path, F_OK);
}

/* Its processes died before any of them had touched the guest. */
static bool is_harmless(const struct state *s)
{
    return s->phase == STATE_LIVE && !s->logging && !s->suspending && s->cap == STATE_NO_CAP;
}

int state_begin(struct state_file *f, const struct state *first, struct err *e)
{
    char dir[PATHS_BYTES];
    struct state old;
    int rc = open_run_dir(dir, e);

    *f = (struct state_file){.now = *first, .lock_fd = -1};
    if (rc)
        return rc;
    if (!is_uuid(first->uuid))
        return err_set(e, ERR_INTERNAL, EINVAL, "\"%s\" is no UUID", first->uuid);

    name_file(dir, first->role, first->uuid, f->path);
    rc = take_lock(f->path, &f->lock_fd, e);
    if (rc == -EBUSY && !err_is_set(e))
        return err_set(e, ERR_REFUSED, EBUSY, "\"%s\" is being %s already", first->name,
            first->role == STATE_SOURCE ? "moved away" : "received");
    if (rc)
        return rc;
    rc = load(f->path, &old, e);
    if (!rc && (old.phase == STATE_GIVEN || old.phase == STATE_TAKEN))
        rc = err_set(e, ERR_REFUSED, EBUSY,
            "an earlier migration of \"%s\" ended in doubt (%s says %s): run xmigrate --recover, "
            "and when it is clear where the guest runs, remove that file",
            first->name, f->path, state_phase_name(old.phase));
    else if (!rc && !is_harmless(&old))
        rc = err_set(e, ERR_REFUSED, EBUSY,
            "an earlier migration of \"%s\" left something behind: run xmigrate --recover first",
            first->name);
    else if (!rc || (rc == -ENOENT && !err_is_set(e)))
        rc = state_save(f, e);
    if (rc) {
        close(f->lock_fd);
        f->lock_fd = -1;
    }
    return rc;
}

void state_remove(struct state_file *f)
{
    char lock[STATE_PATH_BYTES];

    if (f->lock_fd < 0)
        return;
    sibling(f->path, "lock", lock);
    unlink(f->path);
    unlink(lock);
    state_keep(f);
}

void state_keep(struct state_file *f)
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

static void visit_one(const struct log *log, const char *path,
    void (*visit)(void *arg, struct state_file *f), void *arg)
{
    struct err e = ERR_INIT;
    struct state_file f = {.lock_fd = -1};

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
    state_keep(&f);
}

int state_visit_orphans(
    const struct log *log, void (*visit)(void *arg, struct state_file *f), void *arg, struct err *e)
{
    char dir[PATHS_BYTES], path[STATE_PATH_BYTES];
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
