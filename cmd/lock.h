/* SPDX-License-Identifier: MIT */
/*
 * One engine per domain: a lock file in the run directory, flock'ed on an open file description.
 * The supervisor hands its helper a duplicate, so the lock is free only when both have closed it or
 * died. The file stays; its text names the last holder, for messages.
 */
#ifndef CMD_LOCK_H
#define CMD_LOCK_H

#include "base/err.h"

#include <stdint.h>

struct domain_lock {
    int fd; /* CLOEXEC; -1: not held */
};

/* ERR_REFUSED (EBUSY) with the holder's name when another process has it. */
int domain_lock_take(struct domain_lock *lock, uint32_t domid, struct err *e);

/* A lock that came with a descriptor (-1: none). */
struct domain_lock domain_lock_adopt(int fd);

void domain_lock_release(struct domain_lock *lock);

#endif
