/* SPDX-License-Identifier: MIT */
#include "cmd/helper/watch.h"

#include "base/deadline.h"
#include "cmd/link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void fire(struct watch *w, enum watch_cause cause, const char *text)
{
    w->cause = cause;
    err_set(&w->why, ERR_CANCELLED, ECANCELED, "%s", text);
    cancel_fire(w->cancel);
}

static void read_link(struct watch *w)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int rc = link_recv(w->link_sock, &m, NULL, deadline_in(NS_PER_S), &e);

    if (rc) {
        fire(w, WATCH_TOOLSTACK_GONE, "the supervising xmigrate is gone");
        return;
    }
    if (m.kind == LINK_ABORT) {
        w->why = m.failed;
        fire(w, WATCH_ABORTED, "stopped by the supervising xmigrate");
    } else if (m.kind == LINK_NOTED) {
        cancel_fire(&w->noted);
    } else if (m.kind == LINK_PREPARED) {
        cancel_fire(&w->prepared);
    } else if (m.kind == LINK_MAY_SUSPEND) {
        cancel_fire(&w->allowed);
    } else if (m.kind == LINK_TUNE) {
        w->tuned.tune(w->tuned.arg, &m.tune);
    }
    link_message_clear(&m);
}

/* One pass: false when there is nothing left to watch for. */
static bool watch_once(struct watch *w, int64_t *alive_ns)
{
    struct pollfd fds[] = {
        {.fd = w->stop.event_fd, .events = POLLIN},
        {.fd = w->signal_fd, .events = POLLIN},
        {.fd = atomic_load(&w->libxl_fd),
            .events = 0}, /* hang-up only: replies are the main thread's */
        {.fd = w->link_sock, .events = POLLIN},
    };

    poll(fds, sizeof(fds) / sizeof(fds[0]), deadline_poll_ms(*alive_ns));
    if (cancel_is_fired(&w->stop))
        return false;
    if (fds[1].revents)
        fire(w, WATCH_SIGNAL, "stopped by a signal");
    else if (fds[2].revents & (POLLHUP | POLLERR) && atomic_load(&w->libxl_fd) >= 0)
        fire(w, WATCH_TOOLSTACK_GONE, "the toolstack that started the save helper is gone");
    else if (fds[3].revents)
        read_link(w);
    if (w->link_sock >= 0 && deadline_passed(*alive_ns)) {
        struct err e = ERR_INIT;

        link_send_alive(w->link_sock, &e);
        *alive_ns = deadline_in(LINK_ALIVE_S * NS_PER_S);
    }
    return w->cause == WATCH_NONE;
}

static void *run_watch(void *arg)
{
    struct watch *w = arg;
    int64_t alive_ns = w->link_sock >= 0 ? now_ns() : DEADLINE_NEVER;

    while (watch_once(w, &alive_ns))
        ;
    return NULL;
}

int watch_start(struct watch *w, struct cancel *cancel, int link_sock, int libxl_fd,
    const struct watch_tuned *tuned, struct err *e)
{
    sigset_t set;

    *w = (struct watch){.cancel = cancel, .link_sock = link_sock, .tuned = *tuned};
    atomic_init(&w->libxl_fd, libxl_fd);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    int rc = cancel_init(&w->stop, e);

    if (rc)
        return rc;
    rc = cancel_init(&w->noted, e);
    if (rc)
        goto destroy_stop;
    rc = cancel_init(&w->prepared, e);
    if (rc)
        goto destroy_noted;
    rc = cancel_init(&w->allowed, e);
    if (rc)
        goto destroy_prepared;
    w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (w->signal_fd < 0) {
        rc = err_sys(e, ERR_LOCAL, errno, "cannot make a signalfd");
        goto destroy_allowed;
    }
    rc = pthread_create(&w->thread, NULL, run_watch, w);
    if (!rc)
        return 0;
    rc = err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
    close(w->signal_fd);
destroy_allowed:
    cancel_destroy(&w->allowed);
destroy_prepared:
    cancel_destroy(&w->prepared);
destroy_noted:
    cancel_destroy(&w->noted);
destroy_stop:
    cancel_destroy(&w->stop);
    return rc;
}

void watch_forget_libxl(struct watch *w)
{
    atomic_store(&w->libxl_fd, -1);
}

enum watch_cause watch_stop(struct watch *w, struct err *e)
{
    cancel_fire(&w->stop);
    pthread_join(w->thread, NULL);
    close(w->signal_fd);
    cancel_destroy(&w->allowed);
    cancel_destroy(&w->prepared);
    cancel_destroy(&w->noted);
    cancel_destroy(&w->stop);
    /* What the engine says then is only "cancelled": the cause says more. */
    if (w->cause != WATCH_NONE && (!err_is_set(e) || e->code == ECANCELED))
        *e = w->why;
    return w->cause;
}
