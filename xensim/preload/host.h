/* SPDX-License-Identifier: MIT */
/* The host that this program runs under, as $XENSIM_SOCKET and $XENSIM_HOST name it. */
#ifndef XENSIM_PRELOAD_HOST_H
#define XENSIM_PRELOAD_HOST_H

#include "base/err.h"

/* A connection for commands, or -errno. */
int host_connect(struct err *e);

#endif
