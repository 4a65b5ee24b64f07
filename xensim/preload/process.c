/* SPDX-License-Identifier: MIT */
#include "xensim/preload/process.h"
#include "xensim/preload/arena.h"
#include "xensim/preload/real.h"
#include "xensim/preload/region.h"
#include "xensim/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct process process = {.lock = PTHREAD_MUTEX_INITIALIZER, .control = -1, .machine_fd = -1};

/* The child of a fork has no session: what it inherited belongs to its parent. It holds the lock
 * since lock_before_fork(). */
static void forget_in_child(void)
{
    if (process.open) {
        real.close(process.control);
        real.close(process.machine_fd);
        arena_unmap();
        real.munmap((void *)process.releases, MAX_MAPPINGS);
    }
    process.open = false;
    process.control = process.machine_fd = -1;
    regions_forget();
    pthread_mutex_unlock(&process.lock);
}

static void lock_before_fork(void)
{
    pthread_mutex_lock(&process.lock);
}

static void unlock_in_parent(void)
{
    pthread_mutex_unlock(&process.lock);
}

void process_handle_forks(void)
{
    pthread_atfork(lock_before_fork, unlock_in_parent, forget_in_child);
}

/*
 * Our descriptors are above what programs close in a loop, and not just below a power of two:
 * growing the descriptor table of a process with threads takes an RCU grace period, 15 ms on a busy
 * machine.
 */
enum { FIRST_OWN_FD = 600 };

int process_move_up(int fd)
{
    int high = real.fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);

    if (high < 0)
        return fd;
    real.close(fd);
    return high;
}

int process_connect(void)
{
    const char *path = getenv("XENSIM_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock;

    if (!path || strlen(path) >= sizeof(addr.sun_path))
        return -ENODEV;
    strcpy(addr.sun_path, path);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    if (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
        int rc = errno == ENOENT || errno == ECONNREFUSED ? -EHOSTDOWN : -errno;

        real.close(sock);
        return rc;
    }
    return sock;
}

bool process_stay_near_daemon(void)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)], near[sizeof(dir) + 2];
    const char *path = getenv("XENSIM_SOCKET"), *slash = path ? strrchr(path, '/') : NULL;

    if (!process.open || !slash || strlen(path) >= sizeof(dir))
        return false;
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    snprintf(near, sizeof(near), ".%s", slash);
    return !real.chdir(dir) && !setenv("XENSIM_SOCKET", near, 1);
}

int process_ask(
    int sock, const struct proto_request *req, struct proto_reply *reply, int *fds, int nr_fds)
{
    size_t none = 0;
    int rc = wire_send(sock, req, sizeof(*req), NULL, 0, NULL, 0);

    if (!rc)
        rc = wire_recv(sock, reply, sizeof(*reply), NULL, &none, fds, nr_fds);
    return rc ? -EHOSTDOWN : 0;
}

/* The session's token, and the machine's, the arena's and the releases' descriptors. */
static int ask_for_session(int sock, const void *arena, struct proto_reply *reply, int fds[3])
{
    struct proto_request req = {
        .op = OP_SESSION, .arg = {PROTO_VERSION, (uint64_t)getpid(), (uint64_t)(uintptr_t)arena}};
    int rc = process_ask(sock, &req, reply, fds, 3);

    return rc ? rc : (int)reply->result;
}

/* The daemon's memory, mapped. */
static int attach(const int fds[3])
{
    int rc = arena_attach(fds[1]);

    process.releases = real_map(NULL, MAX_MAPPINGS, PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
    real.close(fds[1]);
    real.close(fds[2]);
    if (rc || !process.releases) {
        real.close(fds[0]);
        return -ENOMEM;
    }
    return 0;
}

static int open_session(int sock)
{
    const void *arena = arena_reserve();
    struct proto_reply reply;
    int fds[3], rc;

    if (!arena)
        return -ENOMEM;
    rc = regions_init();
    if (!rc)
        rc = ask_for_session(sock, arena, &reply, fds);
    if (!rc)
        rc = attach(fds);
    if (rc) {
        arena_unmap();
        return rc;
    }
    process.control = process_move_up(sock);
    process.machine_fd = process_move_up(fds[0]);
    process.token = reply.value;
    /* Some callers pass pointers outside hypercall buffers: the daemon writes there itself. */
    prctl(PR_SET_PTRACER, (unsigned long)reply.daemon_pid, 0, 0, 0);
    process.open = true;
    return 0;
}

int process_open_session(void)
{
    int sock, rc;

    if (process.open)
        return 0;
    sock = process_connect();
    if (sock < 0)
        return sock;
    rc = open_session(sock);
    if (rc)
        real.close(sock);
    return rc;
}
