/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/new_file.h"

#include "base/libc.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ".", ".", the number of a process, ".part" */
enum { PART_EXTRA_BYTES = 24 };

static int split_path(struct new_file *f, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char dir[PATH_MAX], real[PATH_MAX];

    if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
        return err_set(e, ERR_REFUSED, EISDIR, "%s is a directory: give the name of a file", path);
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash ? slash - path + 1 : 1), slash ? path : ".");
    if (!realpath(dir, real))
        return err_sys(e, ERR_REFUSED, errno, "%s", dir);
    if (strlen(name) + PART_EXTRA_BYTES >= sizeof(f->name) ||
        snprintf(f->path, sizeof(f->path), "%s/%s", strcmp(real, "/") ? real : "", name) >=
            (int)sizeof(f->path))
        return err_set(e, ERR_REFUSED, ENAMETOOLONG, "%s: the name is too long", path);
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->dir_fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return f->dir_fd < 0 ? err_sys(e, ERR_REFUSED, errno, "%s", real) : 0;
}

static const char *word_for(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISLNK(mode)  ? "a symbolic link"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static int check_name(const struct new_file *f, struct err *e)
{
    struct stat st;

    if (fstatat(f->dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : err_sys(e, ERR_REFUSED, errno, "%s", f->path);
    if (S_ISREG(st.st_mode))
        return 0;
    return err_set(e, ERR_REFUSED, EINVAL, "%s is %s: a file is wanted, or a name that is free",
        f->path, word_for(st.st_mode));
}

int new_file_find(struct new_file *f, const char *path, pid_t writer, struct err *e)
{
    *f = (struct new_file){.fd = -1, .dir_fd = -1};

    int rc = split_path(f, path, e);

    if (rc)
        return rc;
    snprintf(f->part, sizeof(f->part), ".%.*s.%d.part", (int)(sizeof(f->part) - PART_EXTRA_BYTES),
        f->name, (int)writer);
    return check_name(f, e);
}

int new_file_check_room(const struct new_file *f, uint64_t bytes, struct err *e)
{
    char need[UNITS_TEXT_BYTES], left[UNITS_TEXT_BYTES];
    struct statvfs fs;

    if (fstatvfs(f->dir_fd, &fs))
        return err_sys(e, ERR_REFUSED, errno, "%s", f->path);

    const uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;

    if (free_bytes >= bytes)
        return 0;
    return err_set(e, ERR_REFUSED, ENOSPC, "%s: at least %s are needed and %s are free there",
        f->path, format_bytes(bytes, need), format_bytes(free_bytes, left));
}

int new_file_create(struct new_file *f, struct err *e)
{
    f->fd = openat(
        f->dir_fd, f->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    return f->fd < 0 ? err_sys(e, ERR_REFUSED, errno, "cannot make a file beside %s", f->path) : 0;
}

int new_file_create_unnamed(struct new_file *f, struct err *e)
{
    f->fd = openat(f->dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, S_IRUSR | S_IWUSR);
    f->unnamed = f->fd >= 0;
    return f->unnamed ? 0 : new_file_create(f, e);
}

int new_file_sync(struct new_file *f, uint64_t *inode, struct err *e)
{
    struct stat st;

    if (fsync(f->fd) || fstat(f->fd, &st))
        return err_sys(e, ERR_LOCAL, errno, "cannot write %s to disk", f->path);
    *inode = st.st_ino;
    return 0;
}

/* The part may have been removed, or its file system not be mounted (yet). */
static int check_inode(const struct new_file *f, uint64_t inode, struct err *e)
{
    struct stat st;

    if (!fstatat(f->dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == inode)
        return 0;
    return err_set(e, ERR_LOCAL, ENOENT,
        "%s is not the file that was written, and %s beside it is not either: was it removed, or "
        "is its file system not mounted?",
        f->path, f->part);
}

/* What had the name is kept as the part until the new one has it on disk. Not all file systems can
 * exchange names. */
static int take_name(const struct new_file *f)
{
    if (!renameat2(f->dir_fd, f->part, f->dir_fd, f->name, RENAME_EXCHANGE))
        return 0;
    return renameat(f->dir_fd, f->part, f->dir_fd, f->name);
}

/* It might be gone after a power loss, and the guest with it: who calls goes on without it. */
static void give_name_back(const struct new_file *f)
{
    if (renameat2(f->dir_fd, f->part, f->dir_fd, f->name, RENAME_EXCHANGE))
        renameat(f->dir_fd, f->name, f->dir_fd, f->part);
}

static int name_part(struct new_file *f, struct err *e)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
    if (linkat(AT_FDCWD, path, f->dir_fd, f->part, AT_SYMLINK_FOLLOW))
        return err_sys(e, ERR_LOCAL, errno, "cannot give %s its name", f->path);
    f->unnamed = false;
    return 0;
}

int new_file_publish(struct new_file *f, uint64_t inode, struct err *e)
{
    struct stat st;
    int rc = check_name(f, e);

    if (!rc && f->unnamed)
        rc = name_part(f, e);
    if (rc)
        return rc;
    if (!fstatat(f->dir_fd, f->part, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == inode &&
        take_name(f))
        return err_sys(e, ERR_LOCAL, errno, "cannot give %s its name", f->path);
    rc = check_inode(f, inode, e);
    if (rc)
        return rc;
    if (fsync(f->dir_fd)) {
        rc = err_sys(e, ERR_LOCAL, errno, "cannot sync the directory of %s", f->path);
        give_name_back(f);
        return rc;
    }
    unlinkat(f->dir_fd, f->part, 0);
    return 0;
}

void new_file_drop(struct new_file *f)
{
    if (f->dir_fd >= 0 && f->part[0] && !f->unnamed)
        unlinkat(f->dir_fd, f->part, 0);
}

void new_file_close(struct new_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->dir_fd >= 0)
        close(f->dir_fd);
    f->fd = f->dir_fd = -1;
}
