/* SPDX-License-Identifier: MIT */
/*
 * Time: monotonic nanoseconds, and deadlines as absolute points on that clock. A deadline is
 * made once, where the wait is decided, and passed down; nobody adds timeouts up.
 */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define NS_PER_S  1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

#define DEADLINE_NEVER INT64_MAX

/* CLOCK_MONOTONIC now. */
int64_t now_ns(void);

/* CPU time that the calling thread has used; only differences mean something. */
int64_t thread_cpu_ns(void);

/* CPU time since *mark_ns, which moves to now: for parts that follow each other without a gap. */
static inline int64_t lap_cpu_ns(int64_t *mark_ns)
{
    const int64_t before_ns = *mark_ns;

    *mark_ns = thread_cpu_ns();
    return *mark_ns - before_ns;
}

/* The point that lies wait_ns from now (never, if that would overflow). */
int64_t deadline_in(int64_t wait_ns);

static inline bool deadline_passed(int64_t deadline_ns)
{
    return deadline_ns != DEADLINE_NEVER && now_ns() >= deadline_ns;
}

/* What poll(2) wants: milliseconds left rounded up, 0 when passed, -1 for never. */
int deadline_poll_ms(int64_t deadline_ns);

static inline int64_t deadline_earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* Sleep until then; EINTR does not cut it short. */
void sleep_until_ns(int64_t deadline_ns);

/* A condition to wait on until a deadline. 0 or, as pthread functions, an errno. */
int deadline_cond_init(pthread_cond_t *cond);
/* ETIMEDOUT when the deadline, not DEADLINE_NEVER, has passed. lock is held. */
int deadline_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns);

#endif
