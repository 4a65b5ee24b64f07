/* SPDX-License-Identifier: MIT */
/*
 * libxl for this program: a context with a log of our own. Short calls are in calls.h, long
 * operations in async.h, configurations in config.h. Only the functions listed in
 * docs/design.md are called.
 *
 * libxl prints several lines for one failure: the first one goes into the error's text, all go to
 * our log as debug lines. A context may be used by several threads, but its first line is then
 * anybody's: each thread that needs good messages opens its own. Contexts do not survive fork().
 */
#ifndef CMD_XMIGRATE_LIBXL_CONTEXT_H
#define CMD_XMIGRATE_LIBXL_CONTEXT_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/log.h"

#include <libxl.h>
#include <stdbool.h>

struct xl_logger;

struct xl {
    libxl_ctx *ctx;
    struct xl_logger *logger;
    const struct log *log;
    bool patient; /* its short calls have no limit: nothing is lost while they wait */
};

/* Once per process, before the first context and before threads: SIGPIPE ignored, descriptors 0
 * to 2 open (libxl hands them to its children and would otherwise reuse them). */
int xl_prepare_process(struct err *e);

/* For what takes milliseconds when all is well. Shorter than a peer's patience. */
#define XL_SHORT_NS (20 * NS_PER_S)

/* log must outlive the context, or what xl_set_log() sets. Fails with one line that says what to do
 * (not root, no Xen). */
int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e);
void xl_close(struct xl *xl);
/* Instead, after a long operation that failed: libxl 4.17 calls it over when the save helper has
 * died, and does not finish what it was just asking the guest or its device model. Freeing the
 * context then aborts the process, so it is left to the process's end. */
void xl_leave(struct xl *xl);

/* Where this context's lines go from now on; NULL: nowhere. When it returns, nothing more is
 * written to the log before. */
void xl_set_log(struct xl *xl, const struct log *log);

/* Forget the first line kept so far; then call libxl; then make the error of its result rc:
 * "WHAT: first line". Returns -errno. */
void xl_begin(struct xl *xl);
int xl_failed(struct xl *xl, int rc, enum err_class class, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
