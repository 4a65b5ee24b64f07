/* SPDX-License-Identifier: MIT */
#include "cmd/lock.h"

#include "cmd/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The file: who holds it, padded, and then nothing or ASKED. */
enum { HOLDER_BYTES = 64, ASKED = 'A' };

/* The holder, by its own account; an old or empty text is no reason to fail. */
static void read_holder(int fd, char holder[static HOLDER_BYTES])
{
    const ssize_t n = pread(fd, holder, HOLDER_BYTES - 1, 0);

    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
}

static void write_holder(int fd)
{
    char holder[HOLDER_BYTES] = "";

    snprintf(holder, sizeof(holder), "process %d\n", (int)getpid());
    if (pwrite(fd, holder, sizeof(holder), 0) != (ssize_t)sizeof(holder))
        return; /* only messages use it */
}

void domain_lock_note_asked(const struct domain_lock *lock, bool asked)
{
    const char mark = ASKED;

    /* Of use only if we are killed. */
    if (asked ? pwrite(lock->fd, &mark, 1, HOLDER_BYTES) != 1 : ftruncate(lock->fd, HOLDER_BYTES))
        return;
}

bool domain_lock_is_asked(const struct domain_lock *lock)
{
    char mark;

    return pread(lock->fd, &mark, 1, HOLDER_BYTES) == 1 && mark == ASKED;
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
