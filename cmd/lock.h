/* SPDX-License-Identifier: MIT */
/*
 * One engine per domain: a lock file in the run directory, flock'ed on an open file description.
 * The supervisor hands its helper a duplicate, so the lock is free only when both have closed it or
 * died. The file's text names the holder, for messages; it goes with its last holder, unless that
 * was killed.
 *
 * It also says whether the domain is asked to suspend and has not been seen to: what whoever holds
 * the lock next has to settle if all who held it were killed. That needs no disk, because a guest
 * does not outlive its host.
 */
#ifndef CMD_LOCK_H
#define CMD_LOCK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct domain_lock {
    int fd; /* CLOEXEC; -1: not held */
    uint32_t domid;
};

/* ERR_REFUSED (EBUSY) with the holder's name when another process has it. */
int domain_lock_take(struct domain_lock *lock, uint32_t domid, struct err *e);

/* Before the guest is asked; and when it has suspended or the request is taken back. */
void domain_lock_note_asked(const struct domain_lock *lock, bool asked);
bool domain_lock_is_asked(const struct domain_lock *lock);

/* A lock that came with a descriptor (-1: none), whose sender outlives us and removes the file. */
struct domain_lock domain_lock_adopt(int fd);

/* The file goes, too, unless somebody else holds it, or the guest was asked to suspend and it
 * is not known what came of that. */
void domain_lock_release(struct domain_lock *lock);

#endif
