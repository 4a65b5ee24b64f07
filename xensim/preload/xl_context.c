/* SPDX-License-Identifier: MIT */
#include "xensim/preload/xl_context.h"
#include "xensim/client.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BYTES = 60000 }; /* of a command */

static pthread_mutex_t xls_lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl *xls;

struct xl *xl_of(libxl_ctx *ctx)
{
    struct xl *xl;

    pthread_mutex_lock(&xls_lock);
    for (xl = xls; xl && xl->ctx != ctx; xl = xl->next)
        ;
    pthread_mutex_unlock(&xls_lock);
    return xl;
}

void xl_log(struct xl *xl, xentoollog_level level, int errnoval, const char *fmt, ...)
{
    va_list args;

    if (!xl || !xl->lg)
        return;
    va_start(args, fmt);
    xl->lg->vmessage(xl->lg, level, errnoval, "libxl", fmt, args);
    va_end(args);
}

EXPORT int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg)
{
    struct xl *xl = calloc(1, sizeof(*xl));
    int rc = xl ? REAL(libxl_ctx_alloc)(pctx, version, flags, lg) : ERROR_NOMEM;

    if (rc) {
        free(xl);
        return rc;
    }
    xl->ctx = *pctx;
    xl->lg = lg;
    pthread_mutex_init(&xl->lock, NULL);
    pthread_cond_init(&xl->changed, NULL);
    pthread_mutex_lock(&xls_lock);
    xl->next = xls;
    xls = xl;
    pthread_mutex_unlock(&xls_lock);
    return 0;
}

static void remove_context(const struct xl *xl)
{
    pthread_mutex_lock(&xls_lock);
    for (struct xl **p = &xls; *p; p = &(*p)->next)
        if (*p == xl) {
            *p = xl->next;
            break;
        }
    pthread_mutex_unlock(&xls_lock);
}

/* Operations that still run use the context, though nobody waits for their result. */
static void end_operations(struct xl *xl)
{
    pthread_mutex_lock(&xl->lock);
    for (struct xl_op *op = xl->ops; op; op = op->next)
        cancel_fire(&op->cancel);
    while (xl->ops)
        pthread_cond_wait(&xl->changed, &xl->lock);
    pthread_mutex_unlock(&xl->lock);
}

static void free_context(struct xl *xl)
{
    while (xl->events) {
        struct xl_event *e = xl->events;

        xl->events = e->next;
        libxl_event_free(xl->ctx, e->event);
        free(e);
    }
    pthread_mutex_destroy(&xl->lock);
    pthread_cond_destroy(&xl->changed);
    free(xl);
}

EXPORT int libxl_ctx_free(libxl_ctx *ctx)
{
    struct xl *xl = ctx ? xl_of(ctx) : NULL;

    if (xl && xl->unfinished) {
        fputs("libxl_ctx_free: Assertion `LIBXL_LIST_EMPTY(&ctx->efds)' failed.\n", stderr);
        abort();
    }
    if (xl) {
        remove_context(xl);
        end_operations(xl);
        free_context(xl);
    }
    return REAL(libxl_ctx_free)(ctx);
}

void xl_leave_unfinished(struct xl *xl, uint32_t domid)
{
    pthread_mutex_lock(&xls_lock);
    xl->unfinished = true;
    xl->asked = domid;
    pthread_mutex_unlock(&xls_lock);
}

void xl_await_device_model(uint32_t domid)
{
    const struct xl *xl;

    pthread_mutex_lock(&xls_lock);
    for (xl = xls; xl && !(xl->unfinished && xl->asked == domid); xl = xl->next)
        ;
    pthread_mutex_unlock(&xls_lock);
    while (xl)
        pause();
}

/* Our children are reaped by their own threads. */
EXPORT void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
    struct xl *xl = xl_of(ctx);

    if (xl) {
        xl->hooks = hooks;
        xl->hooks_user = user;
    }
}

static int error_from_errno(int code)
{
    switch (code) {
    case ENOENT:
    case ESRCH:
        return ERROR_DOMAIN_NOTFOUND;
    case EEXIST:
    case EINVAL:
        return ERROR_INVAL;
    case ENOMEM:
        return ERROR_NOMEM;
    case ETIMEDOUT:
        return ERROR_GUEST_TIMEDOUT;
    default:
        return ERROR_FAIL;
    }
}

/* The words as the host wants them, each ended by NUL; malloc'ed. 0 or -errno. */
static int join_words(const char *const *words, char **joined, size_t *bytes, struct err *e)
{
    char *buf = malloc(MAX_BYTES);
    size_t used = 0;

    if (!buf)
        return err_sys(e, ERR_LOCAL, ENOMEM, "%s", words[0]);
    for (unsigned i = 0; words[i]; i++) {
        size_t n = strlen(words[i]) + 1;

        if (used + n > MAX_BYTES) {
            free(buf);
            return err_set(e, ERR_LOCAL, E2BIG, "%s: too long", words[0]);
        }
        memcpy(buf + used, words[i], n);
        used += n;
    }
    *joined = buf;
    *bytes = used;
    return 0;
}

int xl_ask(struct xl *xl, xentoollog_level level, char **text, const char *const *words)
{
    struct err e = ERR_INIT;
    char *joined = NULL, *answer = NULL;
    size_t bytes = 0;
    int sock = -1;
    int rc = join_words(words, &joined, &bytes, &e);

    if (!rc) {
        sock = host_connect(&e);
        rc = sock < 0 ? sock : client_command(sock, joined, bytes, &answer, &e);
    }
    if (sock >= 0)
        close(sock);
    free(joined);
    if (e.code == EHOSTDOWN) /* an error even for a question that may fail */
        xl_log(xl, XTL_ERROR, -1, "%s", e.text);
    else if (rc)
        xl_log(xl, level, -1, "%s: %s", words[0], e.text);
    if (text && !rc)
        *text = answer;
    else
        free(answer);
    return rc ? error_from_errno(e.code) : 0;
}

const char *xl_id_text(uint32_t domid, char buf[static 12])
{
    snprintf(buf, 12, "%u", domid);
    return buf;
}
