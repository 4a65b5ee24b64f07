/* SPDX-License-Identifier: MIT */
/* In a file of its own: netinet/tcp.h lacks the field, and linux/tcp.h cannot stand beside it. */
#include "base/deadline.h"
#include "transport/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* What the kernel says before it has measured any. */
#define UNKNOWN_US UINT32_MAX

int64_t tcp_least_round_trip_ns(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) || info.tcpi_min_rtt == UNKNOWN_US)
        return 0;
    return info.tcpi_min_rtt * NS_PER_US;
}
