/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/numbered.h"

#include "cmd/xmigrate/image/any_file.h"
#include "cmd/xmigrate/image/children.h"
#include "cmd/xmigrate/image/config_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS = 6, LAST_NUMBER = 999999, UUID_BYTES = 40 };

/* Of NAME.dddddd; 0: it is something else. */
static unsigned number_of(const char *entry, const char *name, size_t name_bytes)
{
    const char *digits = entry + name_bytes + 1;

    if (strncmp(entry, name, name_bytes) || entry[name_bytes] != '.' || strlen(digits) != DIGITS ||
        strspn(digits, "0123456789") != DIGITS)
        return 0;
    return (unsigned)strtoul(digits, NULL, 10);
}

/* An open directory; *name: path's last word. */
static DIR *open_dir(const char *path, const char **name, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    DIR *d;

    *name = slash ? slash + 1 : path;
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash ? slash - path + 1 : 1), slash ? path : ".");
    d = opendir(dir);
    if (!d)
        err_sys(e, ERR_REFUSED, errno, "%s", dir);
    return d;
}

int numbered_next(const char *path, char next[static NEW_FILE_PATH_BYTES], struct err *e)
{
    const char *name;
    unsigned last = 0;
    DIR *d = open_dir(path, &name, e);

    if (!d)
        return -e->code;
    for (const struct dirent *entry; (entry = readdir(d));) {
        const unsigned n = number_of(entry->d_name, name, strlen(name));

        last = n > last ? n : last;
    }
    closedir(d);
    if (last == LAST_NUMBER || snprintf(next, NEW_FILE_PATH_BYTES, "%s.%0*u", path, DIGITS,
                                   last + 1) >= NEW_FILE_PATH_BYTES)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG, "%s: there is no next number", path);
    return 0;
}

/* The guest that xmigrate wrote into it and that lived on; "" if that is not what it is. */
static void read_guest(int dir_fd, const char *entry, const char *key, char uuid[static UUID_BYTES])
{
    const int fd = openat(dir_fd, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct err ignored = ERR_INIT;
    struct image m = {0};
    json_t *config = NULL;

    uuid[0] = '\0';
    if (fd >= 0 && !any_file_read_front(fd, entry, key, &m, &ignored) && m.note.program[0] &&
        m.note.kind == IMAGE_CHECKPOINT)
        config = json_loads(m.config, 0, NULL);
    snprintf(uuid, UUID_BYTES, "%s", config_guest_uuid(config));
    json_decref(config);
    image_clear(&m);
    if (fd >= 0)
        close(fd);
}

static bool is_same_guest(int dir_fd, const char *entry, const char *key, const char *uuid)
{
    char other[UUID_BYTES];

    read_guest(dir_fd, entry, key, other);
    return *uuid && !strcmp(other, uuid);
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*b)->d_name, (*a)->d_name);
}

/* One that others stand on stays. */
static int delete_one(int dir_fd, const char *entry, struct err *e)
{
    char child[NAME_MAX + 1];

    if (children_find(dir_fd, entry, child))
        return err_set(
            e, ERR_REFUSED, EEXIST, "%s is kept: %s beside it stands on it", entry, child);
    return unlinkat(dir_fd, entry, 0) ? err_sys(e, ERR_LOCAL, errno, "cannot delete %s", entry) : 0;
}

static int delete_beyond(DIR *d, const char *newest, const char *key, unsigned keep, struct err *e)
{
    const size_t name_bytes = strlen(newest) - DIGITS - 1;
    char uuid[UUID_BYTES];
    struct dirent **list;
    char path[32];
    unsigned seen = 0;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd(d));

    const int count = scandir(path, &list, NULL, newest_first);
    int rc = count < 0 ? err_sys(e, ERR_LOCAL, errno, "cannot list the files beside %s", newest)
                       : 0;

    read_guest(dirfd(d), newest, key, uuid);
    for (int i = 0; i < count; i++) {
        const char *entry = list[i]->d_name;

        if (number_of(entry, newest, name_bytes) && is_same_guest(dirfd(d), entry, key, uuid) &&
            ++seen > keep && delete_one(dirfd(d), entry, e))
            rc = -e->code;
        free(list[i]);
    }
    if (count >= 0)
        free(list);
    return rc;
}

int numbered_keep(const char *newest, const char *key, unsigned keep, struct err *e)
{
    const char *name;
    DIR *d = open_dir(newest, &name, e);

    if (!d)
        return -e->code;

    const int rc = delete_beyond(d, name, key, keep, e);

    closedir(d);
    return rc;
}
