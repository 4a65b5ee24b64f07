/* SPDX-License-Identifier: MIT */
/*
 * What it takes to leave a guest whole after a failure, relying on the hypervisor's word alone: for
 * the helper when its supervisor is dead, and for --recover.
 */
#ifndef ENGINE_XEN_RESCUE_H
#define ENGINE_XEN_RESCUE_H

#include "base/err.h"
#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>

enum rescue_status { RESCUE_GONE, RESCUE_RUNNING, RESCUE_SUSPENDED, RESCUE_SHUT_DOWN };

/* A domain's UUID (16 bytes), to recognise it later: domids are reused. -ESRCH when there is no
 * such domain. */
int rescue_read_uuid(struct xen *x, uint32_t domid, uint8_t uuid[static 16], struct err *e);

/* RESCUE_GONE also when the domid now is another domain's. RESCUE_SHUT_DOWN: for another reason
 * than suspend. */
int rescue_query(struct xen *x, uint32_t domid, const uint8_t uuid[static 16],
    enum rescue_status *status, struct err *e);

/* 0 also if it was off. */
int rescue_log_dirty_off(struct xen *x, uint32_t domid, struct err *e);
/* The same of what is noted of its auxiliary data, which nobody else reads. */
int rescue_stop_noting(struct xen *x, uint32_t domid, struct err *e);

/* Cooperative resume of a suspended domain, by hypercalls alone: when this returns 0 it runs, and
 * nothing is left behind that could resume it later. xenstored, which may be dead or hang, is told
 * then, within 3 s; *untold says why it could not be. */
int rescue_resume(struct xen *x, uint32_t domid, struct err *untold, struct err *e);

/* xenstored alone is told, of a domain that runs again. No harm if it was told before. */
int rescue_tell_resumed(uint32_t domid, struct err *e);

/* Make sure that a new domain, which somebody may unpause at any moment, never runs; unless it has
 * run already: then *has_run is set and it runs on. */
int rescue_hold(struct xen *x, uint32_t domid, bool *has_run, struct err *e);

/* Without libxl: it never runs again from here on, but its devices are left. 0 also when it is gone
 * or dying already. */
int rescue_destroy(struct xen *x, uint32_t domid, struct err *e);

#endif
