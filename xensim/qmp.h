/* SPDX-License-Identifier: MIT */
/*
 * QMP, as much of it as a toolstack says to a device model. One socket for all of a host's domains:
 * a client's first line is a domain's id (the preload library writes it), then it is the device
 * model of that domain that answers, after a byte that says whether there is one.
 */
#ifndef XENSIM_QMP_H
#define XENSIM_QMP_H

#include "xensim/hypervisor/host.h"

/* Serve sock from a thread, and close it in the end, or at once on failure. 0 or -errno. */
int qmp_start(struct host *h, int sock);

#endif
