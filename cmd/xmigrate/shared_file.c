/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/shared_file.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whoever changes it is done at once. */
#define LOCK_NS NS_PER_S

enum { SHARED_PATH_BYTES = PATHS_BYTES + 32 };

struct shared_file {
    char path[SHARED_PATH_BYTES], next[SHARED_PATH_BYTES], lock[SHARED_PATH_BYTES];
};

static int find(struct shared_file *f, const char *name, struct err *e)
{
    char dir[PATHS_BYTES];
    const int rc = open_run_dir(dir, e);

    if (rc)
        return rc;
    snprintf(f->path, sizeof(f->path), "%s/%.16s", dir, name);
    snprintf(f->next, sizeof(f->next), "%s/%.16s.new", dir, name);
    snprintf(f->lock, sizeof(f->lock), "%s/%.16s.lock", dir, name);
    return 0;
}

static int take_lock(const char *path, int *fd, struct err *e)
{
    const int rc = lock_file_wait(path, deadline_in(LOCK_NS), fd);

    if (rc == -EWOULDBLOCK)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "%s is locked by another process", path);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", path) : 0;
}

static json_t *read_object(const struct shared_file *f)
{
    json_t *o = json_load_file(f->path, 0, NULL);

    if (json_is_object(o))
        return o;
    json_decref(o);
    return json_object();
}

json_t *shared_file_read(const char *name, struct err *e)
{
    struct shared_file f;

    return find(&f, name, e) ? NULL : read_object(&f);
}

/* Under the lock. Not for the disk: it is gone with a reboot, and somebody waits. */
static int write_text(const struct shared_file *f, const char *text, struct err *e)
{
    const int fd = open(f->next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : io_write_full(fd, text, strlen(text), NULL, deadline_in(LOCK_NS));

    if (fd >= 0)
        close(fd);
    if (!rc && rename(f->next, f->path))
        rc = -errno;
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot write %s", f->path) : 0;
}

static int write_object(const struct shared_file *f, const json_t *o, struct err *e)
{
    char *text = json_dumps(o, JSON_INDENT(1));
    const int rc = text ? write_text(f, text, e)
                        : err_sys(e, ERR_LOCAL, ENOMEM, "writing %s", f->path);

    free(text);
    return rc;
}

int shared_file_change(
    const char *name, bool (*change)(void *arg, json_t *o), void *arg, struct err *e)
{
    struct shared_file f;
    json_t *o;
    int fd, rc = find(&f, name, e);

    if (!rc)
        rc = take_lock(f.lock, &fd, e);
    if (rc)
        return rc;
    o = read_object(&f);
    if (!o)
        rc = err_sys(e, ERR_LOCAL, ENOMEM, "reading %s", f.path);
    else if (change(arg, o))
        rc = write_object(&f, o, e);
    json_decref(o);
    lock_file_drop(f.lock, fd);
    return rc;
}
