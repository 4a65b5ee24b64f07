/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/every.h"

#include "base/cancel.h"
#include "base/deadline.h"
#include "base/libc.h"
#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/image/numbered.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/save.h"
#include "cmd/xmigrate/ui/view.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct series {
    const struct options *o;
    struct log log;
    struct view view;
    struct event_stream events;
    struct cancel cancel;
    int64_t start_ns;
    int64_t slot; /* the one at hand, from 0 */
    uint64_t done, skipped;
};

static bool guest_is_here(const struct series *s)
{
    struct err ignored = ERR_INIT;
    struct xl_domain d;
    struct xl xl;

    if (xl_open(&xl, &s->log, deadline_in(XL_SHORT_NS), &ignored))
        return false;

    const bool is = !xl_find(&xl, s->o->domain, &d, &ignored);

    xl_close(&xl);
    return is;
}

/* In a process of its own, which has no part in the series. Once there was one, what refuses
 * another may pass: somebody looks at the guest, or the disk is full. A guest that is gone does not
 * come back. */
static int run_one(struct series *s, const char *path)
{
    struct options one = *s->o;
    int code;

    signals_reset();
    one.file = path;
    code = save_main(&one);
    return code == EXIT_REFUSED && s->done && guest_is_here(s) ? EXIT_FAILED : code;
}

/* A signal is passed on once; how it ends is the checkpoint's affair. */
static int await_one(struct series *s, pid_t pid, int pidfd)
{
    bool passed_on = false;
    int status;

    for (;;) {
        struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN},
            {.fd = passed_on ? -1 : s->cancel.event_fd, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            break;
        if (fds[1].revents)
            pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
        passed_on = passed_on || fds[1].revents;
    }
    close(pidfd);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static int make_one(struct series *s, const char *path, struct err *e)
{
    fflush(NULL);

    const pid_t pid = fork();

    if (!pid)
        _exit(run_one(s, path));

    const int pidfd = pid < 0 ? -1 : pidfd_open(pid, 0);

    if (pid < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot start a process");
    if (pidfd < 0) {
        waitpid(pid, NULL, 0);
        return err_sys(e, ERR_LOCAL, errno, "cannot hold a process");
    }
    return await_one(s, pid, pidfd);
}

/* False at a signal. */
static bool await_slot(struct series *s)
{
    const int64_t due_ns = s->start_ns + s->slot * s->o->every_ns;
    struct pollfd fd = {.fd = s->cancel.event_fd, .events = POLLIN};

    while (!cancel_is_fired(&s->cancel) && !deadline_passed(due_ns))
        poll(&fd, 1, deadline_poll_ms(due_ns));
    return !cancel_is_fired(&s->cancel);
}

static void next_slot(struct series *s)
{
    const int64_t now_slot = (now_ns() - s->start_ns) / s->o->every_ns;
    const int64_t skipped = now_slot > s->slot ? now_slot - s->slot : 0;
    json_t *body;

    s->slot += skipped + 1;
    s->skipped += (uint64_t)skipped;
    if (!skipped)
        return;
    body = json_pack("{s:s, s:I, s:I}", "event", "skipped", "slots", (json_int_t)skipped,
        "all_slots", (json_int_t)s->skipped);
    event_tell(&s->events, body);
    view_say(&s->view, "slots skipped, because that took longer than --every: %lld (%llu in all)",
        (long long)skipped, (unsigned long long)s->skipped);
}

static int run(struct series *s)
{
    char path[NEW_FILE_PATH_BYTES];
    struct err e = ERR_INIT;

    while (await_slot(s)) {
        const int code = numbered_next(s->o->file, path, &e) ? EXIT_REFUSED : make_one(s, path, &e);

        if (err_is_set(&e)) {
            log_error(&s->log, "%s", e.text);
            return EXIT_REFUSED;
        }
        if (code == EXIT_FAILED && s->done && !cancel_is_fired(&s->cancel))
            view_say(&s->view, "no checkpoint in this slot: the next one tries again");
        else if (code != EXIT_DONE)
            return code;
        else if (!++s->done || (s->o->keep && numbered_keep(path, s->o->key, s->o->keep, &e)))
            log_warn(&s->log, "%s", e.text);
        e = (struct err)ERR_INIT;
        next_slot(s);
    }
    return EXIT_DONE;
}

int every_main(const struct options *o)
{
    struct series s = {
        .o = o,
        .start_ns = now_ns(),
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };
    struct err e = ERR_INIT;
    int code = EXIT_REFUSED;

    view_init(&s.view, o->log_level == LOG_ERROR);
    s.log = (struct log){o->log_level, view_log, &s.view};
    if (!cancel_init(&s.cancel, &e)) {
        if (!signals_fire(&s.cancel, &e))
            code = run(&s);
        signals_reset();
        cancel_destroy(&s.cancel);
    }
    if (err_is_set(&e))
        log_error(&s.log, "%s", e.text);
    view_say(&s.view, "checkpoints made: %llu, slots skipped: %llu", (unsigned long long)s.done,
        (unsigned long long)s.skipped);
    view_destroy(&s.view);
    return code;
}
