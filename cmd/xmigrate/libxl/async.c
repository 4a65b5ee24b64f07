/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/async.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHILD_LIMIT_NS (5 * NS_PER_S)

enum op_kind { OP_SUSPEND, OP_RESTORE };

struct xl_async {
    enum op_kind kind;
    struct xl xl;
    pthread_t thread;
    int event_fd;
    int fd;
    bool live;
    uint32_t domid;
    libxl_domain_config *config;
    atomic_bool aborted;
    atomic_bool has_child;
    atomic_int hidden_fd; /* -1: none */
    /* The worker's until it is joined. */
    bool failed;
    struct err e;
};

static libxl_asyncop_how how_of(const struct xl_async *op)
{
    return (libxl_asyncop_how){.u.for_event = (libxl_ev_user)(uintptr_t)op};
}

/* libxl's fork(2): its first child is the save helper. */
static pid_t fork_child(void *user)
{
    struct xl_async *op = user;

    atomic_store(&op->has_child, true);

    const pid_t pid = fork();
    const int hidden_fd = atomic_load(&op->hidden_fd);

    if (!pid && hidden_fd >= 0)
        close(hidden_fd);
    return pid;
}

/* libxl 4.17 crashes when it is told to abort before it has begun to start the helper: its stream
 * fails then, and takes a helper that never was down with it. That start is a matter of
 * milliseconds once the operation runs. */
static bool await_child(const struct xl_async *op)
{
    const int64_t deadline_ns = deadline_in(CHILD_LIMIT_NS);

    while (!atomic_load(&op->has_child)) {
        const int64_t wake_ns = deadline_earlier(deadline_ns, deadline_in(10 * NS_PER_MS));

        if (!io_wait(op->event_fd, POLLIN, NULL, wake_ns) || deadline_passed(deadline_ns))
            return false;
    }
    return true;
}

/* Finding nothing, or something that is being aborted, is as good. */
static void abort_in_libxl(struct xl_async *op)
{
    const libxl_asyncop_how how = how_of(op);

    if (await_child(op))
        libxl_ao_abort(op->xl.ctx, &how);
}

static int begin(struct xl_async *op)
{
    const libxl_asyncop_how how = how_of(op);

    if (op->kind == OP_SUSPEND)
        return libxl_domain_suspend(
            op->xl.ctx, op->domid, op->fd, op->live ? LIBXL_SUSPEND_LIVE : 0, &how);

    libxl_domain_restore_params params;

    libxl_domain_restore_params_init(&params);
    /* The default means the legacy converter. */
    params.stream_version = 2;

    const int rc = libxl_domain_create_restore(
        op->xl.ctx, op->config, &op->domid, op->fd, -1, &params, &how, NULL);

    libxl_domain_restore_params_dispose(&params);
    return rc;
}

static int is_completion(const libxl_event *ev, void *user)
{
    return ev->for_user == (uint64_t)(uintptr_t)user;
}

static void *run(void *arg)
{
    struct xl_async *op = arg;
    const char *what = op->kind == OP_SUSPEND ? "saving the domain" : "building the domain";

    xl_begin(&op->xl);

    int rc = atomic_load(&op->aborted) ? ERROR_ABORTED : begin(op);

    if (!rc) {
        libxl_event *ev;

        rc = libxl_event_wait(
            op->xl.ctx, &ev, 1ull << LIBXL_EVENT_TYPE_OPERATION_COMPLETE, is_completion, op);
        if (!rc) {
            rc = ev->u.operation_complete.rc;
            libxl_event_free(op->xl.ctx, ev);
        }
    }
    op->failed = rc != 0;
    if (rc)
        xl_failed(&op->xl, rc, rc == ERROR_ABORTED ? ERR_CANCELLED : ERR_LOCAL, &op->e, "%s", what);
    eventfd_write(op->event_fd, 1);
    return NULL;
}

static int start(
    struct xl_async **out, const struct xl_async *what, const struct log *log, struct err *e)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
        .fork_replacement = fork_child,
    };
    struct xl_async *op = malloc(sizeof(*op));

    if (!op)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *op = *what;
    atomic_init(&op->aborted, false);
    atomic_init(&op->has_child, false);
    atomic_init(&op->hidden_fd, -1);

    int rc = xl_open(&op->xl, log, deadline_in(XL_SHORT_NS), e);

    if (rc)
        goto no_context;
    libxl_childproc_setmode(op->xl.ctx, &hooks, op);
    op->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (op->event_fd < 0) {
        rc = err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd");
        goto no_event;
    }
    rc = pthread_create(&op->thread, NULL, run, op);
    if (rc) {
        rc = err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
        goto no_thread;
    }
    *out = op;
    return 0;

no_thread:
    close(op->event_fd);
no_event:
    xl_close(&op->xl);
no_context:
    free(op);
    return rc;
}

int xl_async_suspend(
    struct xl_async **op, const struct log *log, uint32_t domid, int fd, bool live, struct err *e)
{
    const struct xl_async what = {.kind = OP_SUSPEND, .domid = domid, .fd = fd, .live = live};

    return start(op, &what, log, e);
}

int xl_async_restore(
    struct xl_async **op, const struct log *log, libxl_domain_config *config, int fd, struct err *e)
{
    const struct xl_async what = {.kind = OP_RESTORE, .config = config, .fd = fd};

    return start(op, &what, log, e);
}

int xl_async_event_fd(const struct xl_async *op)
{
    return op->event_fd;
}

void xl_async_hide(struct xl_async *op, int fd)
{
    atomic_store(&op->hidden_fd, fd);
}

void xl_async_abort(struct xl_async *op)
{
    atomic_store(&op->aborted, true);
    abort_in_libxl(op);
}

int xl_async_finish(struct xl_async *op, uint32_t *domid, struct err *e)
{
    pthread_join(op->thread, NULL);

    const int rc = err_is_set(&op->e) ? err_take(e, &op->e) : 0;

    if (!rc && domid)
        *domid = op->domid;
    return rc;
}

void xl_async_free(struct xl_async *op)
{
    if (!op)
        return;
    close(op->event_fd);
    if (op->failed)
        xl_leave(&op->xl);
    else
        xl_close(&op->xl);
    free(op);
}
