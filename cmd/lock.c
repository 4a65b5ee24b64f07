/* SPDX-License-Identifier: MIT */
#include "cmd/lock.h"

#include "cmd/lock_file.h"
#include "cmd/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The file: who holds it, padded, and then nothing or ASKED. */
enum { HOLDER_BYTES = 64, ASKED = 'A', LOCK_PATH_BYTES = PATHS_BYTES + 32 };

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

static int name_lock(uint32_t domid, char path[static LOCK_PATH_BYTES], struct err *e)
{
    char dir[PATHS_BYTES];
    const int rc = open_run_dir(dir, e);

    if (!rc)
        snprintf(path, LOCK_PATH_BYTES, "%s/domain-%u.lock", dir, domid);
    return rc;
}

int domain_lock_take(struct domain_lock *lock, uint32_t domid, struct err *e)
{
    char path[LOCK_PATH_BYTES], holder[HOLDER_BYTES];
    int fd, rc = name_lock(domid, path, e);

    lock->fd = -1;
    if (rc)
        return rc;
    rc = lock_file_take(path, &fd);
    if (rc == -EWOULDBLOCK) {
        read_holder(fd, holder);
        close(fd);
        return err_set(e, ERR_REFUSED, EBUSY, "domain %u is being moved or saved already, by %s",
            domid, holder[0] ? holder : "another process");
    }
    if (rc)
        return err_sys(e, ERR_LOCAL, -rc, "cannot open the lock %s", path);
    write_holder(fd);
    *lock = (struct domain_lock){fd, domid};
    return 0;
}

struct domain_lock domain_lock_adopt(int fd)
{
    return (struct domain_lock){.fd = fd};
}

void domain_lock_release(struct domain_lock *lock)
{
    char path[LOCK_PATH_BYTES];
    struct err ignored = ERR_INIT;

    if (lock->fd < 0)
        return;
    if (!lock->domid || domain_lock_is_asked(lock) || name_lock(lock->domid, path, &ignored))
        close(lock->fd);
    else
        lock_file_drop(path, lock->fd);
    lock->fd = -1;
}
