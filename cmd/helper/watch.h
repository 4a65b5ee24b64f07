/* SPDX-License-Identifier: MIT */
/*
 * The watch: one thread that notices whatever should stop the engine (SIGTERM, the supervisor's
 * abort or death, libxl's death) and fires the cancel object; and that tells the supervisor
 * every LINK_ALIVE_S seconds that this process lives. It is the only reader of the link.
 *
 * Owner: the main thread, which reads the cause after watch_stop(). `cause` and `why` are the
 * watch thread's until then.
 */
#ifndef CMD_HELPER_WATCH_H
#define CMD_HELPER_WATCH_H

#include "base/cancel.h"
#include "base/err.h"
#include "cmd/link.h"

#include <pthread.h>
#include <stdatomic.h>

enum watch_cause {
    WATCH_NONE = 0,
    WATCH_SIGNAL,         /* SIGTERM or SIGINT: libxl's way to abort */
    WATCH_ABORTED,        /* the supervisor asked */
    WATCH_TOOLSTACK_GONE, /* libxl's process or the supervisor is dead */
};

/* Whom LINK_TUNE is for, on the watch's thread. */
struct watch_tuned {
    void (*tune)(void *arg, const struct link_tune *tune);
    void *arg;
};

struct watch {
    pthread_t thread;
    struct cancel *cancel;
    int link_sock;       /* -1: drop-in */
    atomic_int libxl_fd; /* libxl's reply pipe: hung up means dead; -1: not watched any more */
    int signal_fd;
    struct cancel stop;
    struct cancel noted;    /* fired by LINK_NOTED */
    struct cancel prepared; /* fired by LINK_PREPARED */
    struct cancel allowed;  /* fired by LINK_MAY_SUSPEND */
    struct watch_tuned tuned;
    enum watch_cause cause;
    struct err why;
};

/* Blocks SIGTERM and SIGINT for the calling thread and those it starts from now on. */
int watch_start(struct watch *w, struct cancel *cancel, int link_sock, int libxl_fd,
    const struct watch_tuned *tuned, struct err *e);

/* libxl is through with this process, and its pipe will hang up. */
void watch_forget_libxl(struct watch *w);

/* Ends the thread. If it had fired, *e (still empty or saying "cancelled") gets the reason. */
enum watch_cause watch_stop(struct watch *w, struct err *e);

#endif
