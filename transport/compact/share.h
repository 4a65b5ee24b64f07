/* SPDX-License-Identifier: MIT */
/* Work of many equal parts (a file's chunks, a guest's extents), shared by several threads. */
#ifndef TRANSPORT_COMPACT_SHARE_H
#define TRANSPORT_COMPACT_SHARE_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

struct compact_work {
    uint64_t parts; /* they are taken in order */
    /* What a thread does its parts with, its own until close. */
    int (*open)(void *arg, void **with, struct err *e);
    int (*part)(void *arg, void *with, uint64_t number, struct err *e);
    void (*close)(void *with);
    void *arg;                   /* shared by the threads */
    const struct cancel *cancel; /* NULL: none */
};

/* Until all parts are done, or one fails: the error is that of the lowest that did, *failed its
 * number (NULL: of no interest). threads: 1..MAX_LANES. */
int compact_share(const struct compact_work *w, unsigned threads, uint64_t *failed, struct err *e);

#endif
