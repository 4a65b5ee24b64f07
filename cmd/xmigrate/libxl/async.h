/* SPDX-License-Identifier: MIT */
/*
 * Long libxl operations: asynchronous, driven by one worker thread with a context of its own,
 * so that the story can poll for their end beside its connections and can abort them.
 *
 * Owner: whoever started it, who calls xl_async_finish() and then xl_async_free(), each once. The
 * worker only touches the operation; between start and finish the owner uses event_fd and
 * xl_async_abort() alone.
 */
#ifndef CMD_XMIGRATE_LIBXL_ASYNC_H
#define CMD_XMIGRATE_LIBXL_ASYNC_H

#include "cmd/xmigrate/libxl/context.h"

struct xl_async;

/* libxl_domain_suspend to fd, which stays the caller's and must stay open until the end. */
int xl_async_suspend(
    struct xl_async **op, const struct log *log, uint32_t domid, int fd, bool live, struct err *e);

/* libxl_domain_create_restore from fd (as above); config stays the caller's and is libxl's to
 * fill with defaults meanwhile. */
int xl_async_restore(struct xl_async **op, const struct log *log, libxl_domain_config *config,
    int fd, struct err *e);

/* Readable once the operation is over. */
int xl_async_event_fd(const struct xl_async *op);

/* A descriptor, -1: none any more, that libxl's children must not hold: not all of them exec, and
 * the one that waits for a device model lives as long as that. */
void xl_async_hide(struct xl_async *op, int fd);

/* Ask libxl to cut it short; it ends later, perhaps well. Any thread; again is harmless. Waits, for
 * seconds at most, until libxl has started its helper: before that an abort would crash it. */
void xl_async_abort(struct xl_async *op);

/* Wait for the end. 0 or -errno; *domid (may be NULL) is the new domain's of a restore that
 * succeeded. */
int xl_async_finish(struct xl_async *op, uint32_t *domid, struct err *e);

/* After that, when there is time: freeing libxl's context takes it tens of ms. That of an operation
 * that failed is left (xl_leave()). NULL: nothing. */
void xl_async_free(struct xl_async *op);

#endif
