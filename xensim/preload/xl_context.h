/* SPDX-License-Identifier: MIT */
/*
 * The stand-in for libxl, in the units xl_*: the functions that xmigrate calls and that would need
 * xenstore, device models or a kernel to boot. Types, their constructors and JSON are the real
 * library's, and so is the context; get_physinfo and get_version_info are the real functions on our
 * hypercalls.
 *
 * Here: what xensim keeps beside a real context, found by its libxl_ctx, and commands to the host
 * on its behalf.
 *
 * Locks: the list of contexts has one of its own; xl->lock guards a context's events and
 * operations.
 */
#ifndef XENSIM_PRELOAD_XL_CONTEXT_H
#define XENSIM_PRELOAD_XL_CONTEXT_H

#include "base/cancel.h"

#include <libxl.h>
#include <libxl_event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct xl_event {
    struct xl_event *next;
    libxl_event *event;
};

/* What a context knows of an operation that runs: how to tell its caller, how to stop it. */
struct xl_op {
    struct xl_op *next;
    libxl_asyncop_how how;
    bool synchronous, aborted;
    struct cancel cancel;
};

struct xl {
    struct xl *next;
    libxl_ctx *ctx;
    xentoollog_logger *lg;
    const libxl_childproc_hooks *hooks; /* or NULL; for fork_replacement alone */
    void *hooks_user;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an event came, or an operation ended */
    struct xl_event *events;
    struct xl_op *ops;
    bool unfinished; /* an operation is over, and a question of it to a device model is not */
    uint32_t asked;  /* that one's domain */
};

struct xl *xl_of(libxl_ctx *ctx);

/* As libxl logs. xl may be NULL. */
void xl_log(struct xl *xl, xentoollog_level level, int errnoval, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* One command to the host, its words ended by NULL. 0 or libxl's ERROR_*; on failure the host's
 * line is logged, as libxl would log its own. *text may be NULL if no answer is wanted; it is
 * malloc'ed. */
int xl_ask(struct xl *xl, xentoollog_level level, char **text, const char *const *words);

#define ASK(xl, text, ...) xl_ask(xl, XTL_ERROR, text, (const char *const[]){__VA_ARGS__, NULL})
#define ASK_QUIETLY(xl, text, ...)                                                                 \
    xl_ask(xl, XTL_DEBUG, text, (const char *const[]){__VA_ARGS__, NULL})

/* As libxl 4.17 when the save helper dies while a device model is asked: the operation is over, but
 * the question stands in the context, which keeps the lock on that device model's QMP. Whoever
 * wants that lock waits as long as this process lives, and freeing the context is an assertion. */
void xl_leave_unfinished(struct xl *xl, uint32_t domid);
void xl_await_device_model(uint32_t domid);

/* A domain's id as a word. */
const char *xl_id_text(uint32_t domid, char buf[static 12]);

#endif
