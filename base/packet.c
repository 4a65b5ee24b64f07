/* SPDX-License-Identifier: MIT */
#include "base/packet.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int packet_send(int sock, const void *buf, size_t len_bytes, int fd, const struct cancel *cancel,
    int64_t deadline_ns)
{
    struct iovec iov = {(void *)buf, len_bytes};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);

        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    for (;;) {
        if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;

        const int rc = io_wait(sock, POLLOUT, cancel, deadline_ns);

        if (rc)
            return rc;
    }
}

/* The one descriptor that came along, or -1. The kernel may have put two where one fits: then none
 * is kept and *too_many is set. */
static int take_fd(struct msghdr *msg, bool *too_many)
{
    int fd = -1;

    *too_many = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            if (fd >= 0) {
                close(fd);
                *too_many = true;
            }
            memcpy(&fd, (const char *)c + at, sizeof(int));
        }
    }
    if (*too_many) {
        close(fd);
        fd = -1;
    }
    return fd;
}

ssize_t packet_recv(int sock, void *buf, size_t cap_bytes, int *fd, const struct cancel *cancel,
    int64_t deadline_ns)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    bool was_reset = false;

    *fd = -1;
    for (;;) {
        struct iovec iov = {buf, cap_bytes};
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        const ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        if (n == 0)
            return -ENODATA;
        if (n > 0) {
            bool too_many;

            *fd = take_fd(&msg, &too_many);
            if (!too_many && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return n;
            if (*fd >= 0)
                close(*fd);
            *fd = -1;
            return -EMSGSIZE;
        }
        /* The kernel says this once, before the packets that are still queued, when the other end
         * was closed with something unread. */
        if (errno == ECONNRESET && !was_reset) {
            was_reset = true;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return -errno;

        const int rc = io_wait(sock, POLLIN, cancel, deadline_ns);

        if (rc)
            return rc;
    }
}
