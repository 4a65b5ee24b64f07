/* SPDX-License-Identifier: MIT */
/*
 * A limit for a call that can neither be aborted nor given a deadline: a thread makes it, and the
 * caller waits until the deadline. After that the thread is left behind with what it works on; it
 * ends by itself some day, or with the process.
 */
#ifndef BASE_LIMITED_H
#define BASE_LIMITED_H

#include <stdint.h>

struct limited_call {
    void (*make)(void *arg);  /* in the thread */
    void (*leave)(void *arg); /* in the caller's, while make() is under way: arg is the thread's;
                               * NULL: nothing is to be done */
    void (*drop)(void *arg);  /* in the thread, after make(), when it was left: frees arg */
};

/* 0: made, arg is the caller's again. -ETIMEDOUT: left behind, arg may be gone. Another -errno:
 * nothing was begun. */
int limited_run(const struct limited_call *call, void *arg, int64_t deadline_ns);

#endif
