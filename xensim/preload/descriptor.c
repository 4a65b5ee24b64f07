/* SPDX-License-Identifier: MIT */
#include "xensim/preload/descriptor.h"
#include "xensim/preload/process.h"
#include "xensim/preload/real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum { MAX_FDS = 65536 };

static _Atomic(struct connection *) connections[MAX_FDS];
static _Atomic uint8_t devices[MAX_FDS];

struct connection *connection_of(int fd)
{
    return fd >= 0 && fd < MAX_FDS ? atomic_load(&connections[fd]) : NULL;
}

enum device device_of(int fd)
{
    return fd >= 0 && fd < MAX_FDS ? (enum device)atomic_load(&devices[fd]) : DEVICE_NONE;
}

enum device device_named(const char *path)
{
    if (!path || strncmp(path, "/dev/xen/", 9) || !getenv("XENSIM_SOCKET"))
        return DEVICE_NONE;
    if (!strcmp(path + 9, "privcmd"))
        return DEVICE_PRIVCMD;
    return strcmp(path + 9, "hypercall") ? DEVICE_NONE : DEVICE_HYPERCALL;
}

/* Its window, and a descriptor for the program. */
static int attach(struct connection *c, int window_fd, int flags, int *fd)
{
    c->window = real_map(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
    real.close(window_fd);
    *fd = real.fcntl(c->sock, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 3);
    if (!c->window)
        return -ENOMEM;
    if (*fd < 0)
        return -errno;
    return *fd >= MAX_FDS ? -EMFILE : 0;
}

static int connect_window(struct connection *c, int flags, int *fd)
{
    struct proto_request req = {.op = OP_CONNECT, .arg = {process.token}};
    struct proto_reply reply;
    int window_fd;
    int rc = process_ask(c->sock, &req, &reply, &window_fd, 1);

    if (!rc && reply.result)
        rc = (int)reply.result;
    if (!rc)
        rc = attach(c, window_fd, flags, fd);
    return rc;
}

static void free_connection(struct connection *c)
{
    real.close(c->sock);
    if (c->window)
        real.munmap(c->window, WINDOW_BYTES);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Caller holds process.lock. */
static int open_connection(int flags, int *fd)
{
    int sock = process_connect();
    struct connection *c;
    int rc;

    *fd = -1;
    if (sock < 0)
        return sock;
    c = calloc(1, sizeof(*c));
    if (!c) {
        real.close(sock);
        return -ENOMEM;
    }
    *c = (struct connection){.refs = 1, .sock = sock, .lock = PTHREAD_MUTEX_INITIALIZER};
    rc = connect_window(c, flags, fd);
    if (rc) {
        if (*fd >= 0)
            real.close(*fd);
        free_connection(c);
        return rc;
    }
    c->sock = process_move_up(c->sock);
    atomic_store(&connections[*fd], c);
    atomic_store(&devices[*fd], DEVICE_PRIVCMD);
    return 0;
}

int device_open(enum device device, int flags)
{
    int fd = -1, rc;

    pthread_mutex_lock(&process.lock);
    rc = process_open_session();
    if (!rc && device == DEVICE_PRIVCMD)
        rc = open_connection(flags, &fd);
    pthread_mutex_unlock(&process.lock);
    if (!rc && device == DEVICE_HYPERCALL) {
        /* Any descriptor will do: only its number matters. */
        fd = eventfd(0, flags & O_CLOEXEC ? EFD_CLOEXEC : 0);
        if (fd < 0 || fd >= MAX_FDS)
            rc = fd < 0 ? -errno : -EMFILE;
        else
            atomic_store(&devices[fd], DEVICE_HYPERCALL);
    }
    if (rc) {
        errno = -rc;
        return -1;
    }
    return fd;
}

void descriptor_forget(int fd)
{
    struct connection *c;

    if (fd < 0 || fd >= MAX_FDS || !atomic_load(&devices[fd]))
        return;
    pthread_mutex_lock(&process.lock);
    c = atomic_exchange(&connections[fd], NULL);
    atomic_store(&devices[fd], DEVICE_NONE);
    if (c && --c->refs)
        c = NULL;
    pthread_mutex_unlock(&process.lock);
    if (c)
        free_connection(c);
}

void descriptor_share(int fd, int duplicate)
{
    struct connection *c;

    if (duplicate < 0 || duplicate >= MAX_FDS || fd == duplicate || !device_of(fd))
        return;
    pthread_mutex_lock(&process.lock);
    c = connection_of(fd);
    if (c)
        c->refs++;
    atomic_store(&connections[duplicate], c);
    atomic_store(&devices[duplicate], device_of(fd));
    pthread_mutex_unlock(&process.lock);
}
