/* SPDX-License-Identifier: MIT */
/*
 * Xen's log-dirty mode as a source of dirty pages. The mode is one switch per domain, shared with
 * everybody, and CLEAN succeeds and returns zeros with the mode off. That it is on is checked where
 * that would lose pages (see dirty_ops.check), and each CLEAN, that it is the same log still: a
 * canary (canary.h) is in it, or for PV guests, whom nobody can mark frames of, what PEEK showed.
 */
#ifndef ENGINE_XEN_LOGDIRTY_H
#define ENGINE_XEN_LOGDIRTY_H

#include "dirtylog/dirty.h"
#include "engine/xen/xen.h"

#include <stdbool.h>

/* frames: the domain's p2m size. x must outlive it. */
int logdirty_open(struct xen *x, uint32_t domid, bool pv, uint64_t frames,
    struct dirty_source **log, struct err *e);

/* Pure: what it means, and what to do, when Xen does not switch log-dirty on. */
int logdirty_explain(uint32_t domid, bool pv, int code, struct err *e);

#endif
