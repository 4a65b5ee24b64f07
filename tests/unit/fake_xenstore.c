/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_xenstore.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct xs_handle {
    int events; /* an eventfd */
};

static struct xs_handle handle;

int fake_xenstore_begin(void)
{
    handle.events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return handle.events < 0 ? -1 : 0;
}

int fake_xenstore_end(void)
{
    return close(handle.events);
}

void fake_xenstore_fire(void)
{
    const uint64_t one = 1;

    if (write(handle.events, &one, sizeof(one)) != (ssize_t)sizeof(one))
        abort();
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return &handle;
}

void xs_close(struct xs_handle *xsh)
{
    (void)xsh;
}

int xs_fileno(struct xs_handle *h)
{
    return h->events;
}

char **xs_check_watch(struct xs_handle *h)
{
    uint64_t count;

    if (read(h->events, &count, sizeof(count)) == (ssize_t)sizeof(count))
        return calloc(2, sizeof(char *));
    errno = EAGAIN;
    return NULL;
}
