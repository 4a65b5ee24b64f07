/* SPDX-License-Identifier: MIT */
/* The C library's own functions, found once because they are called all the time. */
#ifndef XENSIM_PRELOAD_REAL_H
#define XENSIM_PRELOAD_REAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>

#define PAGE 4096ull

struct real_calls {
    int (*open)(const char *, int, ...);
    int (*openat)(int, const char *, int, ...);
    int (*ioctl)(int, unsigned long, ...);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    int (*close)(int);
    int (*dup)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    int (*fcntl)(int, int, ...);
    int (*connect)(int, const struct sockaddr *, socklen_t);
    int (*mkfifo)(const char *, mode_t);
    int (*unlink)(const char *);
    int (*chroot)(const char *);
    int (*chdir)(const char *);
};

extern struct real_calls real;

/* Before any of them is called. */
void real_find(void);

/* NULL on failure, with errno. */
static inline void *real_map(void *at, uint64_t bytes, int prot, int flags, int fd, uint64_t offset)
{
    void *p = real.mmap(at, bytes, prot, flags, fd, (off_t)offset);

    return p == MAP_FAILED ? NULL : p;
}

/* Address space alone. */
static inline void *real_map_nothing(void *at, uint64_t bytes)
{
    return real_map(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

#endif
