/* SPDX-License-Identifier: MIT */
#include "crypto/config.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int config_path(
    const char *config_dir, const char *name, char out[static CONFIG_PATH_BYTES], struct err *e)
{
    const int n = snprintf(out, CONFIG_PATH_BYTES, "%s/%s", config_dir, name);

    if (n < 0 || n >= CONFIG_PATH_BYTES)
        return err_set(e, ERR_USAGE, ENAMETOOLONG, "%s: the path is too long", config_dir);
    return 0;
}

/* Whoever can write to it says who we are and whom we trust. */
static int check_dir(const char *config_dir, struct err *e)
{
    struct stat st;

    if (stat(config_dir, &st))
        return err_sys(e, ERR_LOCAL, errno, "%s", config_dir);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(e, ERR_LOCAL, EPERM,
            "the configuration directory %s belongs to user %u, not to root or to who runs this",
            config_dir, st.st_uid);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(e, ERR_LOCAL, EPERM,
            "the configuration directory %s can be written to by others (mode %04o); run: chmod "
            "go-w %s",
            config_dir, st.st_mode & 07777, config_dir);
    return 0;
}

int config_make_dir(const char *config_dir, struct err *e)
{
    if (mkdir(config_dir, 0700) && errno != EEXIST)
        return err_sys(
            e, ERR_LOCAL, errno, "cannot make the configuration directory %s", config_dir);
    return check_dir(config_dir, e);
}

static int read_open_file(
    int fd, const char *path, char **text, size_t *len_bytes, struct stat *st, struct err *e)
{
    if (fstat(fd, st))
        return err_sys(e, ERR_LOCAL, errno, "%s", path);
    if (!S_ISREG(st->st_mode) || st->st_size > CONFIG_MAX_FILE_BYTES)
        return err_set(e, ERR_LOCAL, EINVAL, "%s is not a file of at most 1 MiB", path);

    const size_t size_bytes = (size_t)st->st_size;

    *text = malloc(size_bytes + 1);
    if (!*text)
        return err_sys(e, ERR_LOCAL, ENOMEM, "%s", path);

    const int rc = io_read_full(fd, *text, size_bytes, NULL, DEADLINE_NEVER);

    if (rc) {
        free(*text);
        return err_set(e, ERR_LOCAL, -rc, "cannot read %s: %s", path, io_strerror(rc));
    }
    (*text)[size_bytes] = '\0';
    *len_bytes = size_bytes;
    return 0;
}

int config_read(const char *path, char **text, size_t *len_bytes, struct stat *st, struct err *e)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const int rc = read_open_file(fd, path, text, len_bytes, st, e);

    close(fd);
    return rc;
}

int config_read_ours(const char *path, const char *who_could, char **text, struct err *e)
{
    struct stat st;
    size_t len_bytes;
    int rc = config_read(path, text, &len_bytes, &st, e);

    if (rc) {
        *text = NULL;
        return rc;
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        rc = err_set(e, ERR_LOCAL, EPERM,
            "%s can be written by others (mode %04o), who %s; run: chmod 600 %s", path,
            st.st_mode & 07777, who_could, path);
    else if (strlen(*text) != len_bytes)
        rc = err_set(e, ERR_LOCAL, EINVAL, "%s is not a text file", path);
    if (rc) {
        free(*text);
        *text = NULL;
    }
    return rc;
}

/* A rename or link survives a crash only once its directory is synced. */
static int sync_dir_of(const char *path, struct err *e)
{
    char dir[CONFIG_PATH_BYTES];
    const char *const slash = strrchr(path, '/');

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");

    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd)) {
        const int code = errno;

        if (fd >= 0)
            close(fd);
        return err_sys(e, ERR_LOCAL, code, "cannot sync %s", dir);
    }
    close(fd);
    return 0;
}

static int fill_file(int fd, const void *data, size_t len_bytes, mode_t mode)
{
    const int rc = io_write_full(fd, data, len_bytes, NULL, DEADLINE_NEVER);

    if (rc)
        return rc;
    return fchmod(fd, mode) || fsync(fd) ? -errno : 0;
}

int config_write(
    const char *path, const void *data, size_t len_bytes, mode_t mode, bool replace, struct err *e)
{
    char temp[CONFIG_PATH_BYTES + 8];

    snprintf(temp, sizeof(temp), "%s.XXXXXX", path);

    const int fd = mkostemp(temp, O_CLOEXEC); /* 0600 from birth */

    if (fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot write %s", path);

    int rc = fill_file(fd, data, len_bytes, mode);

    close(fd);
    if (!rc && (replace ? rename(temp, path) : link(temp, path)))
        rc = -errno;
    if (rc || !replace)
        unlink(temp);
    if (rc == -EEXIST)
        return rc;
    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "cannot write %s", path);
    return sync_dir_of(path, e);
}

const char *config_dir_option(const char *config_dir, char out[static CONFIG_PATH_BYTES])
{
    out[0] = '\0';
    if (strcmp(config_dir, CONFIG_DIR_DEFAULT))
        snprintf(out, CONFIG_PATH_BYTES, " --config-dir %s", config_dir);
    return out;
}
