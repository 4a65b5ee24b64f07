/* SPDX-License-Identifier: MIT */
#include "cmd/lock_file.h"

#include "base/deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_NS (10 * NS_PER_MS)

/* Is the open file the one of that name? */
static bool is_named(int fd, const char *path)
{
    struct stat held, named;

    return !fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

int lock_file_take(const char *path, int *fd)
{
    for (;;) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (*fd < 0)
            return -errno;
        if (flock(*fd, LOCK_EX | LOCK_NB)) {
            const int code = errno;

            if (code != EWOULDBLOCK)
                close(*fd);
            return -code;
        }
        if (is_named(*fd, path))
            return 0;
        close(*fd);
    }
}

int lock_file_wait(const char *path, int64_t deadline_ns, int *fd)
{
    int rc;

    while ((rc = lock_file_take(path, fd)) == -EWOULDBLOCK) {
        close(*fd);
        if (deadline_passed(deadline_ns))
            return rc;
        sleep_until_ns(deadline_in(AGAIN_NS));
    }
    return rc;
}

/* A child or a helper may hold what we close. So it is locked anew, by us alone. */
void lock_file_drop(const char *path, int fd)
{
    close(fd);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!flock(fd, LOCK_EX | LOCK_NB) && is_named(fd, path))
        unlink(path);
    close(fd);
}

bool lock_file_is_held(const char *dir, const char *name, int *fd)
{
    char path[PATH_MAX];
    int rc;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return false;
    rc = lock_file_take(path, fd);
    if (!rc)
        lock_file_drop(path, *fd);
    return rc == -EWOULDBLOCK;
}

bool lock_file_was_touched(int fd, int64_t within_s)
{
    struct timespec now;
    struct stat s;

    clock_gettime(CLOCK_REALTIME, &now);
    return !fstat(fd, &s) && llabs((long long)now.tv_sec - s.st_mtim.tv_sec) < within_s;
}
