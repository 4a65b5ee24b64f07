/* SPDX-License-Identifier: MIT */
#include "transport/compact/file_io.h"

#include "base/io.h"

#include <errno.h>

int file_io_readv(int fd, struct iovec *parts, int count, uint64_t at, struct err *e)
{
    const int rc = io_preadv_full(fd, parts, count, at);

    if (rc == -EBADMSG)
        return err_damaged(e, "the file ends in the middle");
    return rc ? err_sys(e, ERR_REFUSED, -rc, "it cannot be read") : 0;
}

int file_io_writev(int fd, struct iovec *parts, int count, uint64_t at, struct err *e)
{
    const int rc = io_pwritev_full(fd, parts, count, at);

    return rc ? err_sys(e, ERR_LOCAL, -rc, "writing the file") : 0;
}
