/* SPDX-License-Identifier: MIT */
/*
 * libxl's short calls with a limit. They cannot be aborted, and they wait for what others hold: a
 * domain's lock that any tool may have taken, an answer of xenstored. So a thread makes the call,
 * and who asked waits until a deadline.
 *
 * After -ETIMEDOUT the call is still under way, and may be carried out as long as the process
 * lives. The context is the thread's then, with its copy of what was asked; *xl has none, and the
 * next call opens another, so that it is not held up by the first. Who uses xl->ctx himself must be
 * patient: such an xl's calls take as long as they take.
 */
#ifndef CMD_XMIGRATE_LIBXL_LIMITED_H
#define CMD_XMIGRATE_LIBXL_LIMITED_H

#include "cmd/xmigrate/libxl/context.h"

#include <stddef.h>

/* What every call begins with. What it takes and what it gives follow in a structure that has this
 * as its first member; it is copied, so it holds no pointers to what the caller may free. */
struct xl_call {
    int (*make)(struct xl *xl, struct xl_call *c, struct err *e);
    const char *what; /* "rename the domain"; a literal */
};

/* Make the call: what make() returned, with all of the structure as make() left it; or -ETIMEDOUT,
 * or no thread could be had, with the structure as it was. */
int xl_call_limited(
    struct xl *xl, struct xl_call *c, size_t size_bytes, int64_t deadline_ns, struct err *e);

#endif
