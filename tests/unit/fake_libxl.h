/* SPDX-License-Identifier: MIT */
/*
 * What a program's test links in place of libxl's long operations (xl_async_*) and of the paths
 * that lead to the save helper: a thread of the test plays libxl and the helper that it starts.
 * Both are here, so the archive's are not linked.
 */
#ifndef TESTS_UNIT_FAKE_LIBXL_H
#define TESTS_UNIT_FAKE_LIBXL_H

#include "base/cancel.h"
#include "cmd/link.h"
#include "cmd/xmigrate/libxl/async.h"
#include "tests/unit/temp_dir.h"

#include <pthread.h>

struct xl_async {
    pthread_t thread;
    int event_fd;
    int fd; /* libxl's end of its stream */
    bool restore;
    bool live;
    uint32_t domid; /* a restore's is for the player to set */
    libxl_domain_config *config;
    struct cancel abort; /* xl_async_abort() fires it */
    struct err e;        /* what libxl says in the end; for the player to set */
};

/* Set by the test: plays libxl and the helper; the operation is over when it returns. */
extern void (*fake_play)(struct xl_async *op);
/* NULL, or called when an operation begins, by the thread that begins it. */
extern void (*fake_begun)(const struct xl_async *op);

/* How many were freed. */
extern unsigned fake_freed;

/* Where open_run_dir() says that it is. */
extern char fake_run_dir[TEMP_DIR_BYTES];
/* Make it, and remove it with all that is in it. */
int fake_run_dir_make(void);
int fake_run_dir_remove(void);

/* For players. The helper's first steps: its link and its job. -1 with op->e set when it gets none:
 * the supervisor is gone, or it or libxl was told to stop. */
int fake_take_job(struct xl_async *op, struct link_message *m);
/* The same for a helper that does not care what its job is. */
int fake_join(struct xl_async *op);
void fake_send_event(int sock, const char *event);
/* The "done" of a source's helper. */
json_t *fake_totals(void);
/* libxl's words when its helper failed, or did not come to an end. */
void fake_libxl_fails(struct xl_async *op);
/* A helper that works until it is asked to stop, and then says what it was told as its reason. */
void fake_obey(struct xl_async *op, int sock);
/* Until libxl is told to abort; then its words. */
void fake_await_abort(struct xl_async *op);

#endif
