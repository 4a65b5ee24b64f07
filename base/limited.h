/* SPDX-License-Identifier: MIT */
/*
 * A call that can neither be aborted nor given a deadline, with a limit all the same: a thread
 * makes it, and who asked waits until a deadline. Then the thread is left behind with what it
 * works on, and ends by itself some day, or with the process.
 */
#ifndef BASE_LIMITED_H
#define BASE_LIMITED_H

#include <stdint.h>

struct limited_call {
    void (*make)(void *arg);  /* in the thread */
    void (*leave)(void *arg); /* in the caller's, while make() is under way: arg is the thread's */
    void (*drop)(void *arg);  /* in the thread, after make(), when it was left: frees arg */
};

/* 0: made, arg is the caller's again. -ETIMEDOUT: left behind, arg may be gone. Another -errno:
 * nothing was begun. */
int limited_run(const struct limited_call *call, void *arg, int64_t deadline_ns);

#endif
