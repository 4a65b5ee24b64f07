/* SPDX-License-Identifier: MIT */
/*
 * libxl's side of the save helper's protocol: start a helper (the stock one or xmigrate's) as
 * libxl does, answer its messages, and collect what it reports. Written from the protocol's
 * description; used by the xensim command and by the stand-in for libxl.
 */
#ifndef XENSIM_HELPER_H
#define XENSIM_HELPER_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct helper_ops {
    /* Suspend the domain; true if it is suspended now. Gives up when helper_fd hangs up: the helper
     * has ended. */
    bool (*suspend)(void *arg, int helper_fd);
    /* The device model's log-dirty; NULL: these guests have none. */
    bool (*switch_log)(void *arg, bool enable);
    /* level as in xentoollog; errno_value -1 for none. */
    void (*log)(void *arg, unsigned level, int errno_value, const char *context, const char *text);
    void (*progress)(
        void *arg, const char *context, const char *what, unsigned long done, unsigned long total);
};

struct helper_job {
    const char *path;
    bool restore;
    int io_fd; /* the stream: stays the caller's */
    uint16_t domid;
    bool live, debug;                      /* save */
    uint32_t store_evtchn, console_evtchn; /* restore */
    char *const *env;                      /* for the helper; NULL: ours */
    pid_t (*fork)(void *arg); /* instead of fork(2), as libxl lets its caller; or NULL */
    void *fork_arg;
    const struct helper_ops *ops;
    void *arg;
};

struct helper_result {
    bool completed; /* it sent its last message */
    int retval, errno_value;
    int wait_status;
    bool unheard; /* it ended while it was asked for something, and never heard the answer */
    uint64_t store_gfn, console_gfn; /* restore */
};

/* Run it to its end. When cancel fires, send SIGTERM as libxl does and wait. 0 only if it completed
 * with success and exited with 0. */
int helper_run(const struct helper_job *job, const struct cancel *cancel,
    struct helper_result *result, struct err *e);

/* $LIBXL_SAVE_HELPER, else the stock helper where Debian has it. */
const char *helper_path(void);

#endif
