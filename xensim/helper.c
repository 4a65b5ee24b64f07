/* SPDX-License-Identifier: MIT */
#include "xensim/helper.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MSG_LOG = 1,
    MSG_PROGRESS,
    MSG_SUSPEND,
    MSG_POSTCOPY,
    MSG_CHECKPOINT,
    MSG_WAIT_CHECKPOINT,
    MSG_SWITCH_QEMU_LOGDIRTY,
    MSG_STATIC_DATA_DONE,
    MSG_RESTORE_RESULTS,
    MSG_COMPLETE,
};

#define STOCK_HELPER "/usr/lib/xen-4.17/bin/libxl-save-helper"

struct helper {
    const struct helper_job *job;
    struct helper_result *result;
    const struct cancel *cancel;
    pid_t pid;
    int to, from; /* its stdin and stdout */
    bool terminated;
};

const char *helper_path(void)
{
    const char *path = getenv("LIBXL_SAVE_HELPER");

    return path && path[0] ? path : STOCK_HELPER;
}

/* In the child, after fork: only async-signal-safe calls. */
static void exec_helper(const struct helper_job *job, char *const *argv, int in, int out, int io_fd)
{
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || fcntl(io_fd, F_SETFD, 0) < 0)
        _exit(126);
    if (job->env)
        execve(job->path, argv, job->env);
    else
        execv(job->path, argv);
    _exit(127);
}

