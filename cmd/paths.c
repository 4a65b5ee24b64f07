/* SPDX-License-Identifier: MIT */
#include "cmd/paths.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_dir(const char *what, const char *dir, char path[static PATHS_BYTES], struct err *e)
{
    struct stat st;

    if (snprintf(path, PATHS_BYTES, "%s", dir) >= PATHS_BYTES)
        return err_set(
            e, ERR_LOCAL, ENAMETOOLONG, "the %s directory's name is too long: %s", what, dir);
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_sys(
            e, ERR_LOCAL, errno, "cannot make the %s directory %s (are you root?)", what, path);
    if (stat(path, &st))
        return err_sys(e, ERR_LOCAL, errno, "cannot look at the %s directory %s", what, path);
    if (st.st_uid != geteuid())
        return err_set(e, ERR_LOCAL, EPERM, "the %s directory %s is another user's (are you root?)",
            what, path);
    if (!S_ISDIR(st.st_mode) || (st.st_mode & 022))
        return err_set(e, ERR_LOCAL, EPERM,
            "the %s directory %s is not a directory that only its owner can write to", what, path);
    return 0;
}

int open_run_dir(char path[static PATHS_BYTES], struct err *e)
{
    return open_dir("run", getenv("XMIGRATE_RUN_DIR") ?: "/run/xmigrate", path, e);
}

int open_state_dir(char path[static PATHS_BYTES], struct err *e)
{
    return open_dir("state", getenv("XMIGRATE_STATE_DIR") ?: "/var/lib/xmigrate", path, e);
}

int find_program(const char *name, char path[static PATHS_BYTES], struct err *e)
{
    char self[PATHS_BYTES];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot tell where this program lies");
    self[n] = '\0';

    const char *dir = dirname(self);

    if (snprintf(path, PATHS_BYTES, "%s/%s", dir, name) < PATHS_BYTES && !access(path, X_OK))
        return 0;
    return err_set(e, ERR_LOCAL, ENOENT, "%s is missing: it is not in %s", name, dir);
}
