/* SPDX-License-Identifier: MIT */
/*
 * A supervised operation: libxl's suspend or restore (async.h), the save helper that libxl starts
 * for it, and the link between that helper and us. It gives the helper its job, passes on what it
 * says, notices when it dies or hangs, and ends all of it whatever state it is in. It knows nothing
 * of another host: where libxl's stream comes from or goes to is the owner's business.
 *
 * The owner polls operation_pollfds()'s descriptors beside its own and then calls
 * operation_serve(), and operation_finish() once operation_is_over(). Everything here belongs to
 * the owner's one thread.
 *
 * A helper that said LINK_BUILD outlives libxl's operation, which notices nothing of it any more:
 * it is still watched here, and stopped here.
 *
 * The helper is held by a pidfd and never signalled by its number, which may be another process's.
 */
#ifndef CMD_XMIGRATE_LIBXL_OPERATION_H
#define CMD_XMIGRATE_LIBXL_OPERATION_H

#include "cmd/link.h"
#include "cmd/paths.h"
#include "cmd/xmigrate/libxl/async.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct operation_owner {
    /* The helper has come: what it has to do, and the domain's lock to go with that (-1: none). */
    int (*give_job)(void *arg, struct link_job *job, int *lock_fd, struct err *e);
    /* It says LINK_EVENT, LINK_CAP, LINK_LOGGING, LINK_BUILD or LINK_DONE. LINK_NOTED follows by
     * itself. */
    int (*hear)(void *arg, const struct link_message *m, struct err *e);
    /* While it is being stopped: wait until something happens, or then, and serve it. */
    void (*turn)(void *arg, int64_t until_ns);
    /* Behind a job that says so: a compact file and its chain (LINK_FILE). NULL: never. */
    int (*give_files)(void *arg, int link_sock, struct err *e);
};

/* How long whoever is stopped has to end things. */
struct operation_patience {
    int64_t suspend_ns; /* libxl, to answer a request to suspend */
    int64_t asked_ns;   /* the helper, asked over the link */
    int64_t aborted_ns; /* libxl, told to abort */
    int64_t killed_ns;  /* the kernel, and libxl after that */
    int64_t hurried_ns; /* anybody, to say something while the guest of a live move stands still */
};

struct operation {
    /* Set by the owner before it starts. */
    const struct log *log;
    int64_t silent_ns;                  /* a helper that says nothing for so long hangs */
    struct operation_patience patience; /* as operation_init() leaves it, or less */

    /* For the owner to read. */
    int stream_fd;           /* our end of libxl's stream, non-blocking; -1: not open */
    int link_sock;           /* -1: the helper is not there yet, or no longer */
    pid_t helper;            /* for messages and files; 0: it has not come yet */
    bool built;              /* it said LINK_BUILD: libxl will be through before it is */
    bool done;               /* it said that it is */
    bool failed;             /* it said why, so it cleaned up after itself */
    struct err helper_error; /* that, or that it died */
    struct xl_async *async;  /* NULL: not started, or over; the helper may outlive it */

    /* Its own. */
    const struct operation_owner *owner;
    void *arg;
    char link_path[PATHS_BYTES + 32];
    int listen_fd;          /* -1 once the helper has connected */
    int pidfd;              /* -1: no helper, or it cannot be held */
    int libxl_fd;           /* libxl's end of the stream, closed when the operation is over */
    struct xl_async *ended; /* to be freed: the guest stands still when it is over */
    int64_t heard_ns;
    bool libxl_suspends; /* not the helper */
    bool suspending;     /* libxl waits for the guest to suspend */
    bool stopping;
};

/* Before anything else. */
void operation_init(struct operation *op, const struct operation_owner *owner, void *arg);

/* Before any thread exists: the environment for libxl and the helper (there is one of it in a
 * process, so one operation at a time), and where they will meet us. */
int operation_prepare(struct operation *op, struct err *e);

/* A helper that is done may end. */
void operation_dismiss(struct operation *op);

/* From now on the guest stands still: a helper is given up, and ended, sooner. */
void operation_hurry(struct operation *op);

int operation_suspend(struct operation *op, uint32_t domid, bool live, struct err *e);
/* As xl_async_restore(). */
int operation_restore(struct operation *op, libxl_domain_config *config, struct err *e);

/* The same with a file of the owner's as libxl's stream, from where it stands. It stays open until
 * the operation is over, and there is no stream_fd. */
int operation_save_to(struct operation *op, uint32_t domid, bool live, int fd, struct err *e);
int operation_restore_from(
    struct operation *op, libxl_domain_config *config, int fd, struct err *e);

enum { OPERATION_HELPER, OPERATION_END, OPERATION_FDS };

/* What to poll; -1 where there is nothing to wait for. */
void operation_pollfds(const struct operation *op, struct pollfd fds[static OPERATION_FDS]);
/* When the helper must have said something; never, unless one is expected to. */
int64_t operation_limit_ns(const struct operation *op);

/* The helper's arrival, one message, its end or its silence. */
int operation_serve(
    struct operation *op, const struct pollfd fds[static OPERATION_FDS], struct err *e);

static inline bool operation_is_over(const struct pollfd fds[static OPERATION_FDS])
{
    return fds[OPERATION_END].revents != 0;
}

/* It is over: what the helper said last, then what libxl says. *domid as xl_async_finish(). Our end
 * of the stream stays open for what is left in it. */
int operation_finish(struct operation *op, uint32_t *domid, struct err *e);

/* One turn of an owner that waits for nothing else: until something happens, or then, and all of
 * the above. cancel: NULL once it is being stopped. */
int operation_turn(struct operation *op, const struct cancel *cancel, int64_t until_ns,
    uint32_t *domid, struct err *e);

/* No more of libxl's stream: libxl finds its end. */
void operation_close_stream(struct operation *op);

/* End it and the helper, however they stand: the helper is asked, then libxl told, then the helper
 * killed. False when libxl does not come back even so; its thread then still uses what it was
 * given. */
bool operation_stop(struct operation *op, const struct err *why);

/* Forget what operation_prepare() and the operation made; not while it runs. One that is all zero
 * has nothing. */
void operation_clear(struct operation *op);

/* Pure: the guest did not suspend within that. */
int operation_unsuspended(int64_t limit_ns, struct err *e);

#endif
