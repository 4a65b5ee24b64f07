/* SPDX-License-Identifier: MIT */
#include "cmd/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
static _Atomic(struct cancel *) target;
static atomic_int reload_fd;

static void on_signal(int number)
{
    const int saved = errno;
    struct cancel *cancel = atomic_load(&target);

    (void)number;
    if (cancel)
        cancel_fire(cancel);
    errno = saved;
}

static void on_reload(int number)
{
    const int saved = errno;
    const uint64_t one = 1;

    (void)number;
    /* A full counter is readable all the same. */
    if (write(atomic_load(&reload_fd), &one, sizeof(one)) < 0)
        errno = saved;
    errno = saved;
}

int signals_fire(struct cancel *cancel, struct err *e)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    atomic_store(&target, cancel);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        if (sigaction(caught[i], &sa, NULL))
            return err_sys(e, ERR_LOCAL, errno, "cannot catch signal %d", caught[i]);
    return 0;
}

int signals_reload(int event_fd, struct err *e)
{
    struct sigaction sa = {.sa_handler = on_reload, .sa_flags = SA_RESTART};

    atomic_store(&reload_fd, event_fd);
    return sigaction(SIGHUP, &sa, NULL)
               ? err_sys(e, ERR_LOCAL, errno, "cannot catch signal %d", SIGHUP)
               : 0;
}

void signals_reset(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};

    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        sigaction(caught[i], &sa, NULL);
    sigaction(SIGCHLD, &sa, NULL);
    atomic_store(&target, NULL);
}
