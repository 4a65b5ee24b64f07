/* SPDX-License-Identifier: MIT */
#include "cmd/lock.h"

#include "cmd/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { HOLDER_BYTES = 64 };

/* The holder, by its own account; an old or empty text is no reason to fail. */
static void read_holder(int fd, char holder[static HOLDER_BYTES])
{
    const ssize_t n = pread(fd, holder, HOLDER_BYTES - 1, 0);

    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
}

static void write_holder(int fd)
{
    char holder[HOLDER_BYTES];
    const int len = snprintf(holder, sizeof(holder), "process %d\n", (int)getpid());

    if (ftruncate(fd, 0) || pwrite(fd, holder, (size_t)len, 0) != len)
        return; /* only messages use it */
}

int domain_lock_take(struct domain_lock *lock, uint32_t domid, struct err *e)
{
    char dir[PATHS_BYTES], path[PATHS_BYTES + 32], holder[HOLDER_BYTES];
    int rc = open_run_dir(dir, e);

    lock->fd = -1;
    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/domain-%u.lock", dir, domid);

    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot open the lock %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        const int code = errno;

        read_holder(fd, holder);
        close(fd);
        if (code == EWOULDBLOCK)
            return err_set(e, ERR_REFUSED, EBUSY,
                "domain %u is being moved or saved already, by %s", domid,
                holder[0] ? holder : "another process");
        return err_sys(e, ERR_LOCAL, code, "cannot lock %s", path);
    }
    write_holder(fd);
    lock->fd = fd;
    return 0;
}

struct domain_lock domain_lock_adopt(int fd)
{
    return (struct domain_lock){.fd = fd};
}

void domain_lock_release(struct domain_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    lock->fd = -1;
}
