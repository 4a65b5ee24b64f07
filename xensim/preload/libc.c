/* SPDX-License-Identifier: MIT */
/*
 * What programs call: open, ioctl, mmap, munmap, close, dup, connect, mkfifo, unlink and chroot. On
 * /dev/xen/privcmd and /dev/xen/hypercall they are answered as the kernel's drivers would, with the
 * help of the daemon at $XENSIM_SOCKET; everything else is passed on.
 */
#include "xensim/preload/arena.h"
#include "xensim/preload/descriptor.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"
#include "xensim/preload/mapping.h"
#include "xensim/preload/monitor.h"
#include "xensim/preload/privcmd.h"
#include "xensim/preload/process.h"
#include "xensim/preload/real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    real_find();
    process_handle_forks();
}

static void init(void)
{
    pthread_once(&once, init_once);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    EXPORT int name(const char *path, int flags, ...);                                             \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
        char own[HOST_PATH_BYTES];                                                                 \
                                                                                                   \
        init();                                                                                    \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        if (device_named(path))                                                                    \
            return device_open(device_named(path), flags);                                         \
        return real.open(host_path(path, own), flags, mode);                                       \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                        \
    EXPORT int name(int dir, const char *path, int flags, ...);                                    \
    EXPORT int name(int dir, const char *path, int flags, ...)                                     \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
        char own[HOST_PATH_BYTES];                                                                 \
                                                                                                   \
        init();                                                                                    \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        if (device_named(path))                                                                    \
            return device_open(device_named(path), flags);                                         \
        return real.openat(dir, host_path(path, own), flags, mode);                                \
    }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct connection *c;
    va_list args;
    void *arg;

    init();
    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    c = connection_of(fd);
    return c ? privcmd_ioctl(c, request, arg) : real.ioctl(fd, request, arg);
}

static void *map_device(enum device device, void *addr, size_t bytes, int prot)
{
    void *p;

    if (device == DEVICE_PRIVCMD)
        return mapping_reserve(addr, bytes, prot);
    pthread_mutex_lock(&process.lock);
    p = arena_alloc(bytes);
    pthread_mutex_unlock(&process.lock);
    if (p == MAP_FAILED)
        errno = ENOMEM;
    return p;
}

EXPORT void *mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    init();
    if (device_of(fd))
        return map_device(device_of(fd), addr, bytes, prot);
    return real.mmap(addr, bytes, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
    return mmap(addr, bytes, prot, flags, fd, offset);
}

/* The memory goes back to the system, too, while it is still ours: a large bitmap must not stay for
 * ever. */
static int unmap_arena(void *addr, size_t bytes)
{
    if (bytes > 64 << 10)
        madvise(addr, bytes, MADV_REMOVE);
    pthread_mutex_lock(&process.lock);
    arena_free(addr, bytes);
    pthread_mutex_unlock(&process.lock);
    return 0;
}

EXPORT int munmap(void *addr, size_t bytes)
{
    init();
    if (!process.open)
        return real.munmap(addr, bytes);
    if (arena_contains(addr))
        return unmap_arena(addr, bytes);
    return mapping_release(addr, bytes);
}

EXPORT int close(int fd)
{
    init();
    descriptor_forget(fd);
    return real.close(fd);
}

EXPORT int dup(int fd)
{
    init();

    int new = real.dup(fd);

    descriptor_share(fd, new);
    return new;
}

EXPORT int dup2(int fd, int to)
{
    init();
    if (fd != to)
        descriptor_forget(to);

    int new = real.dup2(fd, to);

    descriptor_share(fd, new);
    return new;
}

EXPORT int dup3(int fd, int to, int flags)
{
    init();
    if (fd != to)
        descriptor_forget(to);

    int new = real.dup3(fd, to, flags);

    descriptor_share(fd, new);
    return new;
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    unsigned domid;

    init();
    if (monitor_named(address, bytes, &domid))
        return monitor_connect(fd, domid);
    return real.connect(fd, address, bytes);
}

EXPORT int mkfifo(const char *path, mode_t mode)
{
    char own[HOST_PATH_BYTES];

    init();
    return real.mkfifo(host_path(path, own), mode);
}

EXPORT int unlink(const char *path)
{
    char own[HOST_PATH_BYTES];

    init();
    return real.unlink(host_path(path, own));
}

/* Once a program has changed its root directory with Xen's devices in hand. */
static atomic_bool stays_near_daemon;

EXPORT int chroot(const char *path)
{
    init();
    atomic_store(&stays_near_daemon, process_stay_near_daemon());
    return real.chroot(path);
}

EXPORT int chdir(const char *path)
{
    init();
    return atomic_load(&stays_near_daemon) ? 0 : real.chdir(path);
}
