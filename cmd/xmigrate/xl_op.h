/*
 * Long libxl operations: asynchronous, driven by one worker thread with a context of its own,
 * so that the story can poll for their end beside its connections and can abort them.
 *
 * Owner: whoever started it, who calls xl_op_finish() exactly once. The worker only touches the
 * operation; between start and finish the owner uses event_fd and xl_op_abort() alone.
 */
#ifndef CMD_XMIGRATE_XL_OP_H
#define CMD_XMIGRATE_XL_OP_H

#include "cmd/xmigrate/xl_ctx.h"

struct xl_op;

/* libxl_domain_suspend to fd, which stays the caller's and must stay open until the end. */
int xl_op_suspend(
    struct xl_op **op, const struct log *log, uint32_t domid, int fd, bool live, struct err *e);

/* libxl_domain_create_restore from fd (as above); config stays the caller's and is libxl's to
 * fill with defaults meanwhile. */
int xl_op_restore(
    struct xl_op **op, const struct log *log, libxl_domain_config *config, int fd, struct err *e);

/* Readable once the operation is over. */
int xl_op_event_fd(const struct xl_op *op);

/* Ask libxl to cut it short; it ends later, perhaps well. Any thread; again is harmless. Waits, for
 * seconds at most, until libxl has started its helper: before that an abort would crash it. */
void xl_op_abort(struct xl_op *op);

/* Wait for the end, free. 0 or -errno; *domid (may be NULL) is the new domain's of a restore
 * that succeeded. */
int xl_op_finish(struct xl_op *op, uint32_t *domid, struct err *e);

#endif
