/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/output.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

bool output_write(int fd, const char *text, size_t len_bytes, int64_t wait_ns)
{
    const int64_t deadline_ns = deadline_in(wait_ns);

    while (len_bytes) {
        const size_t piece = len_bytes < PIPE_BUF ? len_bytes : PIPE_BUF;

        if (io_wait(fd, POLLOUT, NULL, deadline_ns))
            return false;

        const ssize_t n = write(fd, text, piece);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            text += n;
            len_bytes -= (size_t)n;
        }
    }
    return true;
}
