/* SPDX-License-Identifier: MIT */
#include "transport/channel.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"

#include <errno.h>
#include <linux/socket.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Bytes that sit in a socket until they fall out of the caches cost two more trips to memory, and a
 * wake-up costs more than reading what caused it. */
enum {
    SHORT_UNSENT_BYTES = 64 << 10,
    /* On a long path caches do not matter, and a sender that is late must not leave the link idle:
     * 20 ms at 200 Mb/s. */
    LONG_UNSENT_BYTES = 512 << 10,
    /* A receiver that wants this much or more is woken when so much has arrived. (Linux wakes it
     * earlier if the window has no room for that.) */
    WAKE_BYTES = 128 << 10,
};

/* Did tcp_tune() find a short path and fix the window? (Kernels before 5.14 cannot tell.) */
static bool has_fixed_window(int fd)
{
    int locks = 0;
    socklen_t len = sizeof(locks);

    return !getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &len) && locks & SOCK_RCVBUF_LOCK;
}

/* SO_RCVLOWAT raises the window to that much at once, and data then read in such portions tells the
 * kernel little about the link: on a long path the window grows late, or never. */
static size_t find_most_wake_bytes(int fd)
{
    return has_fixed_window(fd) ? WAKE_BYTES : 1;
}

int channel_fail(const struct channel *ch, const char *doing, int rc, struct err *e)
{
    if (rc == -ECANCELED)
        return err_set(e, ERR_CANCELLED, -rc, "%s: cancelled", ch->name);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_PEER, -rc, "%s: the peer is silent (%s)", ch->name, doing);
    return err_set(e, ERR_PEER, -rc, "%s: %s: %s", ch->name, doing, io_strerror(rc));
}

void channel_throttle(struct channel *ch, size_t bytes)
{
    if (!ch->throttle)
        return;

    const int64_t begun_ns = now_ns();

    ch->throttle(ch->throttle_arg, bytes);
    ch->costs.paced_ns += now_ns() - begun_ns;
}

size_t channel_slice(const struct channel *ch, size_t bytes)
{
    const size_t slice_bytes = atomic_load_explicit(&ch->slice_bytes, memory_order_relaxed);

    return slice_bytes && slice_bytes < bytes ? slice_bytes : bytes;
}

int channel_await_room(struct channel *ch, int64_t deadline_ns)
{
    const int64_t begun_ns = now_ns();
    const int rc = io_wait(ch->fd, POLLOUT, ch->cancel, deadline_ns);

    ch->costs.wait_ns += now_ns() - begun_ns;
    return rc;
}

void channel_limit_socket(struct channel *ch, bool limited)
{
    const int bytes = !limited                   ? 0
                      : has_fixed_window(ch->fd) ? SHORT_UNSENT_BYTES
                                                 : LONG_UNSENT_BYTES;

    /* Failing only costs speed. */
    setsockopt(ch->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

size_t channel_unsent_bytes(const struct channel *ch)
{
    int bytes = 0;

    return ioctl(ch->fd, SIOCOUTQNSD, &bytes) || bytes < 0 ? 0 : (size_t)bytes;
}

int channel_await_bytes(struct channel *ch, size_t least_bytes, int64_t deadline_ns)
{
    if (!ch->most_wake_bytes)
        ch->most_wake_bytes = find_most_wake_bytes(ch->fd);

    const size_t wake_bytes = least_bytes < ch->most_wake_bytes ? least_bytes : ch->most_wake_bytes;
    const int value = (int)wake_bytes;

    if (wake_bytes != ch->wake_bytes &&
        !setsockopt(ch->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)))
        ch->wake_bytes = wake_bytes;
    return io_wait(ch->fd, POLLIN, ch->cancel, deadline_ns);
}
