/* SPDX-License-Identifier: MIT */
/*
 * What glibc has and other C libraries (musl) have not, under glibc's names: include this in the
 * place of <sys/pidfd.h> and <linux/close_range.h>, and wherever strerrordesc_np(), renameat2(),
 * close_range() or posix_spawn_file_actions_addclosefrom_np() is called. XMIGRATE_PLAIN_LIBC has
 * glibc do without them too, for tests.
 */
#ifndef BASE_LIBC_H
#define BASE_LIBC_H

#include <linux/close_range.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#if defined(__GLIBC__) && !defined(XMIGRATE_PLAIN_LIBC)
#include <sys/pidfd.h>
#else

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* Never NULL, other than glibc's. */
static inline const char *libc_strerrordesc_np(int code)
{
    return strerror(code);
}

static inline int libc_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static inline int libc_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

static inline int libc_renameat2(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

static inline int libc_close_range(unsigned first, unsigned last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

/* Those that are open now; what is opened until the spawn is CLOEXEC from birth. */
static inline int libc_addclosefrom(posix_spawn_file_actions_t *files, int from)
{
    DIR *d = opendir("/proc/self/fd");
    int rc = d ? 0 : errno;

    for (const struct dirent *entry; d && !rc && (entry = readdir(d));) {
        const int fd = atoi(entry->d_name);

        if (fd >= from)
            rc = posix_spawn_file_actions_addclose(files, fd);
    }
    if (d)
        closedir(d);
    return rc;
}

#define strerrordesc_np                          libc_strerrordesc_np
#define pidfd_open                               libc_pidfd_open
#define pidfd_send_signal                        libc_pidfd_send_signal
#define renameat2                                libc_renameat2
#define close_range                              libc_close_range
#define posix_spawn_file_actions_addclosefrom_np libc_addclosefrom

#endif
#endif
