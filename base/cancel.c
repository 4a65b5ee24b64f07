/* SPDX-License-Identifier: MIT */
#include "base/cancel.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cancel_init(struct cancel *c, struct err *e)
{
    atomic_init(&c->fired, false);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->event_fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd");
    return 0;
}

void cancel_destroy(struct cancel *c)
{
    close(c->event_fd);
    c->event_fd = -1;
}

void cancel_fire(struct cancel *c)
{
    const int saved_errno = errno;
    const uint64_t one = 1;

    atomic_store_explicit(&c->fired, true, memory_order_release);
    /* A full counter is readable all the same, so a failed write loses nothing. */
    if (write(c->event_fd, &one, sizeof(one)) < 0)
        errno = saved_errno;
    errno = saved_errno;
}
