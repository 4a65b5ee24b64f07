/* SPDX-License-Identifier: MIT */
/*
 * The destination's copy of a guest before it runs: found whatever it is called, and destroyed
 * whatever libxl does.
 */
#ifndef CMD_XMIGRATE_HANDOFF_COPY_H
#define CMD_XMIGRATE_HANDOFF_COPY_H

#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/calls.h"

/* *found: by the number that it is known to have (JOURNAL_NO_DOMID: none yet), by Xen's word; else
 * by its name, incoming; else, when that was changed, by its UUID, if it is paused, has never run,
 * and is not called as the guest itself. -ESRCH without an error when there is none. */
int copy_find(struct xl *xl, const char *incoming, const char *uuid, uint32_t domid,
    uint32_t *found, struct err *e);

/* Destroy a copy that must not run. From READY on (state is on record) the guest stands still at
 * the source until it hears of that: libxl is given 4 s, and then Xen does it alone. What there is
 * of its devices is left then, unless libxl is waited for: *late_fd (-1: no need) is readable when
 * it is through, and the caller's to close then. Before READY, libxl has 60 s, and what it has not
 * done is an error. */
int copy_destroy(
    struct xl *xl, uint32_t domid, enum handoff_state state, int *late_fd, struct err *e);

/* When nobody waits for us any more. 60 s at most; the process may end after that. */
void copy_await_libxl(const struct log *log, int late_fd);

#endif
