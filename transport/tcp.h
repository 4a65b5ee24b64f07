/* SPDX-License-Identifier: MIT */
/*
 * TCP: addresses as people write them, connecting and listening with deadlines, and the plain
 * channel. Sockets are non-blocking and CLOEXEC from birth, without Nagle, and notice a dead peer
 * by keepalive (when idle) and TCP_USER_TIMEOUT (when data is unacknowledged).
 */
#ifndef TRANSPORT_TCP_H
#define TRANSPORT_TCP_H

#include "transport/channel.h"

#include "base/deadline.h"

#include <stdbool.h>

enum { TCP_FROM_BYTES = 64, TCP_MAX_DSCP = 63 };
enum { TCP_DEFAULT_PORT = 8002, TCP_HOST_BYTES = 256, TCP_ADDRESS_BYTES = TCP_HOST_BYTES + 16 };

/* How long resolving the name of an address to listen on may take. */
#define TCP_LOOKUP_NS (10 * NS_PER_S)

/* How long a peer that was refused has to read why. */
#define TCP_LINGER_NS (2 * NS_PER_S)

struct tcp_address {
    char host[TCP_HOST_BYTES]; /* "" (listening only): all addresses */
    uint16_t port;
    /* Of who connects. */
    char from[TCP_FROM_BYTES]; /* the address to connect from, in numbers; "": any */
    unsigned dscp;             /* of what is sent */
};

/* HOST, HOST:PORT, [V6]:PORT, [V6], or a bare V6 address. Listening also takes :PORT, PORT and "".
 * ERR_USAGE in one line otherwise. */
int tcp_parse_address(const char *text, bool listening, struct tcp_address *a, struct err *e);

/* As people write it: "host2:8002", "[::1]:8002". */
void tcp_format_address(const struct tcp_address *a, char buf[static TCP_ADDRESS_BYTES]);

/* Try every address of the host until one answers or the deadline passes. Returns the socket. */
int tcp_connect(
    const struct tcp_address *a, const struct cancel *cancel, int64_t deadline_ns, struct err *e);

/* One socket for the address; *port is the one bound. All addresses: IPv6 and IPv4 on one. */
int tcp_listen(const struct tcp_address *a, uint16_t *port, struct err *e);

/* A socket from accept4() or tcp_connect(): the options above, with silent_ns as the limit of
 * unacknowledged data. On a short way a window that fits the round trip time, and no BBR. */
void tcp_tune(int fd, int64_t silent_ns);

/* Before a close: what was said last would be lost if the peer has sent more than was read. Waits
 * for its end, shortly. */
void tcp_linger(int fd, const struct cancel *cancel);

/* As the kernel has measured it; 0: not known. */
int64_t tcp_round_trip_ns(int fd);

/* The shortest that it has seen lately: the way's own, without what waits in queues; 0: not known.
 */
int64_t tcp_least_round_trip_ns(int fd);

/* "192.0.2.1:41234" or "[2001:db8::1]:41234"; "?" if the socket has no peer. */
void tcp_describe_peer(int fd, char *buf, size_t cap);

/* A plain channel's send(), and that of one whose socket does the rest. */
int tcp_send(struct channel *ch, struct iovec *iov, int count, struct err *e);

/* A channel on fd, which is taken over, also when this fails. */
int tcp_channel(int fd, const char *name, const struct cancel *cancel, int64_t stall_ns,
    struct channel **ch, struct err *e);

#endif
