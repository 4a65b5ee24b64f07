/* SPDX-License-Identifier: MIT */
/*
 * The process that libxl started, when the engine has to outlive it. libxl goes on with a domain
 * when its helper has exited, and the engine cannot be forked then: Xen's handles do not survive
 * that. So the process that libxl started forks at once, keeps nothing but its place as libxl's
 * child, and ends as the engine tells it, or as the engine ends. The engine speaks to libxl itself,
 * over the pipes that both have.
 *
 * libxl's signals are passed on. The engine is told to stop when the shim is killed before it was
 * let go.
 */
#ifndef CMD_HELPER_SHIM_H
#define CMD_HELPER_SHIM_H

#include "base/err.h"

struct shim {
    int release_fd; /* the engine's: -1 if there is no shim, or no more */
};

/* Before threads, and before any of Xen's handles. Returns in the engine only; the other process
 * ends in here, unless there is no second process (-errno). */
int shim_start(struct shim *s, struct err *e);

/* The process that libxl waits for ends now, and well; this one goes on without it. */
int shim_release(struct shim *s, struct err *e);

#endif
