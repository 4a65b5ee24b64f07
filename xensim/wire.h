/* SPDX-License-Identifier: MIT */
/*
 * One proto message at a time over a SOCK_SEQPACKET socket: header, data, up to three
 * descriptors. Blocking; 0 or -errno, -ENODATA when the other end is gone.
 */
#ifndef XENSIM_WIRE_H
#define XENSIM_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { WIRE_MAX_FDS = 3 };

int wire_send(int sock, const void *head, size_t head_bytes, const void *data, size_t data_bytes,
    const int *fds, int nr_fds);

/* data may be NULL if none is expected. *data_bytes is room in, length out. Descriptors come
 * CLOEXEC and are the caller's; too many or too few are an error. */
int wire_recv(
    int sock, void *head, size_t head_bytes, void *data, size_t *data_bytes, int *fds, int nr_fds);

#endif
