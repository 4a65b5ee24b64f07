/* SPDX-License-Identifier: MIT */
/*
 * A program of the administrator's, run while a guest waits for it: in a process group of its own,
 * without what belongs to our libxl operation, for as long as it may and no longer.
 */
#ifndef CMD_XMIGRATE_PROGRAM_H
#define CMD_XMIGRATE_PROGRAM_H

#include "base/cancel.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct program {
    const char *what; /* for messages */
    const char *path;
    char *const *argv;
    char *const *own; /* its environment beside ours, own_count variables "NAME=VALUE" */
    size_t own_count;
    int64_t limit_ns;
    const char *limit_name; /* of the option that sets it; NULL: none does */
    /* What it writes, piece by piece; NULL: that goes to our standard error. */
    void (*output)(void *arg, const char *text, size_t len_bytes);
    void *arg;
};

/* Until it has ended well. If it has not by then, or cancel (NULL: none) fires, it is killed with
 * all that it started, and waited for, but not for long. Its output is read until it ends, whoever
 * else has it open. */
int program_run(const struct program *p, const struct cancel *cancel, struct err *e);

#endif
