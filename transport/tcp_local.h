/* SPDX-License-Identifier: MIT */
/* This end of a connection that is about to be made: where it comes from, and how its packets are
 * marked. */
#ifndef TRANSPORT_TCP_LOCAL_H
#define TRANSPORT_TCP_LOCAL_H

#include <stdbool.h>

/* Is it an address in numbers, of either family? */
bool tcp_is_numeric(const char *text);

/* -EAFNOSUPPORT: it is of the other family. */
int tcp_bind_from(int fd, int family, const char *from);

/* The code point of differentiated services. */
void tcp_mark(int fd, int family, unsigned dscp);

#endif
