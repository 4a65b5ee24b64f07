/* SPDX-License-Identifier: MIT */
#include "cmd/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
static _Atomic(struct cancel *) target;

static void on_signal(int number)
{
    const int saved = errno;
    struct cancel *cancel = atomic_load(&target);

    (void)number;
    if (cancel)
        cancel_fire(cancel);
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

void signals_reset(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};

    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        sigaction(caught[i], &sa, NULL);
    sigaction(SIGCHLD, &sa, NULL);
    atomic_store(&target, NULL);
}
