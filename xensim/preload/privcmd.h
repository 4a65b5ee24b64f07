/* SPDX-License-Identifier: MIT */
/* The ioctls of /dev/xen/privcmd, answered by the daemon. */
#ifndef XENSIM_PRELOAD_PRIVCMD_H
#define XENSIM_PRELOAD_PRIVCMD_H

#include "xensim/preload/descriptor.h"

/* As ioctl(2). */
int privcmd_ioctl(struct connection *c, unsigned long request, void *arg);

#endif
