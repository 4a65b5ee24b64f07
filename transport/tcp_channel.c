/* SPDX-License-Identifier: MIT */
#include "transport/tcp.h"

#include "base/crc32c.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Little enough for the cache, and for a thread's stack, which is 128 KiB with musl. */
enum { SUM_BYTES = 64 << 10, SUM_PARTS = 64 };

/* As io_writev_some(), but at most most_bytes of the left_bytes. */
static ssize_t write_some(
    int fd, struct iovec **iov, int *count, size_t most_bytes, size_t left_bytes)
{
    if (most_bytes >= left_bytes)
        return io_writev_some(fd, iov, count);
    while ((*iov)->iov_len == 0) {
        ++*iov;
        --*count;
    }

    const size_t part_bytes = (*iov)->iov_len < most_bytes ? (*iov)->iov_len : most_bytes;
    struct iovec part = {(*iov)->iov_base, part_bytes}, *parts = &part;
    int one = 1;
    const ssize_t n = io_writev_some(fd, &parts, &one);

    if (n > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= (size_t)n;
    }
    return n;
}

static int send_all(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    int64_t stalled_at_ns = deadline_in(ch->stall_ns);
    size_t left_bytes = io_sum_bytes(iov, count), paid_bytes = 0;

    if (cancel_is_fired(ch->cancel))
        return channel_fail(ch, "sending", -ECANCELED, e);
    while (left_bytes) {
        if (!paid_bytes) {
            paid_bytes = channel_slice(ch, left_bytes);
            channel_throttle(ch, paid_bytes);
            if (cancel_is_fired(ch->cancel))
                return channel_fail(ch, "sending", -ECANCELED, e);
            stalled_at_ns = deadline_in(ch->stall_ns);
        }

        const ssize_t n = write_some(ch->fd, &iov, &count, paid_bytes, left_bytes);
        int rc = n < 0 ? (int)n : 0;

        if (n > 0) {
            left_bytes -= (size_t)n;
            paid_bytes -= (size_t)n;
            atomic_fetch_add_explicit(&ch->sent_bytes, (uint64_t)n, memory_order_relaxed);
            stalled_at_ns = deadline_in(ch->stall_ns);
        } else if (n == -EAGAIN) {
            rc = channel_await_room(ch, stalled_at_ns);
        }
        if (rc)
            return channel_fail(ch, "sending", rc, e);
    }
    return 0;
}

/* Pages change while they are sent: what is summed is a copy, and the copy is what is sent. */
static int send_summed(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    uint8_t copy[SUM_BYTES];
    size_t filled = 0;
    int rc = 0;

    for (int i = 0; i < count && !rc;) {
        const size_t room = sizeof(copy) - filled;
        const size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

        ch->sent_sum = crc32c_copy(ch->sent_sum, copy + filled, iov[i].iov_base, n);
        filled += n;
        iov[i].iov_base = (char *)iov[i].iov_base + n;
        iov[i].iov_len -= n;
        if (!iov[i].iov_len)
            i++;
        if (filled < sizeof(copy) && i < count)
            continue;
        rc = send_all(ch, &(struct iovec){copy, filled}, 1, e);
        filled = 0;
    }
    return rc;
}

int tcp_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    int64_t mark_ns = thread_cpu_ns();
    const int rc = ch->summed ? send_summed(ch, iov, count, e) : send_all(ch, iov, count, e);

    ch->costs.write_cpu_ns += lap_cpu_ns(&mark_ns);
    return rc;
}

static int recv_all(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    const size_t len_bytes = io_sum_bytes(iov, count);
    size_t left_bytes = len_bytes;

    if (cancel_is_fired(ch->cancel))
        return channel_fail(ch, "receiving", -ECANCELED, e);
    while (left_bytes) {
        const ssize_t n = io_readv_some(ch->fd, &iov, &count);
        int rc = n < 0 ? (int)n : 0;

        if (n > 0) {
            left_bytes -= (size_t)n;
            atomic_fetch_add_explicit(&ch->received_bytes, (uint64_t)n, memory_order_relaxed);
        } else if (n == 0) {
            if (left_bytes == len_bytes)
                return -ENODATA;
            rc = -EBADMSG;
        } else if (n == -EAGAIN) {
            rc = channel_await_bytes(ch, left_bytes, deadline_ns);
        }
        if (rc)
            return channel_fail(ch, "receiving", rc, e);
    }
    return 0;
}

/* The next parts, and no more of the last one than makes a piece. */
static int cut_piece(struct iovec **iov, int *count, struct iovec piece[static SUM_PARTS])
{
    size_t room = SUM_BYTES;
    int parts = 0;

    while (*count && room && parts < SUM_PARTS) {
        const size_t n = (*iov)->iov_len < room ? (*iov)->iov_len : room;

        piece[parts++] = (struct iovec){(*iov)->iov_base, n};
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
        room -= n;
        if (!(*iov)->iov_len) {
            ++*iov;
            --*count;
        }
    }
    return parts;
}

/* Receiving uses up what it is told to fill. */
static int recv_summed(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    struct iovec piece[SUM_PARTS], left[SUM_PARTS];
    bool begun = false;
    int rc = 0;

    while (count && !rc) {
        const int parts = cut_piece(&iov, &count, piece);

        memcpy(left, piece, (size_t)parts * sizeof(left[0]));
        rc = recv_all(ch, left, parts, deadline_ns, e);
        if (rc == -ENODATA && begun)
            rc = channel_fail(ch, "receiving", -EBADMSG, e);
        for (int i = 0; i < parts && !rc; i++)
            ch->received_sum = crc32c(ch->received_sum, piece[i].iov_base, piece[i].iov_len);
        begun = true;
    }
    return rc;
}

static int tcp_recv(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    return ch->summed ? recv_summed(ch, iov, count, deadline_ns, e)
                      : recv_all(ch, iov, count, deadline_ns, e);
}

static int tcp_binding(struct channel *ch, uint8_t out[static CHANNEL_BINDING_BYTES], struct err *e)
{
    (void)ch;
    (void)e;
    memset(out, 0, CHANNEL_BINDING_BYTES);
    return 0;
}

static int tcp_finish(struct channel *ch, struct err *e)
{
    if (shutdown(ch->fd, SHUT_WR))
        return channel_fail(ch, "closing", -errno, e);
    return 0;
}

static void tcp_shutdown(struct channel *ch)
{
    shutdown(ch->fd, SHUT_RDWR);
}

static void tcp_close(struct channel *ch)
{
    close(ch->fd);
    free(ch);
}

static const struct channel_ops tcp_ops = {
    .send = tcp_send,
    .recv = tcp_recv,
    .binding = tcp_binding,
    .finish = tcp_finish,
    .limit_unsent = channel_limit_socket,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
};

int tcp_channel(int fd, const char *name, const struct cancel *cancel, int64_t stall_ns,
    struct channel **ch, struct err *e)
{
    const int rc = io_set_nonblocking(fd, true);

    *ch = rc ? NULL : calloc(1, sizeof(**ch));
    if (!*ch) {
        close(fd);
        return err_sys(e, ERR_LOCAL, rc ? -rc : ENOMEM, "%s: cannot make a channel", name);
    }
    (*ch)->ops = &tcp_ops;
    (*ch)->fd = fd;
    (*ch)->cancel = cancel;
    (*ch)->stall_ns = stall_ns;
    snprintf((*ch)->name, sizeof((*ch)->name), "%s", name);
    return 0;
}
