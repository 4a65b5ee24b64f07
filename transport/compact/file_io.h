/* SPDX-License-Identifier: MIT */
/* Reads and writes at a place of a regular file, all of it. */
#ifndef TRANSPORT_COMPACT_FILE_IO_H
#define TRANSPORT_COMPACT_FILE_IO_H

#include "base/err.h"

#include <stdint.h>
#include <sys/uio.h>

/* Both use the parts up. A file that is too short is ERR_REFUSED, -EBADMSG. */
int file_io_readv(int fd, struct iovec *parts, int count, uint64_t at, struct err *e);
int file_io_writev(int fd, struct iovec *parts, int count, uint64_t at, struct err *e);

static inline int file_io_read(int fd, void *buf, size_t len_bytes, uint64_t at, struct err *e)
{
    struct iovec part = {buf, len_bytes};

    return file_io_readv(fd, &part, 1, at, e);
}

static inline int file_io_write(
    int fd, const void *buf, size_t len_bytes, uint64_t at, struct err *e)
{
    struct iovec part = {(void *)buf, len_bytes};

    return file_io_writev(fd, &part, 1, at, e);
}

#endif
