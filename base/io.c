/* SPDX-License-Identifier: MIT */
#include "base/io.h"

#include "base/deadline.h"
#include "base/libc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { COPY_BYTES = 16 << 10 };

int io_set_nonblocking(int fd, bool on)
{
    const int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int io_wait(int fd, short events, const struct cancel *cancel, int64_t deadline_ns)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = events},
        {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN},
    };

    for (;;) {
        const int n = poll(fds, 2, deadline_poll_ms(deadline_ns));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (cancel_is_fired(cancel))
            return -ECANCELED;
        if (n > 0 && fds[0].revents)
            return 0;
        if (deadline_passed(deadline_ns))
            return -ETIMEDOUT;
    }
}

ssize_t io_read_some(int fd, void *buf, size_t len_bytes)
{
    for (;;) {
        const ssize_t n = read(fd, buf, len_bytes);

        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}

int io_read_full(
    int fd, void *buf, size_t len_bytes, const struct cancel *cancel, int64_t deadline_ns)
{
    struct iovec iov = {buf, len_bytes};

    return io_readv_full(fd, &iov, 1, cancel, deadline_ns);
}

int io_write_full(
    int fd, const void *buf, size_t len_bytes, const struct cancel *cancel, int64_t deadline_ns)
{
    struct iovec iov = {(void *)buf, len_bytes};

    return io_writev_full(fd, &iov, 1, cancel, deadline_ns);
}

size_t io_sum_bytes(const struct iovec *iov, int count)
{
    size_t sum = 0;

    for (int i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

static void skip_done(struct iovec **iov, int *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (n) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

/* 9p, and FUSE where it does not cache, pin what they read into, and another domain's page cannot
 * be pinned. at: NULL: where the descriptor stands. */
static ssize_t read_by_copy(int fd, const struct iovec *into, const uint64_t *at)
{
    uint8_t copy[COPY_BYTES];
    const size_t most = into->iov_len < sizeof(copy) ? into->iov_len : sizeof(copy);
    const ssize_t n = at ? pread(fd, copy, most, (off_t)*at) : read(fd, copy, most);

    if (n > 0)
        memcpy(into->iov_base, copy, (size_t)n);
    return n;
}

/* One call, of a list that begins with something to fill. */
static ssize_t read_once(int fd, const struct iovec *iov, int count, const uint64_t *at)
{
    const int most = count < IOV_MAX ? count : IOV_MAX;

    for (;;) {
        ssize_t n = at ? preadv(fd, iov, most, (off_t)*at) : readv(fd, iov, most);

        if (n < 0 && errno == EFAULT)
            n = read_by_copy(fd, iov, at);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}

ssize_t io_readv_some(int fd, struct iovec **iov, int *count)
{
    const ssize_t n = read_once(fd, *iov, *count, NULL);

    if (n >= 0)
        skip_done(iov, count, (size_t)n);
    return n;
}

int io_readv_full(
    int fd, struct iovec *iov, int count, const struct cancel *cancel, int64_t deadline_ns)
{
    bool begun = false;

    skip_done(&iov, &count, 0);
    while (count > 0) {
        const ssize_t n = io_readv_some(fd, &iov, &count);

        if (n > 0) {
            begun = true;
        } else if (n == 0) {
            return begun ? -EBADMSG : -ENODATA;
        } else if (n == -EAGAIN) {
            const int rc = io_wait(fd, POLLIN, cancel, deadline_ns);

            if (rc)
                return rc;
        } else {
            return (int)n;
        }
    }
    return 0;
}

ssize_t io_writev_some(int fd, struct iovec **iov, int *count)
{
    for (;;) {
        const ssize_t n = writev(fd, *iov, *count < IOV_MAX ? *count : IOV_MAX);

        if (n >= 0) {
            skip_done(iov, count, (size_t)n);
            return n;
        }
        if (errno != EINTR)
            return -errno;
    }
}

int io_writev_full(
    int fd, struct iovec *iov, int count, const struct cancel *cancel, int64_t deadline_ns)
{
    skip_done(&iov, &count, 0);
    while (count > 0) {
        const ssize_t n = io_writev_some(fd, &iov, &count);

        if (n == -EAGAIN) {
            const int rc = io_wait(fd, POLLOUT, cancel, deadline_ns);

            if (rc)
                return rc;
        } else if (n < 0) {
            return (int)n;
        }
    }
    return 0;
}

int io_preadv_full(int fd, struct iovec *iov, int count, uint64_t at)
{
    skip_done(&iov, &count, 0);
    while (count > 0) {
        const ssize_t n = read_once(fd, iov, count, &at);

        if (n <= 0)
            return n ? (int)n : -EBADMSG;
        at += (uint64_t)n;
        skip_done(&iov, &count, (size_t)n);
    }
    return 0;
}

int io_pwritev_full(int fd, struct iovec *iov, int count, uint64_t at)
{
    skip_done(&iov, &count, 0);
    while (count > 0) {
        const ssize_t n = pwritev(fd, iov, count < IOV_MAX ? count : IOV_MAX, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += (uint64_t)n;
        skip_done(&iov, &count, (size_t)n);
    }
    return 0;
}

const char *io_strerror(int rc)
{
    switch (-rc) {
    case ENODATA:
        return "closed by the other end";
    case EBADMSG:
        return "cut short";
    case ECANCELED:
        return "cancelled";
    case ETIMEDOUT:
        return "timed out";
    default:
        return strerrordesc_np(-rc) ?: "error";
    }
}
