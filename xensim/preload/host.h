/* SPDX-License-Identifier: MIT */
/* The host that this program runs under, as $XENSIM_SOCKET and $XENSIM_HOST name it. */
#ifndef XENSIM_PRELOAD_HOST_H
#define XENSIM_PRELOAD_HOST_H

#include "base/err.h"

/* A connection for commands, or -errno. */
int host_connect(struct err *e);

enum { HOST_PATH_BYTES = 512 };

/* The path, or where the host has a file of its own in its place: it boots when its daemon starts,
 * and has a /var/lib/xen. */
const char *host_path(const char *path, char own[static HOST_PATH_BYTES]);

#endif
