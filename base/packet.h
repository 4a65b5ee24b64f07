/* SPDX-License-Identifier: MIT */
/*
 * Packets between our own processes on one host: AF_UNIX, SOCK_SEQPACKET, each message whole,
 * with at most one descriptor. Used by acceptor -> migration process -> save helper.
 * Results as in base/io.h; -EMSGSIZE for a message longer than the buffer or with more descriptors.
 */
#ifndef BASE_PACKET_H
#define BASE_PACKET_H

#include "base/cancel.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PACKET_MAX_BYTES = 65536 };

/* fd is -1 for none; the receiver gets a duplicate, the caller keeps its own. */
int packet_send(int sock, const void *buf, size_t len_bytes, int fd, const struct cancel *cancel,
    int64_t deadline_ns);

/* Length of the message received (at least 1), or -errno. *fd is a CLOEXEC descriptor now owned
 * by the caller, or -1. */
ssize_t packet_recv(int sock, void *buf, size_t cap_bytes, int *fd, const struct cancel *cancel,
    int64_t deadline_ns);

#endif
