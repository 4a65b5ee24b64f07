/* SPDX-License-Identifier: MIT */
/*
 * The kernel that a guest was started from, as libxl does it: the file, unpacked if it is a bzImage
 * (libxenguest does that, on a handle that reaches no Xen).
 */
#ifndef ENGINE_XEN_KERNEL_FILE_H
#define ENGINE_XEN_KERNEL_FILE_H

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>

/* Longer than any kernel, unpacked. */
#define KERNEL_FILE_MAX_BYTES (512u << 20)

/* What is in it, or what that is when it is unpacked, which may take seconds. Nobody has looked at
 * it: visit() gets it, and what that returns is returned. */
int kernel_file_read(const char *path, bool unpacked, const struct log *log,
    int (*visit)(void *arg, const void *image, size_t len_bytes), void *arg, struct err *e);

#endif
