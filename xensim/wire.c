/* SPDX-License-Identifier: MIT */
#include "xensim/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union fd_control {
    char buf[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS)];
    struct cmsghdr align;
};

int wire_send(int sock, const void *head, size_t head_bytes, const void *data, size_t data_bytes,
    const int *fds, int nr_fds)
{
    union fd_control control = {{0}};
    struct iovec iov[2] = {
        {.iov_base = (void *)(uintptr_t)head, .iov_len = head_bytes},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = data_bytes},
    };
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = data_bytes ? 2 : 1};

    if (nr_fds) {
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nr_fds);

        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nr_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)nr_fds);
    }
    for (;;) {
        ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);

        if (n >= 0)
            return (size_t)n == head_bytes + data_bytes ? 0 : -EMSGSIZE;
        if (errno != EINTR)
            return -errno;
    }
}

static int take_fds(struct msghdr *msg, int *fds, int nr_fds)
{
    int got = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;

        int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

        for (int i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + sizeof(int) * (size_t)i, sizeof(fd));
            if (got < nr_fds)
                fds[got] = fd;
            else
                close(fd);
            got++;
        }
    }
    if (got == nr_fds)
        return 0;
    for (int i = 0; i < got && i < nr_fds; i++)
        close(fds[i]);
    return -EBADMSG;
}

int wire_recv(
    int sock, void *head, size_t head_bytes, void *data, size_t *data_bytes, int *fds, int nr_fds)
{
    union fd_control control;
    struct iovec iov[2] = {
        {.iov_base = head, .iov_len = head_bytes},
        {.iov_base = data, .iov_len = data_bytes ? *data_bytes : 0},
    };
    struct msghdr msg = {
        .msg_iov = iov,
        .msg_iovlen = data ? 2 : 1,
        .msg_control = control.buf,
        .msg_controllen = sizeof(control.buf),
    };
    ssize_t n;

    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ENODATA;
    if ((size_t)n < head_bytes || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -EBADMSG;
    if (data_bytes)
        *data_bytes = (size_t)n - head_bytes;
    return take_fds(&msg, fds, nr_fds);
}
