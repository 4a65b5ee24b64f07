/* SPDX-License-Identifier: MIT */
/* An image as a plain libxc v2 or v3 stream on a descriptor. */
#ifndef ENGINE_IN_PLAIN_H
#define ENGINE_IN_PLAIN_H

#include "base/cancel.h"
#include "base/log.h"
#include "engine/in/in.h"

/* fd is non-blocking and the caller's; not a byte is read beyond the stream's end. cancel and log
 * outlive the in. */
int in_plain_open(
    int fd, const struct cancel *cancel, const struct log *log, struct in **in, struct err *e);

#endif
