/*
 * libxl's short calls that the hand-off depends on, with a limit. They cannot be aborted, and they
 * wait for what others hold: a domain's lock that any tool may have taken, an answer of xenstored.
 * So a thread with a context of its own makes the call, and who asked waits until a deadline.
 *
 * After -ETIMEDOUT the call is still under way, and may be carried out as long as the process
 * lives. All is the thread's then, and *l is NULL.
 */
#ifndef CMD_XMIGRATE_XL_LIMITED_H
#define CMD_XMIGRATE_XL_LIMITED_H

#include "cmd/xmigrate/xl_ctx.h"

struct xl_limited;

int xl_limited_open(struct xl_limited **l, struct err *e);
void xl_limited_close(struct xl_limited *l);

/* As xl_rename() and xl_destroy(). */
int xl_limited_rename(struct xl_limited **l, uint32_t domid, const char *from, const char *to,
    int64_t deadline_ns, struct err *e);
int xl_limited_destroy(struct xl_limited **l, uint32_t domid, int64_t deadline_ns, struct err *e);

#endif
