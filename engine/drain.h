/* SPDX-License-Identifier: MIT */
/*
 * Nothing of the guest's may be written to its disks from this host once it runs on the other. When
 * it wakes it issues its unanswered requests again, and writes more; an old request that a backend
 * here still holds would overwrite that. So before the guest is given away every backend here has
 * answered everything, and what it left in the page cache (a file, QEMU) is written out.
 *
 * A thread of its own waits for that, beside the last round. While the guest runs it writes out
 * what has gathered, now and then, so that little is left for the pause; while the guest suspends
 * it looks again which disks there are.
 *
 * Belongs to the thread of the story; its own thread uses nothing of the story's.
 */
#ifndef ENGINE_DRAIN_H
#define ENGINE_DRAIN_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct drain;

/* Opens what it needs of this host's files; without a thread. Fails if it could not be told, later,
 * whether a disk is drained. log must outlive it. */
int drain_open(struct drain **d, uint32_t domid, const struct log *log, struct err *e);

/* limit_ns: from the suspend. */
int drain_start(struct drain *d, int64_t limit_ns, struct err *e);

/* The guest is about to be asked to suspend; it is suspended. */
void drain_suspending(struct drain *d);
void drain_suspended(struct drain *d);

/* Whether the receiver may read something old from a disk when it opens it before drain_wait(). */
bool drain_is_cached(struct drain *d);

/* After drain_suspended(): 0 when all is done; *waited_ns grows by the time spent here. */
int drain_wait(struct drain *d, const struct cancel *cancel, int64_t *waited_ns, struct err *e);

/* At any time; NULL is allowed. */
void drain_close(struct drain *d);

#endif
