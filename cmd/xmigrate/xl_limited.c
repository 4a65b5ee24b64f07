#include "cmd/xmigrate/xl_limited.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum call_state { CALL_UNDER_WAY, CALL_OVER, CALL_LEFT_BEHIND };

struct xl_limited {
    struct xl xl;
    int event_fd;
    _Atomic enum call_state state; /* left behind: the thread frees everything */

    uint32_t domid;
    char from[XL_NAME_BYTES]; /* "": destroy */
    char to[XL_NAME_BYTES];
    struct err e; /* the thread's until the call is over */
};

static void say_nothing(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

/* A thread that is left behind may outlive any log of the caller's. */
static const struct log silent_log = {LOG_ERROR, say_nothing, NULL};

int xl_limited_open(struct xl_limited **l, struct err *e)
{
    struct xl_limited *n = calloc(1, sizeof(*n));

    if (!n)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    n->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    int rc = n->event_fd < 0 ? err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd") : 0;

    if (!rc)
        rc = xl_open(&n->xl, &silent_log, e);
    if (rc) {
        if (n->event_fd >= 0)
            close(n->event_fd);
        free(n);
        return rc;
    }
    *l = n;
    return 0;
}

void xl_limited_close(struct xl_limited *l)
{
    if (!l)
        return;
    xl_close(&l->xl);
    close(l->event_fd);
    free(l);
}

static void *run(void *arg)
{
    struct xl_limited *l = arg;

    if (l->from[0])
        xl_rename(&l->xl, l->domid, l->from, l->to, &l->e);
    else
        xl_destroy(&l->xl, l->domid, &l->e);
    eventfd_write(l->event_fd, 1);
    if (atomic_exchange(&l->state, CALL_OVER) == CALL_LEFT_BEHIND)
        xl_limited_close(l);
    return NULL;
}

static int call(struct xl_limited **where, const char *what, int64_t deadline_ns, struct err *e)
{
    struct xl_limited *l = *where;
    pthread_t thread;
    eventfd_t ignored;
    int rc;

    l->e = (struct err)ERR_INIT;
    atomic_store(&l->state, CALL_UNDER_WAY);
    rc = pthread_create(&thread, NULL, run, l);
    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
    if (io_wait(l->event_fd, POLLIN, NULL, deadline_ns) &&
        atomic_exchange(&l->state, CALL_LEFT_BEHIND) == CALL_UNDER_WAY) {
        pthread_detach(thread);
        *where = NULL;
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "libxl, asked to %s, does not answer: does another tool hold on to the domain, is "
            "xenstored alive?",
            what);
    }
    pthread_join(thread, NULL);
    eventfd_read(l->event_fd, &ignored);
    return err_is_set(&l->e) ? err_take(e, &l->e) : 0;
}

int xl_limited_rename(struct xl_limited **l, uint32_t domid, const char *from, const char *to,
    int64_t deadline_ns, struct err *e)
{
    (*l)->domid = domid;
    snprintf((*l)->from, sizeof((*l)->from), "%s", from);
    snprintf((*l)->to, sizeof((*l)->to), "%s", to);
    return call(l, "rename the domain", deadline_ns, e);
}

int xl_limited_destroy(struct xl_limited **l, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    (*l)->domid = domid;
    (*l)->from[0] = '\0';
    return call(l, "destroy the domain", deadline_ns, e);
}
