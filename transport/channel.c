#include "transport/channel.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
    /* To be woken costs more than to read what came: where much is wanted, so much may come first.
     * (Linux wakes for less where the window has no room for it.) */
    WAKE_BYTES = 128 << 10,
};

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
    return ch->slice_bytes && ch->slice_bytes < bytes ? ch->slice_bytes : bytes;
}

int channel_await_room(struct channel *ch, int64_t deadline_ns)
{
    const int64_t begun_ns = now_ns();
    const int rc = io_wait(ch->fd, POLLOUT, ch->cancel, deadline_ns);

    ch->costs.wait_ns += now_ns() - begun_ns;
    return rc;
}

int channel_await_bytes(struct channel *ch, size_t least_bytes, int64_t deadline_ns)
{
    const size_t wake_bytes = least_bytes < WAKE_BYTES ? least_bytes : WAKE_BYTES;
    const int value = (int)wake_bytes;

    if (wake_bytes != ch->wake_bytes &&
        !setsockopt(ch->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)))
        ch->wake_bytes = wake_bytes;
    return io_wait(ch->fd, POLLIN, ch->cancel, deadline_ns);
}
