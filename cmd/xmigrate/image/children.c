/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/children.h"

#include "transport/compact/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* False: it is no compact file. */
static bool read_header(int dir_fd, const char *name, struct compact_header *h)
{
    struct err ignored = ERR_INIT;
    struct compact_file f;
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return false;

    const int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool is = fd >= 0 && compact_file_is(fd) && !compact_file_open(&f, fd, name, &ignored);

    if (is)
        *h = f.header;
    if (fd >= 0)
        close(fd);
    return is;
}

static bool stands_on(int dir_fd, const char *name, const struct compact_header *parent)
{
    struct compact_header h;

    return read_header(dir_fd, name, &h) && h.depth &&
           !memcmp(h.parent_uuid, parent->uuid, sizeof(h.parent_uuid));
}

bool children_find(int dir_fd, const char *file, char child[static NAME_MAX + 1])
{
    struct compact_header parent;
    bool found = false;

    if (!read_header(dir_fd, file, &parent))
        return false;

    const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (const struct dirent *entry; d && !found && (entry = readdir(d));) {
        found = stands_on(dir_fd, entry->d_name, &parent);
        if (found)
            snprintf(child, NAME_MAX + 1, "%s", entry->d_name);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return found;
}

int children_check(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX], child[NAME_MAX + 1];
    bool found;

    snprintf(dir, sizeof(dir), "%.*s", (int)(slash ? slash - path + 1 : 1), slash ? path : ".");

    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(e, ERR_REFUSED, errno, "%s", dir);
    found = children_find(fd, slash ? slash + 1 : path, child);
    close(fd);
    return found ? err_set(e, ERR_REFUSED, EEXIST,
                       "%s is needed by %s beside it, which stands on it: give another name, or "
                       "--force to replace it",
                       path, child)
                 : 0;
}
