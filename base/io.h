/* SPDX-License-Identifier: MIT */
/*
 * Full reads and writes on descriptors, with a cancel object and an absolute deadline. The
 * only loops over read(2) and write(2) in the project.
 *
 * The descriptor must be non-blocking, or a write may outlast its deadline. Results:
 *   0            all of it
 *   -ENODATA     (reads) the peer closed before the first byte
 *   -EBADMSG     (reads) the peer closed in the middle
 *   -ECANCELED   the cancel object fired (cancel may be NULL)
 *   -ETIMEDOUT   the deadline passed
 *   -errno       what the call said
 * No struct err here: the caller knows what the bytes were and says so.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/cancel.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

int io_set_nonblocking(int fd, bool on);

/* One read(2): bytes, 0 at the end, -EAGAIN when nothing is there yet, or another -errno. */
ssize_t io_read_some(int fd, void *buf, size_t len_bytes);
/* One readv(2) into a list with room; moves *iov and *count on. As io_read_some(). */
ssize_t io_readv_some(int fd, struct iovec **iov, int *count);
/* One writev(2) of a list that is not empty; moves *iov and *count past what was written. Bytes,
 * -EAGAIN or another -errno. */
ssize_t io_writev_some(int fd, struct iovec **iov, int *count);

/* Wait until fd is readable (POLLIN) or writable (POLLOUT); hang-up counts as ready. */
int io_wait(int fd, short events, const struct cancel *cancel, int64_t deadline_ns);

int io_read_full(
    int fd, void *buf, size_t len_bytes, const struct cancel *cancel, int64_t deadline_ns);
int io_write_full(
    int fd, const void *buf, size_t len_bytes, const struct cancel *cancel, int64_t deadline_ns);

size_t io_sum_bytes(const struct iovec *iov, int count);

/* Every byte of iov[0..count). The array is used up. */
int io_readv_full(
    int fd, struct iovec *iov, int count, const struct cancel *cancel, int64_t deadline_ns);
int io_writev_full(
    int fd, struct iovec *iov, int count, const struct cancel *cancel, int64_t deadline_ns);

/* At a place of a regular file, whose position stays; these wait for nothing else. The array is
 * used up. -EBADMSG: the file ends before. */
int io_preadv_full(int fd, struct iovec *iov, int count, uint64_t at);
int io_pwritev_full(int fd, struct iovec *iov, int count, uint64_t at);

/* What an -errno of this file means to a reader: "timed out", "closed by the other end", ... */
const char *io_strerror(int rc);

#endif