static int start(struct helper *h, struct err *e)
{
    const struct helper_job *job = h->job;
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    char io[12], back[12], domid[12], flags[12], store[12], console[12];
    char *argv[16] = {(char *)(uintptr_t)job->path};
    /* The helper must find the stream above its own standard descriptors. */
    int io_fd = fcntl(job->io_fd, F_DUPFD_CLOEXEC, 10);
    int back_fd = fcntl(job->io_fd, F_DUPFD_CLOEXEC, 10);

    if (io_fd < 0 || back_fd < 0 || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        return err_sys(e, ERR_LOCAL, errno, "cannot start %s", job->path);
    snprintf(io, sizeof(io), "%d", io_fd);
    snprintf(back, sizeof(back), "%d", back_fd);
    snprintf(domid, sizeof(domid), "%u", job->domid);
    snprintf(flags, sizeof(flags), "%d", (job->live ? 1 : 0) | (job->debug ? 2 : 0));
    snprintf(store, sizeof(store), "%u", job->store_evtchn);
    snprintf(console, sizeof(console), "%u", job->console_evtchn);

    static char save[] = "--save-domain", restore[] = "--restore-domain", zero[] = "0";
    static char save_callbacks[] = "136", restore_callbacks[] = "768"; /* 3 and 7; 8 and 9 */
    char *const save_args[] = {save, io, back, domid, flags, save_callbacks, zero, NULL};
    char *const restore_args[] = {
        restore, io, back, domid, store, zero, console, zero, restore_callbacks, zero, NULL};
    char *const *args = job->restore ? restore_args : save_args;

    for (unsigned i = 0; args[i]; i++)
        argv[i + 1] = args[i];
    h->pid = job->fork ? job->fork(job->fork_arg) : fork();
    if (h->pid == 0) {
        fcntl(back_fd, F_SETFD, 0);
        exec_helper(job, argv, in[0], out[1], io_fd);
    }
    close(in[0]);
    close(out[1]);
    close(io_fd);
    close(back_fd);
    h->to = in[1];
    h->from = out[0];
    if (h->pid < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot start %s", job->path);
    return 0;
}

static const char *take_string(struct bytes_in *in)
{
    uint32_t length = bytes_in_u32(in);
    const char *s = length && length < 65536 ? bytes_in_take(in, length) : NULL;

    return s && s[length - 1] == '\0' ? s : "";
}

static int reply(struct helper *h, int value)
{
    const int rc = io_write_full(h->to, &value, sizeof(value), NULL, DEADLINE_NEVER);

    h->result->unheard = rc != 0;
    return rc;
}

/* 1 when it was the last message. */
static int handle(struct helper *h, const uint8_t *body, size_t bytes)
{
    const struct helper_job *job = h->job;
    struct bytes_in in = bytes_in_init(body, bytes);

    switch (bytes_in_u16(&in)) {
    case MSG_LOG: {
        uint32_t level = bytes_in_u32(&in);
        int errno_value = (int)bytes_in_u32(&in);
        const char *context = take_string(&in), *text = take_string(&in);

        if (job->ops->log)
            job->ops->log(job->arg, level, errno_value, context, text);
        return 0;
    }
    case MSG_PROGRESS: {
        const char *context = take_string(&in), *what = take_string(&in);
        uint64_t done = bytes_in_u64(&in), total = bytes_in_u64(&in);

        if (job->ops->progress)
            job->ops->progress(job->arg, context, what, done, total);
        return 0;
    }
    case MSG_SUSPEND:
        return reply(h, job->ops->suspend(job->arg, h->from) ? 1 : 0);
    case MSG_SWITCH_QEMU_LOGDIRTY: {
        const uint32_t domid = bytes_in_u32(&in);
        const bool enable = bytes_in_u32(&in);

        if (domid != job->domid || !bytes_in_done(&in))
            return -EBADMSG;
        return reply(h, !job->ops->switch_log || job->ops->switch_log(job->arg, enable) ? 0 : -1);
    }
    case MSG_STATIC_DATA_DONE:
        return reply(h, 0);
    case MSG_RESTORE_RESULTS:
        h->result->store_gfn = bytes_in_u64(&in);
        h->result->console_gfn = bytes_in_u64(&in);
        return bytes_in_done(&in) ? 0 : -EBADMSG;
    case MSG_COMPLETE:
        h->result->retval = (int)bytes_in_u32(&in);
        h->result->errno_value = (int)bytes_in_u32(&in);
        h->result->completed = bytes_in_done(&in);
        return reply(h, 0) ? -EPIPE : 1;
    default:
        return -EBADMSG;
    }
}

static void terminate(struct helper *h)
{
    if (!h->terminated)
        kill(h->pid, SIGTERM);
    h->terminated = true;
}

/* Wait for a message; pass a cancel on to the helper, once. */
static int await_message(struct helper *h)
{
    int rc = io_wait(h->from, POLLIN, h->terminated ? NULL : h->cancel, DEADLINE_NEVER);

    if (rc != -ECANCELED)
        return rc;
    terminate(h);
    return io_wait(h->from, POLLIN, NULL, DEADLINE_NEVER);
}

static int converse(struct helper *h)
{
    static const size_t max_bytes = 65536;
    uint8_t *body = malloc(max_bytes);
    int rc = body ? 0 : -ENOMEM;

    while (!rc) {
        uint16_t length;

        rc = await_message(h);
        if (!rc)
            rc = io_read_full(h->from, &length, sizeof(length), NULL, DEADLINE_NEVER);
        if (!rc)
            rc = io_read_full(h->from, body, length, NULL, DEADLINE_NEVER);
        if (!rc)
            rc = handle(h, body, length);
    }
    free(body);
    return rc < 0 ? rc : 0;
}

int helper_run(const struct helper_job *job, const struct cancel *cancel,
    struct helper_result *result, struct err *e)
{
    struct helper h = {.job = job, .result = result, .cancel = cancel, .to = -1, .from = -1};
    int rc;

    memset(result, 0, sizeof(*result));
    rc = start(&h, e);
    if (!rc)
        rc = converse(&h);
    if (h.to >= 0)
        close(h.to);
    if (rc && h.pid > 0 && rc != -ENODATA)
        kill(h.pid, SIGKILL);
    while (h.pid > 0 && waitpid(h.pid, &result->wait_status, 0) < 0 && errno == EINTR)
        ;
    if (h.from >= 0)
        close(h.from);
    if (err_is_set(e))
        return -e->code;
    if (WIFEXITED(result->wait_status) && WEXITSTATUS(result->wait_status) == 127)
        return err_set(e, ERR_LOCAL, ENOENT, "cannot execute the save helper %s", job->path);
    if (!result->completed)
        return err_set(e, ERR_LOCAL, EPIPE, "%s ended (status %#x) before it was done", job->path,
            (unsigned)result->wait_status);
    if (result->retval || result->wait_status)
        return err_set(e, ERR_LOCAL, result->errno_value ? result->errno_value : EIO,
            "%s failed: %s", job->path,
            result->errno_value ? strerror(result->errno_value) : "no reason given");
    return 0;
}
