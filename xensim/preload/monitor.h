/* SPDX-License-Identifier: MIT */
/*
 * The QMP sockets that libxl gives a device model, /var/run/xen/qmp-libxenstat-DOMID: a connection
 * to one becomes one to the host's (xensim/qmp.h).
 */
#ifndef XENSIM_PRELOAD_MONITOR_H
#define XENSIM_PRELOAD_MONITOR_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is it such an address? */
bool monitor_named(const struct sockaddr *address, socklen_t bytes, unsigned *domid);
/* As connect(2). */
int monitor_connect(int fd, unsigned domid);

#endif
