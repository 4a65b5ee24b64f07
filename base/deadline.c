/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t deadline_in(int64_t wait_ns)
{
    int64_t at_ns;

    if (__builtin_add_overflow(now_ns(), wait_ns, &at_ns))
        return DEADLINE_NEVER;
    return at_ns;
}

int deadline_poll_ms(int64_t deadline_ns)
{
    if (deadline_ns == DEADLINE_NEVER)
        return -1;

    const int64_t left_ns = deadline_ns - now_ns();

    if (left_ns <= 0)
        return 0;

    const int64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;

    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

void sleep_until_ns(int64_t deadline_ns)
{
    const struct timespec ts = {deadline_ns / NS_PER_S, deadline_ns % NS_PER_S};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

int deadline_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rc)
        rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

int deadline_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns)
{
    const struct timespec until = {deadline_ns / NS_PER_S, deadline_ns % NS_PER_S};

    return pthread_cond_timedwait(cond, lock, &until);
}
