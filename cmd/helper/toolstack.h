/* SPDX-License-Identifier: MIT */
/*
 * libxl's side of a save helper: messages on standard output (u16 length; u16 number and native,
 * packed arguments), int replies on standard input. See libxl_save_msgs_gen.pl of Xen 4.14 and
 * later. Nothing else may be written to standard output.
 *
 * Messages may come from any thread (the log does); the mutex keeps each whole. Calls that wait
 * for a reply belong to the main thread.
 */
#ifndef CMD_HELPER_TOOLSTACK_H
#define CMD_HELPER_TOOLSTACK_H

#include "base/err.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct toolstack {
    int in_fd, out_fd;
    uint32_t callbacks; /* what libxl answers, from the command line */
    atomic_bool ended;  /* libxl listens no more */
    pthread_mutex_t lock;
};

int toolstack_open(struct toolstack *t, uint32_t callbacks, struct err *e);

/* A log sink (arg is the toolstack): libxl prints the line with its own. */
void toolstack_log(void *arg, enum log_level level, const char *line);

/* Save. Suspend fails with ERR_GUEST when libxl says that the guest did not. It ends with
 * libxl's answer and not earlier: libxl cannot take back what it asked of the guest. */
int toolstack_suspend(void *arg, struct err *e);
int toolstack_switch_qemu_logdirty(void *arg, uint32_t domid, bool enable, struct err *e);

/* Restore. */
int toolstack_static_data_done(void *arg, unsigned missing, struct err *e);
int toolstack_restore_results(
    struct toolstack *t, uint64_t store_gfn, uint64_t console_gfn, struct err *e);

/* After that one: what is still logged goes to standard error. */
void toolstack_end(struct toolstack *t);

/* The last message, of both: 0, or -1 and a positive errno. */
int toolstack_complete(struct toolstack *t, int retval, int errnoval, struct err *e);

#endif
