/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: its requests (proto.h), answered one at a time by a thread of its own.
 */
#ifndef XENSIM_CONN_H
#define XENSIM_CONN_H

#include "xensim/session.h"

/* Serve sock, and close it in the end, or at once on failure. 0 or -errno. */
int conn_start(struct sessions *sessions, int sock);

#endif
