/* SPDX-License-Identifier: MIT */
/*
 * The system calls that a process may still make. From here on; for all threads that it starts; no
 * way back, and no way to new privileges. Not with a sanitizer, which makes calls of its own and
 * looks into /proc: then nothing is done.
 */
#ifndef CMD_SYSTEM_CALLS_H
#define CMD_SYSTEM_CALLS_H

#include "base/err.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

enum system_calls {
    /* What reads what strangers send: it opens nothing. Any other call ends the process. */
    SYSTEM_CALLS_STRANGERS,
    /* The engine, which has a guest to bring back: any other call fails with EPERM, and stands in
     * the kernel's log. */
    SYSTEM_CALLS_ENGINE,
};

int system_calls_limit(enum system_calls to, struct err *e);

#endif
