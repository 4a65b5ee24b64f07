/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses, with a deadline and a cancel object: getaddrinfo(3) has neither, so it runs
 * in a thread of its own, which is abandoned at the deadline. Numeric addresses need no thread.
 */
#ifndef TRANSPORT_RESOLVE_H
#define TRANSPORT_RESOLVE_H

#include "base/cancel.h"
#include "base/err.h"

#include <netdb.h>
#include <stdint.h>

/* Stream addresses of host; "" with AI_PASSIVE in flags: all of this host's. freeaddrinfo() it. */
int resolve_host(const char *host, uint16_t port, int flags, const struct cancel *cancel,
    int64_t deadline_ns, struct addrinfo **list, struct err *e);

#endif
