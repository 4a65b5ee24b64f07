/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/host.h"

#include "base/deadline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

int host_init(struct host *h, struct err *e)
{
    pthread_mutex_init(&h->domctl_lock, NULL);
    pthread_mutex_init(&h->change_lock, NULL);
    pthread_rwlock_init(&h->domains_lock, NULL);
    deadline_cond_init(&h->change_cond);
    h->next_domid = FIRST_DOMID;
    h->stop_fd = eventfd(0, EFD_CLOEXEC);
    return h->stop_fd < 0 ? err_sys(e, ERR_LOCAL, errno, "eventfd") : 0;
}

void host_log_rate(struct host *h, const char *fmt, ...)
{
    uint64_t n = atomic_fetch_add(&h->log_lines, 1);
    char line[LOG_LINE_BYTES];
    va_list args;

    if (n >= 1000 && n % 4096)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    host_log(h, "%s", line);
}

void host_notify(struct host *h)
{
    pthread_mutex_lock(&h->change_lock);
    h->changes++;
    pthread_cond_broadcast(&h->change_cond);
    pthread_mutex_unlock(&h->change_lock);
}

/* change_lock is held. */
static uint64_t await_change(struct host *h, uint64_t seen)
{
    const int64_t until_ns = deadline_in(100 * NS_PER_MS);

    while (h->changes == seen)
        if (deadline_cond_wait(&h->change_cond, &h->change_lock, until_ns))
            break;
    return h->changes;
}

void host_await_change(struct host *h)
{
    pthread_mutex_lock(&h->change_lock);
    await_change(h, h->changes);
    pthread_mutex_unlock(&h->change_lock);
}

uint64_t host_await_change_after(struct host *h, uint64_t seen)
{
    pthread_mutex_lock(&h->change_lock);

    const uint64_t changes = await_change(h, seen);

    pthread_mutex_unlock(&h->change_lock);
    return changes;
}

int host_stop(struct host *h)
{
    uint64_t one = 1;

    return write(h->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -EIO;
}

void host_sweep_mappings(struct host *h, struct domain *d)
{
    h->ops->sweep_mappings(h->ops_arg, d);
}
