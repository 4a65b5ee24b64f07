/* SPDX-License-Identifier: MIT */
#include "engine/xen/xen.h"

#include "base/libc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* libxenctrl's lines become debug lines: our own messages say what matters. */
struct to_log {
    xentoollog_logger base;
    const struct log *log;
};

static void take_line(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
    const char *context, const char *format, va_list al)
{
    const struct to_log *t = (const struct to_log *)logger;
    char line[LOG_LINE_BYTES / 2];

    /* How many buffers libxencall has had, at each close of a handle, is of no interest. */
    if (level < XTL_INFO || t->log->max < LOG_DEBUG)
        return;
    vsnprintf(line, sizeof(line), format, al);
    if (errnoval >= 0)
        log_debug(t->log, "%s: %s: %s", context ?: "xen", line, strerrordesc_np(errnoval) ?: "?");
    else
        log_debug(t->log, "%s: %s", context ?: "xen", line);
}

static void take_progress(struct xentoollog_logger *logger, const char *context,
    const char *doing_what, int percent, unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)doing_what, (void)percent, (void)done, (void)total;
}

static void destroy_logger(struct xentoollog_logger *logger)
{
    free(logger);
}

static int explain_failure(int code, struct err *e)
{
    if (geteuid() != 0)
        return err_set(e, ERR_LOCAL, EPERM, "Xen's interfaces need root: run this as root");
    return err_sys(e, ERR_LOCAL, code,
        "cannot reach Xen (/dev/xen/privcmd): is this the control domain of a running Xen?");
}

static int make_logger(struct xen *x, const struct log *log, struct err *e)
{
    struct to_log *t = calloc(1, sizeof(*t));

    *x = (struct xen){0};
    if (!t)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    t->base = (xentoollog_logger){take_line, take_progress, destroy_logger};
    t->log = log;
    x->logger = &t->base;
    return 0;
}

int xen_open_none(struct xen *x, const struct log *log, struct err *e)
{
    const int rc = make_logger(x, log, e);

    if (rc)
        return rc;
    x->xch = xc_interface_open(x->logger, x->logger, XC_OPENFLAG_DUMMY);
    if (x->xch)
        return 0;
    xen_close(x);
    return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
}

int xen_open(struct xen *x, const struct log *log, struct err *e)
{
    const int rc = make_logger(x, log, e);

    if (rc)
        return rc;
    x->xch = xc_interface_open(x->logger, x->logger, 0);
    if (x->xch)
        x->fmem = xenforeignmemory_open(x->logger, 0);
    if (x->fmem)
        return 0;

    const int code = errno;

    xen_close(x);
    return explain_failure(code, e);
}

void xen_close(struct xen *x)
{
    if (x->fmem)
        xenforeignmemory_close(x->fmem);
    if (x->xch)
        xc_interface_close(x->xch);
    free(x->logger);
    *x = (struct xen){0};
}

int xen_version_read(struct xen *x, uint32_t *major, uint32_t *minor, struct err *e)
{
    const int version = xc_version(x->xch, XENVER_version, NULL);

    if (version < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen for its version");
    *major = (uint32_t)version >> 16;
    *minor = (uint32_t)version & 0xffff;
    return 0;
}
