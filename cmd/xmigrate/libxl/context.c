/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/context.h"

#include "base/limited.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xentoollog.h>

/* vtable must come first: libxl knows nothing else of it. */
struct xl_logger {
    xentoollog_logger vtable;
    pthread_mutex_t lock;  /* guards what follows */
    const struct log *log; /* NULL: nobody listens */
    char first[LOG_LINE_BYTES];
};

/* libxl begins with "libxl_x.c:123:function: ", which tells a reader nothing. */
static const char *skip_place(const char *line)
{
    int skip = 0;

    sscanf(line, "%*[A-Za-z0-9_].c:%*u:%*[A-Za-z0-9_]: %n", &skip);
    return line + skip;
}

__attribute__((format(printf, 5, 0))) static void take_message(xentoollog_logger *base,
    xentoollog_level level, int errnoval, const char *context, const char *format, va_list al)
{
    struct xl_logger *lg = (struct xl_logger *)base;
    const int saved = errno;
    char line[LOG_LINE_BYTES];
    int n = vsnprintf(line, sizeof(line), format, al);

    if (n < 0)
        n = 0;
    if (n >= (int)sizeof(line))
        n = (int)sizeof(line) - 1;
    while (n && line[n - 1] == '\n')
        line[--n] = '\0';
    if (errnoval >= 0)
        snprintf(line + n, sizeof(line) - (size_t)n, ": %s", strerror(errnoval));
    pthread_mutex_lock(&lg->lock);
    if (level >= XTL_ERROR && !lg->first[0])
        snprintf(lg->first, sizeof(lg->first), "%s", skip_place(line));
    /* How many buffers libxencall has had is of no interest even with -v. */
    if (lg->log && (!context || strncmp(context, "xencall", 7)))
        log_debug(lg->log, "%s: %s", context ? context : "libxl", line);
    pthread_mutex_unlock(&lg->lock);
    errno = saved;
}

static void destroy_logger(xentoollog_logger *base)
{
    struct xl_logger *lg = (struct xl_logger *)base;

    pthread_mutex_destroy(&lg->lock);
    free(lg);
}

static struct xl_logger *make_logger(const struct log *log)
{
    struct xl_logger *lg = calloc(1, sizeof(*lg));

    if (!lg)
        return NULL;
    lg->vtable.vmessage = take_message;
    lg->vtable.destroy = destroy_logger;
    lg->log = log;
    pthread_mutex_init(&lg->lock, NULL);
    return lg;
}

static void set_log(struct xl_logger *lg, const struct log *log)
{
    pthread_mutex_lock(&lg->lock);
    lg->log = log;
    pthread_mutex_unlock(&lg->lock);
}

int xl_prepare_process(struct err *e)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return err_sys(e, ERR_LOCAL, errno, "cannot open /dev/null as descriptor %d", fd);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(e, ERR_LOCAL, errno, "cannot ignore SIGPIPE");
    return 0;
}

/* A xenstored that hangs does not accept for ever. */
struct opening {
    libxl_ctx *ctx;
    struct xl_logger *logger;
    int rc;
};

static void open_context(void *arg)
{
    struct opening *o = arg;

    o->rc = libxl_ctx_alloc(&o->ctx, LIBXL_VERSION, 0, &o->logger->vtable);
}

static void leave_opening(void *arg)
{
    struct opening *o = arg;

    set_log(o->logger, NULL);
}

static void drop_opening(void *arg)
{
    struct opening *o = arg;

    libxl_ctx_free(o->rc ? NULL : o->ctx);
    destroy_logger(&o->logger->vtable);
    free(o);
}

static int why_not_open(const struct opening *o, struct err *e)
{
    return err_set(e, ERR_REFUSED, geteuid() ? EPERM : ENODEV,
        geteuid() ? "cannot reach Xen: this needs root (%s)"
                  : "cannot reach Xen: is this dom0, and is xenstored running? (%s)",
        o->logger->first[0] ? o->logger->first : "libxl gives no reason");
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    static const struct limited_call opening = {open_context, leave_opening, drop_opening};
    static const libxl_childproc_hooks reap_own_children = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
    };
    struct opening *o = calloc(1, sizeof(*o));
    int rc;

    *xl = (struct xl){.log = log};
    if (!o || !(o->logger = make_logger(log))) {
        free(o);
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for libxl's log");
    }
    rc = limited_run(&opening, o, deadline_ns);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer: is it alive?");
    if (rc || o->rc) {
        rc = rc ? err_sys(e, ERR_LOCAL, -rc, "cannot open libxl") : why_not_open(o, e);
        drop_opening(o);
        return rc;
    }
    xl->ctx = o->ctx;
    xl->logger = o->logger;
    free(o);
    libxl_childproc_setmode(xl->ctx, &reap_own_children, NULL);
    return 0;
}

void xl_close(struct xl *xl)
{
    libxl_ctx_free(xl->ctx);
    if (xl->logger)
        destroy_logger(&xl->logger->vtable);
    *xl = (struct xl){0};
}

void xl_leave(struct xl *xl)
{
    log_debug(xl->log, "libxl's context is kept: something of what failed may be unfinished");
    xl_set_log(xl, NULL);
    *xl = (struct xl){0};
}

void xl_set_log(struct xl *xl, const struct log *log)
{
    set_log(xl->logger, log);
}

void xl_begin(struct xl *xl)
{
    pthread_mutex_lock(&xl->logger->lock);
    xl->logger->first[0] = '\0';
    pthread_mutex_unlock(&xl->logger->lock);
}

static int code_of(int rc)
{
    switch (rc) {
    case ERROR_NOMEM:
        return ENOMEM;
    case ERROR_INVAL:
        return EINVAL;
    case ERROR_DOMAIN_NOTFOUND:
        return ESRCH;
    case ERROR_GUEST_TIMEDOUT:
    case ERROR_TIMEDOUT:
        return ETIMEDOUT;
    case ERROR_ABORTED:
        return ECANCELED;
    default:
        return EIO;
    }
}

int xl_failed(struct xl *xl, int rc, enum err_class class, struct err *e, const char *fmt, ...)
{
    char what[256], first[LOG_LINE_BYTES];
    va_list al;

    va_start(al, fmt);
    vsnprintf(what, sizeof(what), fmt, al);
    va_end(al);
    pthread_mutex_lock(&xl->logger->lock);
    memcpy(first, xl->logger->first, sizeof(first));
    pthread_mutex_unlock(&xl->logger->lock);
    if (!first[0])
        snprintf(first, sizeof(first), "libxl error %d", rc);
    return err_set(e, class, code_of(rc), "%s: %s", what, first);
}
